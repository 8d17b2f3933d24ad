"""A child's first state: all that fits, to the bit, and the settings of the child's own plan."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hpo_cli.engine import branching, checkpoints
from hpo_cli.engine.branching import check_child, enter, join, start_state
from hpo_cli.engine.loop import TrainingLoop
from hpo_cli.engine.stop import StopFlag
from hpo_cli.errors import ConfigError
from hpo_cli.plan import RunPlan
from tests.engine.plans import SMALL, finish, new_loop, plan, rows_of, weights_of

RICH = (
    *("model.norm=batch", "regularization.dropout=0.2", "regularization.clip_norm=1", "batch.accumulate=2"),
    *(
        "schedule=plateau",
        "schedule.patience=0",
        "schedule.threshold=0.9",
        "regularization.ema=0.9",
        "schedule.warmup_steps=2",
        "batch_size=20",
    ),
    *("optimizer=momentum", *SMALL, "epochs=4"),
)
"""Sixteen steps in four epochs, with all that has a memory."""


def parent_at(parent_plan: RunPlan, steps: int) -> dict[str, Any]:
    loop = new_loop(parent_plan)
    loop.begin()
    loop.advance(steps, StopFlag())
    return start_state(checkpoints.snapshot(loop.state()), parent_plan)


def child_of(state: dict[str, Any], child_plan: RunPlan, *, partial: bool = False) -> tuple[TrainingLoop, list[str]]:
    loop = new_loop(child_plan)
    torch.manual_seed(99)
    return loop, enter(loop, state, partial=partial)


@pytest.mark.parametrize("optimizer", ["adam", "momentum", "rmsprop", "muon", "schedule_free", "lamb", "adafactor"])
def test_a_child_without_overrides_goes_on_with_the_parents_bits(optimizer: str) -> None:
    words = [word for word in RICH if not word.startswith(("optimizer=", "schedule"))]
    parent_plan = plan(*words, f"optimizer={optimizer}")
    whole = finish(new_loop(parent_plan))
    child, said = child_of(parent_at(parent_plan, 7), parent_plan)
    assert child.position.step == 7
    assert child.position.sample
    assert not child.best
    assert weights_of(finish(child)) == weights_of(whole)
    assert [row for row in rows_of(whole) if row["step"] > 7] == rows_of(child)
    assert len(said) == 1


def test_a_schedule_with_memory_goes_on() -> None:
    parent_plan = plan(*RICH)
    whole = finish(new_loop(parent_plan))
    child, _ = child_of(parent_at(parent_plan, 9), parent_plan)
    assert weights_of(finish(child)) == weights_of(whole)
    assert rows_of(child)[-1]["lr"] == rows_of(whole)[-1]["lr"] < rows_of(whole)[0]["lr"] * 3


@pytest.mark.parametrize("lost", ["optimizer", "schedule", "average", "epoch_sums"])
def test_a_part_that_is_not_taken_over_is_noticed(lost: str) -> None:
    parent_plan = plan(*RICH)
    state, fresh = parent_at(parent_plan, 9), new_loop(parent_plan).state()
    child, _ = child_of({**state, lost: fresh[lost]}, parent_plan)
    whole = finish(new_loop(parent_plan))
    finish(child)
    same_weights = weights_of(child) == weights_of(whole)
    same_rows = [row for row in rows_of(whole) if row["step"] > 9] == rows_of(child)
    assert not (same_weights and same_rows)


def test_the_settings_are_the_childs_own() -> None:
    state = parent_at(plan(*RICH), 5)
    changed = plan(*RICH, "lr=0.3", "optimizer.momentum=0.5", "epochs=6", "regularization.clip_norm=0.1")
    child, _ = child_of(state, changed)
    assert child.system.settings.lr == 0.3
    assert {group["momentum"] for group in child.system.optimizer.param_groups} == {0.5}
    assert child.horizon.epochs == 6
    assert child.system.settings.clip_norm == 0.1
    buffers = [state["momentum_buffer"] for state in child.system.optimizer.state.values()]
    assert buffers
    assert all(buffer.abs().sum() > 0 for buffer in buffers)


def test_another_optimizer_begins_without_memory_and_says_so() -> None:
    child, said = child_of(parent_at(plan(*RICH), 5), plan(*RICH, "optimizer=adam"))
    assert not child.system.optimizer.state
    assert any("optimizer=adam begins without memory" in line for line in said)
    finish(child)


def test_another_schedule_begins_without_memory_and_says_so() -> None:
    words = [word for word in RICH if not word.startswith("schedule")]
    _, said = child_of(parent_at(plan(*words, "schedule=cosine"), 5), plan(*RICH))
    assert any("schedule=plateau begins without memory" in line for line in said)


def test_an_average_is_dropped_where_the_child_keeps_none() -> None:
    child, _ = child_of(parent_at(plan(*RICH), 5), plan(*RICH, "regularization.ema=null"))
    assert child.system.average is None


def test_weights_that_do_not_fit_are_named_with_both_shapes() -> None:
    state, wider = parent_at(plan(*RICH), 5), plan(*RICH, "model.width=24", "model.depth=3")
    for attempt in (lambda: child_of(state, wider), lambda: check_child(wider, state, partial=False)):
        with pytest.raises(ConfigError) as caught:
            attempt()
        text = str(caught.value)
        assert text.startswith("model=mlp: the parent's weights do not fit:")
        assert "(16x64 -> 24x64)" in text
        assert "in all)" in text
        assert "--partial" in text
        assert "\n" not in text


def test_partial_takes_what_fits_and_starts_the_rest_anew() -> None:
    state, deeper = parent_at(plan(*RICH), 5), plan(*RICH, "model.depth=3")
    fresh = {name: tensor.clone() for name, tensor in new_loop(deeper).system.model.state_dict().items()}
    check_child(deeper, state, partial=True)
    child, said = child_of(state, deeper, partial=True)
    for name, tensor in child.system.model.state_dict().items():
        past = state["model"].get(name)
        fits = past is not None and past.shape == tensor.shape
        assert torch.equal(tensor, past if fits else fresh[name]), name
    assert not child.system.optimizer.state
    assert "begin anew" in said[0]
    assert child.position.step == 5
    finish(child)


def test_a_fitting_child_passes_the_check_and_an_impossible_one_does_not() -> None:
    state = parent_at(plan(*RICH), 5)
    check_child(plan(*RICH, "lr=0.5"), state, partial=False)
    with pytest.raises(ConfigError, match="batch_size"):
        check_child(plan(*RICH, "batch_size=1000"), state, partial=True)


def test_other_data_begin_at_the_first_sample_of_the_epoch() -> None:
    state = parent_at(plan(*RICH), 7)
    child, said = child_of(state, plan(*RICH, "data.subset=0.2"))
    assert (child.position.step, child.position.epoch, child.position.sample) == (7, 1, 0)
    assert child._tally.epoch.samples == 0
    assert any("other data" in line for line in said)
    finish(child)
    same, _ = child_of(state, plan(*RICH, "data.placement=device", "data.num_workers=0"))
    assert same.position.sample == state["position"]["sample"] > 0


def test_a_texts_hidden_state_is_carried_on_while_the_rows_are_the_same() -> None:
    words = ("data=text", "model=lstm", "model.width=8", "data.subset=0.02", "epochs=2", "batch_size=8")
    parent_plan = plan(*words)
    state = parent_at(parent_plan, 3)
    assert any(state["carried"].values())
    child, _ = child_of(state, parent_plan)
    assert branching._names(child.state()["carried"]) == branching._names(state["carried"])
    assert any(child.state()["carried"].values())
    other, _ = child_of(state, plan(*words, "batch_size=4"))
    assert not any(other.state()["carried"].values())


def test_a_losss_own_state_goes_on_unless_its_keys_change() -> None:
    words = (*SMALL, "loss=cross_entropy_center")
    state = parent_at(plan(*words), 3)
    fresh = new_loop(plan(*words)).state()
    joined, _ = join(fresh, state, plan=plan(*words, "loss.weight=0.5"), partial=False)
    assert all(torch.equal(joined["criterion"][name], tensor) for name, tensor in state["criterion"].items())
    joined, said = join(fresh, state, plan=plan(*words, "data.subset=0.2"), partial=False)
    assert any(not torch.equal(joined["criterion"][name], tensor) for name, tensor in state["criterion"].items())
    assert any("the loss's own state begins anew" in line for line in said)


def test_a_start_state_can_be_written_and_read(tmp_path: Any) -> None:
    state = parent_at(plan(*RICH), 3)
    checkpoints.save(tmp_path / "start.pt", state)
    child, _ = child_of(checkpoints.load(tmp_path / "start.pt"), plan(*RICH))
    assert child.position.step == 3
