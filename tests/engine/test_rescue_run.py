"""Rules that get a run out of trouble, off by default: back, past the batches that broke it, with a smaller rate."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import pytest
import torch

from hpo_cli.errors import RunFailedError
from tests.command_line import fast_yaml
from tests.engine.plans import SMALL, arrays, new_loop, plan, rows_of, varied, weights_of
from tests.engine.runs import Ran, by_hand, knobs, poll_always, resumed, skip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hpo_cli.engine.loop import TrainingLoop
    from hpo_cli.plan import RunPlan
    from tests.engine.runs import Start

    Script = dict[int, list[Callable[[TrainingLoop], None]]]

WORDS = (
    *("regularization.dropout=0.2", "regularization.ema=0.9", "optimizer=momentum", "schedule=constant", "lr=0.05"),
    *(*SMALL, "epochs=4", "checkpoint.every_steps=2", "checkpoint.keep_last=9", "batch_size=16"),
)
"""Eight steps an epoch, thirty-two in all."""
NAN = {"nan": True, "back_steps": 3, "skip_batches": 4, "lr_factor": 0.9, "limit": 10}
LR, EPOCHS, BATCHES = 0.05, 4, 8


@pytest.fixture(autouse=True)
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    poll_always(monkeypatch)


def made(**rescue: Any) -> RunPlan:
    with fast_yaml():
        return varied(plan(*WORDS), "rescue", **rescue)


def poison(ran: Ran, sample: int) -> Ran:
    """Let a training sample have a NaN, as a broken file does."""
    poisoned = ran.training.splits.train.x.copy()
    poisoned[sample] = math.nan
    object.__setattr__(ran.training.splits.train, "x", poisoned)
    return ran


@functools.cache
def batch_with(sample: int, epoch: int) -> int:
    """Which batch of an epoch, from 0, has the sample."""
    row = arrays(made(), "train")[0][sample]
    batches = new_loop(made()).train_source.batches(epoch, start=0, batch_size=16)
    return next(index for index, (x, _) in enumerate(batches) if any(torch.equal(row, other) for other in x))


def expected(sample: int, *, back: int, batches: int) -> Script:
    """What a hand would do on sound data, by where the sample lies: back, on with other batches, at 0.9 of the rate.

    It never goes behind batches that were jumped over: it would meet again what is wrong with them.
    """
    script: Script = {}
    step, place, lr, floor = 0, 0, LR, 0  # place: batches used or jumped over, in all epochs
    while place < EPOCHS * BATCHES:
        if place % BATCHES != batch_with(sample, place // BATCHES):
            place, step = place + 1, step + 1
            continue
        floor, lr = max(floor, step + 1 - back), lr * 0.9
        script.setdefault(floor, []).extend([skip(batches), knobs(lr=lr)])
        place, step = place - (step - floor) + batches, floor
    return script


def num_rescues(script: Script) -> int:
    return sum(len(acts) // 2 for acts in script.values())


def test_off_by_default(start: Start) -> None:
    ran = poison(start(made()), 17)
    with pytest.raises(RunFailedError, match="train/loss is nan at step"):
        ran.go()
    assert ran.events[-1]["event"] == "failed"
    assert ran.told("rolled_back") == []


@pytest.mark.parametrize("sample", [17, 60])
def test_a_nan_is_jumped_over_and_the_rate_cut(sample: int, start: Start) -> None:
    ran = poison(start(made(**NAN)), sample)
    ran.go()
    script = expected(sample, back=3, batches=4)
    back = ran.told("rolled_back")
    assert len(back) == num_rescues(script) >= 2
    assert {event["who"] for event in (*back, *ran.told("nudged"))} == {"rule"}
    assert all("train/loss is nan" in event["why"] for event in back)
    assert [event["to"] for event in back] == [step for step, acts in script.items() for _ in acts[::2]]
    assert [event["knobs"]["lr"]["new"] for event in ran.told("nudged")] == [
        pytest.approx(LR * 0.9**k, rel=1e-12) for k in range(1, len(back) + 1)
    ]
    hand = by_hand(made(), script)
    assert ran.rows == rows_of(hand)
    assert ran.sha == weights_of(hand)
    assert all(math.isfinite(row["train/loss"]) for row in ran.rows)
    assert ran.sha != weights_of(by_hand(made(), {}))


@pytest.mark.parametrize("log_every_steps", [5, 50])
def test_a_nan_that_is_seen_late_is_answered_from_where_it_was(log_every_steps: int, start: Start) -> None:
    rare = varied(made(**NAN), "trainer", log_every_steps=log_every_steps)
    often = poison(start(made(**NAN)), 17)
    often.go()
    ran = poison(start(varied(rare, "checkpoint", every_steps=None)), 17)
    ran.go()
    assert [event["to"] for event in ran.told("rolled_back")] == [event["to"] for event in often.told("rolled_back")]
    assert ran.sha == often.sha


def test_a_rescued_run_that_is_killed_goes_on_exactly(start: Start, tmp_path: Path) -> None:
    ran = poison(start(made(**NAN)), 17)
    steps = (4, 9, 14, 16)
    for step in steps:
        ran.kill(step, to=tmp_path / f"killed-{step}")
    ran.go()
    for step in steps:
        again = Ran(ran.plan, tmp_path, folder=tmp_path / f"killed-{step}")
        poison(again, 17).go()
        assert again.sha == ran.sha, step
        assert again.rows == ran.rows
        assert len(again.told("rolled_back")) == len(ran.told("rolled_back"))


def test_after_so_many_rescues_the_run_fails(start: Start) -> None:
    hopeless = varied(made(**{**NAN, "limit": 3, "back_steps": 1, "skip_batches": 0}), "", lr=1e30)
    ran = start(hopeless)
    with pytest.raises(RunFailedError, match=r"train/loss is (nan|inf) at step"):
        ran.go()
    assert len(ran.told("rolled_back")) == 3
    rates = [event["knobs"]["lr"]["new"] for event in ran.told("nudged")]
    assert rates == [pytest.approx(1e30 * 0.9**k) for k in (1, 2, 3)]
    assert ran.result["status"] == "failed"


def test_a_bad_validation_is_rescued_too(start: Start) -> None:
    """One step an epoch; its weights are far out, but finite. A much smaller rate gets the run through."""
    far = varied(made(nan=True, back_steps=1, skip_batches=0, lr_factor=1e-6, limit=9), "", lr=1e36, batch_size=126)
    ran = start(far)
    ran.go()
    assert any("val/loss is" in event["why"] for event in ran.told("rolled_back"))
    assert ran.result["status"] == "finished"
    assert all(math.isfinite(row["val/loss"]) for row in ran.rows if "val/loss" in row)


SPIKE = {"spike": 3.0, "back_steps": 4, "skip_batches": 1, "lr_factor": 0.9, "limit": 10}


def test_a_spike_takes_the_run_back_before_what_caused_it(start: Start, tmp_path: Path) -> None:
    ran = start(made(**SPIKE))
    ran.nudge(13, lr=30.0)
    ran.kill(20, to=tmp_path / "killed")
    ran.go()
    (back,) = ran.told("rolled_back")
    assert back["who"] == "rule"
    assert "above 3 times" in back["why"]
    to = back["to"]
    assert to < 13
    assert back["line"] == []
    hand = by_hand(made(), {to: [skip(1), knobs(lr=LR * 0.9)]})
    assert ran.rows == rows_of(hand)
    assert ran.sha == weights_of(hand)
    again = resumed(tmp_path / "killed", of=ran)
    assert again.sha == ran.sha
    assert again.rows == ran.rows


def test_without_the_rule_a_spike_stays(start: Start) -> None:
    ran = start(made())
    ran.nudge(13, lr=30.0)
    ran.go()
    assert ran.told("rolled_back") == []
    assert max(row["train/loss"] for row in ran.rows if row["step"] > 13) > 10


def test_a_rule_for_nan_is_none_for_spikes(start: Start) -> None:
    ran = start(made(nan=True))
    ran.nudge(13, lr=30.0)
    ran.go()
    assert ran.told("rolled_back") == []


def test_a_person_and_a_rule_share_one_line(start: Start) -> None:
    """What somebody nudged before the place that the rule goes back to stays in force."""
    sample = next(sample for sample in range(126) if batch_with(sample, 0) > 5)
    ran = poison(start(made(**NAN)), sample)
    ran.nudge(1, regularization__dropout=0.4)
    ran.go()
    hand = by_hand(made(), {1: [knobs(regularization__dropout=0.4)], **expected(sample, back=3, batches=4)})
    assert ran.rows == rows_of(hand)
    assert ran.sha == weights_of(hand)
