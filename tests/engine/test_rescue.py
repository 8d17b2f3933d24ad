"""The rules that get a run out of trouble: when they speak, and what they ask for."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_cli.engine.rescue import MEMORY, Rescue, Trouble
from hpo_cli.plan import RescuePlan

ON = RescuePlan(nan=True, spike=3.0, back_steps=100, skip_batches=200, lr_factor=0.9, limit=10)


def spikes(rescue: Rescue, losses: list[float]) -> list[int]:
    """The places in `losses` at which the rule spoke."""
    return [i for i, loss in enumerate(losses) if rescue.observe_window(loss, 10 * i)]


def test_a_spike_is_above_the_factor_times_the_ten_before() -> None:
    assert spikes(Rescue(ON), [1.0] * 10 + [2.9, 3.1, 3.9]) == []
    assert spikes(Rescue(ON), [1.0] * 10 + [3.01]) == [10]
    assert spikes(Rescue(ON), [1.0] * 9 + [100.0]) == []  # there are nine
    trouble = [Rescue(ON).observe_window(loss, 7) for loss in [1.0] * 10]
    assert trouble == [None] * 10


def test_a_spike_says_what_it_saw() -> None:
    rescue = Rescue(ON)
    spikes(rescue, [0.5] * 10)
    trouble = rescue.observe_window(2.0, 550)
    assert trouble is not None
    assert str(trouble) == "train/loss is 2, above 3 times the 0.5 of before at step 550"
    assert (trouble.step, trouble.kind) == (550, "spike")


@given(st.lists(st.floats(0, 1e6), max_size=40), st.floats(1.1, 10))
def test_the_rule_is_its_definition(losses: list[float], factor: float) -> None:
    kept: list[float] = []
    wanted = []
    for i, loss in enumerate(losses):
        if len(kept) >= MEMORY and loss > factor * (sum(kept[-MEMORY:]) / MEMORY):
            wanted.append(i)
        else:
            kept.append(loss)
    assert spikes(Rescue(dataclasses.replace(ON, spike=factor)), losses) == wanted


def test_without_a_factor_nothing_is_a_spike() -> None:
    assert spikes(Rescue(RescuePlan()), [1.0] * 10 + [1e9]) == []


@given(st.lists(st.floats(0, 100), max_size=30), st.integers(0, 30))
def test_the_memory_survives_a_checkpoint(losses: list[float], cut: int) -> None:
    straight, first, second = Rescue(ON), Rescue(ON), Rescue(ON)
    wanted = [i for i in spikes(straight, losses) if i >= cut]
    spikes(first, losses[:cut])
    second.restore(first.state())
    assert [cut + i for i in spikes(second, losses[cut:])] == wanted
    assert second.state() == straight.state()


def test_back_over_the_batches_at_a_lower_rate() -> None:
    answer = Rescue(ON).answer(Trouble(550, "train/loss is nan"), position_step=560, start_step=0)
    assert answer is not None
    assert (answer.to_step, answer.skip_batches, answer.changes) == (450, 200, {"lr": ["*=", 0.9]})


@pytest.mark.parametrize(("step", "start", "wanted"), [(30, 0, 0), (130, 100, 100), (230, 100, 130), (1, 0, 0)])
def test_never_before_the_start(step: int, start: int, wanted: int) -> None:
    answer = Rescue(ON).answer(Trouble(step, "train/loss is inf"), position_step=step, start_step=start)
    assert answer is not None
    assert answer.to_step == wanted


def test_a_bad_loss_is_nobodys_business_where_nan_is_off() -> None:
    only_spikes = Rescue(dataclasses.replace(ON, nan=False))
    assert only_spikes.answer(Trouble(5, "train/loss is nan"), position_step=5, start_step=0) is None
    assert only_spikes.answer(Trouble(5, "high", kind="spike"), position_step=5, start_step=0) is not None
