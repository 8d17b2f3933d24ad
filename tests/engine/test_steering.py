"""What people do to a run that trains: it comes into force at a step boundary, exactly, and is recorded before."""

from __future__ import annotations

import json
import math
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from hpo_cli.engine import orders as orders_room
from hpo_cli.engine.differences import differences
from hpo_cli.engine.stop import StoppedError
from hpo_cli.options import list_options
from hpo_cli.record import ledger
from hpo_cli.record.line import living_line
from hpo_cli.record.metrics import read_metrics
from hpo_cli.steer.commands import read_ack, send
from tests.command_line import fast_yaml
from tests.engine.plans import SMALL, plan, rows_of, varied, weights_of
from tests.engine.runs import Ran, by_hand, knobs, poll_always, resumed, skip

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hpo_cli.engine.loop import TrainingLoop
    from hpo_cli.plan import RunPlan
    from tests.engine.runs import Start

WORDS = (
    *("model.norm=batch", "regularization.dropout=0.2", "regularization.clip_norm=1", "regularization.ema=0.9"),
    *("schedule.warmup_steps=2", *SMALL, "epochs=3", "checkpoint.every_steps=2", "checkpoint.keep_last=9"),
)
"""Twelve steps in three epochs, with all that has a memory; a checkpoint every second step."""
RATE = 1e-3  # adam's
COSINE = {"option": "cosine", "_target_": "hpo_cli.components.schedules.cosine", "floor": 0.0}


@pytest.fixture(autouse=True)
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    poll_always(monkeypatch)


def made(*words: str) -> RunPlan:
    with fast_yaml():
        return plan(*WORDS, *words)


def same(ran: Ran, loop: TrainingLoop) -> None:
    """The run's living rows and its weights are those of a bare loop, to the bit."""
    assert ran.rows == rows_of(loop)
    assert ran.sha == weights_of(loop)


def rates(rows: list[dict[str, Any]]) -> dict[int, float]:
    return {row["step"]: row["lr"] for row in rows}


# a nudge ---------------------------------------------------------------------------------------------------------


def test_a_nudge_takes_force_with_the_next_step_and_says_what_that_step_used(start: Start) -> None:
    ran = start(made())
    ran.nudge(5, lr=0.004, regularization__dropout=0.4)
    ran.go()
    same(ran, by_hand(made(), {5: [knobs(lr=0.004, regularization__dropout=0.4)]}))
    assert ran.sha != weights_of(by_hand(made(), {}))
    used = rates(ran.rows)
    for step, rate in used.items():  # Loshchilov & Hutter 2017, eq. 5, after a linear rise of two steps
        index = step - 1
        factor = (index + 1) / 3 if index < 2 else (1 + math.cos(math.pi * (index - 2) / 10)) / 2
        assert rate == pytest.approx((0.004 if step > 5 else RATE) * factor, rel=1e-12), step
    answer = ran.answer()
    assert (answer["ok"], answer["step"], answer["lr"]) == (True, 6, used[6])
    assert answer["knobs"] == {"lr": {"old": RATE, "new": 0.004}, "regularization.dropout": {"old": 0.2, "new": 0.4}}
    (event,) = ran.told("nudged")
    assert (event["id"], event["step"], event["who"], event["knobs"]) == (ran.sent[0], 5, "ada@lab", answer["knobs"])


@pytest.mark.parametrize("step", [3, 4, 11])
def test_where_it_takes_force_matters(step: int, start: Start) -> None:
    """A step earlier or later gives other bits, so that the boundary is exact."""
    ran = start(made())
    ran.nudge(step, lr=0.004)
    ran.go()
    assert ran.sha == weights_of(by_hand(made(), {step: [knobs(lr=0.004)]}))
    for other in (step - 1, step + 1):
        assert ran.sha != weights_of(by_hand(made(), {other: [knobs(lr=0.004)]}))


def test_a_nudge_that_is_there_before_the_first_step_holds_for_it(start: Start) -> None:
    ran = start(made())
    ran.nudge(0, lr=0.004)
    ran.go()
    same(ran, by_hand(made(), {0: [knobs(lr=0.004)]}))
    assert ran.answer()["lr"] == ran.rows[0]["lr"] == pytest.approx(0.004 / 3)


SCHEDULES = {name: (f"schedule={name}",) for name in list_options("schedule")} | {
    "torch": ("schedule=torch", "schedule.name=StepLR", "schedule.arguments={step_size: 2}"),
}
OPTIMIZERS = {f"with {name}": (f"optimizer={name}",) for name in list_options("optimizer")}


def test_every_schedule_and_optimizer_is_collected() -> None:
    assert len(SCHEDULES) >= 12
    assert len(OPTIMIZERS) >= 12


@pytest.mark.parametrize("words", [*SCHEDULES.values(), *OPTIMIZERS.values()], ids=[*SCHEDULES, *OPTIMIZERS])
def test_lr_works_alike_under_every_schedule_and_optimizer(words: tuple[str, ...], start: Start) -> None:
    """Every later rate is the old one times new knob over old; the factors are left alone."""
    with fast_yaml():
        small = plan(*SMALL, "trainer.max_steps=3", "lr=0.01", *words)
    ran = start(small)
    ran.nudge(1, lr=0.02)
    ran.go()
    plain = by_hand(small, {})
    assert ran.answer()["ok"]
    assert ran.answer()["knobs"] == {"lr": {"old": 0.01, "new": 0.02}}
    ratios = [a / b for a, b in zip(rates(ran.rows).values(), rates(rows_of(plain)).values(), strict=True)]
    assert ratios == pytest.approx([1, 2, 2], rel=1e-12)
    assert ran.answer()["lr"] == ran.rows[1]["lr"]
    same(ran, by_hand(small, {1: [knobs(lr=0.02)]}))


@pytest.mark.parametrize(
    ("op", "given", "new"),
    [("*=", 0.9, RATE * 0.9), ("/=", 3, RATE / 3), ("+=", 0.001, RATE + 0.001), ("-=", 5e-4, RATE - 5e-4)],
)  # fmt: skip
def test_relative_forms_act_on_the_value_of_then(op: str, given: float, new: float, start: Start) -> None:
    ran = start(made())
    ran.send(5, "nudge", changes={"lr": [op, given]})
    ran.go()
    assert ran.answer()["knobs"]["lr"] == {"old": RATE, "new": new}
    assert ran.sha == weights_of(by_hand(made(), {5: [knobs(lr=new)]}))


def test_a_run_becomes_longer_its_batches_larger_and_its_schedule_another(start: Start) -> None:
    steady = made("schedule=constant")
    ran = start(steady)
    ran.send(5, "nudge", changes={"epochs": ["+=", 2]})
    ran.send(6, "nudge", changes={"schedule": ["=", COSINE], "batch_size": ["=", 20]})
    ran.send(7, "nudge", changes={"schedule.floor": ["=", 0.5]})
    ran.go()
    hand = by_hand(
        steady,
        {
            5: [knobs(epochs=5)],
            6: [knobs(schedule=COSINE, batch_size=20)],
            7: [knobs(schedule={**COSINE, "floor": 0.5})],
        },
    )  # fmt: skip
    same(ran, hand)
    assert [ran.answer(index)["ok"] for index in range(3)] == [True] * 3
    assert ran.result["epochs"] == 5
    assert ran.rows[-1]["lr"] > 0.4 * RATE


def test_two_nudges_at_once_are_both_recorded_in_one_order(start: Start) -> None:
    ran = start(made())
    ran.nudge(5, lr=0.004)
    ran.send(5, "nudge", changes={"lr": ["/=", 2]})
    ran.go()
    assert [event["knobs"]["lr"] for event in ran.told("nudged")] == [
        {"old": RATE, "new": 0.004}, {"old": 0.004, "new": 0.002},
    ]  # fmt: skip
    assert [event["id"] for event in ran.told("nudged")] == ran.sent
    assert ran.answer(0)["lr"] == ran.answer(1)["lr"] == rates(ran.rows)[6]
    same(ran, by_hand(made(), {5: [knobs(lr=0.002)]}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lr": ["=", -1.0]}, "lr=-1"),
        ({"lr": ["=", "high"]}, "lr=high"),
        ({"batch_size": ["=", 1]}, "batch"),
        ({"batch_size": ["=", 0]}, "batch_size=0"),
        ({"regularization.dropout": ["=", 1.5]}, "regularization.dropout=1.5"),
        ({"regularization.dropout": ["=", 0.4], "lr": ["*=", -1]}, "lr"),
        ({"model.depth": ["=", 3]}, "hpo-run branch"),
        ({"seed": ["=", 3]}, "hpo-run branch"),
        ({"optimizer.momentum": ["=", 0.5]}, "optimizer.momentum"),
        ({"nonsense": ["=", 3]}, "nonsense"),
        ({"schedule": ["=", {"option": "cosine", "_target_": "os.system", "floor": 0.0}]}, "os.system"),
        ({"schedule": ["=", {**COSINE, "flor": 1}]}, "flor"),
        ({"schedule": ["=", {"option": "cosine", "_target_": COSINE["_target_"]}]}, "schedule.floor"),
        ({"schedule.floor": ["=", 2]}, "schedule.floor=2"),
        ({"trainer.max_steps": ["=", 0]}, "trainer.max_steps"),
    ],
)  # fmt: skip
def test_an_impossible_value_is_refused_and_nothing_changes(
    changes: Mapping[str, Any], said: str, start: Start
) -> None:
    ran = start(made())
    ran.send(5, "nudge", changes=changes)
    ran.go()
    answer = ran.answer()
    assert not answer["ok"]
    assert said in answer["error"]
    assert ran.told("nudged") == []
    same(ran, by_hand(made(), {}))


# later -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("due", "why"),
    [
        ({"step": 2}, "--at step=2: has passed, the run is at step 3 of 12"),
        ({"epoch": 0}, "--at epoch=0: has passed, the run is at step 3 of 12"),
        ({"step": 13}, "--at step=13: lies behind the end, the run is at step 3 of 12"),
        ({"epoch": 4}, "--at epoch=4: lies behind the end, the run is at step 3 of 12"),
    ],
)
def test_a_moment_that_has_passed_or_never_comes_is_refused(due: dict[str, Any], why: str, start: Start) -> None:
    ran = start(made())
    ran.send(3, "nudge", changes={"lr": ["*=", 2]}, due=due)
    ran.go()
    assert ran.told("scheduled") + ran.told("nudged") == []
    assert ran.answer()["error"] == why


def test_a_jump_over_all_that_is_left_is_refused(start: Start) -> None:
    ran = start(made())
    ran.send(6, "rollback", to={"step": 4}, skip_batches=10**12)
    ran.go()
    assert ran.told("rolled_back") == []
    assert "leaves nothing to train" in ran.answer()["error"]


@pytest.mark.parametrize(
    ("due", "step"),
    [
        ({"step": 7}, 7),
        ({"epoch": 2}, 8),
        ({"progress": 0.5}, 6),
        ({"step": 3}, 3),
    ],
)
def test_a_nudge_for_later_takes_force_when_it_is_due(due: dict[str, Any], step: int, start: Start) -> None:
    ran = start(made())
    ran.send(3, "nudge", changes={"lr": ["*=", 2]}, due=due)
    ran.go()
    (event,) = ran.told("nudged")
    assert (event["step"], event["scheduled"], event["who"]) == (step, ran.sent[0], "ada@lab")
    assert f"after step {step} (now 3)" in ran.answer()["said"][0] or due == {"step": 2}
    same(ran, by_hand(made(), {step: [knobs(lr=2 * RATE)]}))


def test_an_epoch_that_is_due_follows_the_batch_size(start: Start) -> None:
    ran = start(made())
    ran.send(1, "nudge", changes={"lr": ["*=", 2]}, due={"epoch": 2})
    ran.nudge(6, batch_size=10)  # 62 samples are left of the second epoch: seven batches
    ran.go()
    later = ran.told("nudged")[1]
    assert later["step"] == 13
    same(ran, by_hand(made(), {6: [knobs(batch_size=10)], 13: [knobs(lr=2 * RATE)]}))


def test_what_is_impossible_by_then_is_cancelled_and_the_run_goes_on(start: Start) -> None:
    ran = start(made())
    ran.send(1, "nudge", changes={"regularization.dropout": ["+=", 0.5]}, due={"step": 6})
    ran.nudge(4, regularization__dropout=0.7)
    ran.go()
    (event,) = ran.told("cancelled")
    assert "regularization.dropout" in event["reason"]
    same(ran, by_hand(made(), {4: [knobs(regularization__dropout=0.7)]}))


@pytest.mark.parametrize("shown", [slice(None), slice(-8, None)], ids=["whole", "end"])
def test_what_waits_can_be_cancelled(shown: slice, start: Start) -> None:
    ran = start(made())
    ran.send(2, "nudge", changes={"lr": ["*=", 2]}, due={"step": 7})
    ran.do(4, lambda: ran.sent.append(send(ran.folder, "cancel", {"scheduled": ran.sent[0][shown]})))
    ran.send(5, "cancel", scheduled="0123")
    ran.go()
    assert ran.answer(1)["ok"]
    assert "0123" in ran.answer(2)["error"]
    assert [event["scheduled"] for event in ran.told("cancelled")] == ran.sent[:1]
    same(ran, by_hand(made(), {}))


def test_a_nudge_for_later_survives_a_kill(start: Start, tmp_path: Path) -> None:
    ran = start(made())
    ran.send(1, "nudge", changes={"lr": ["*=", 2]}, due={"step": 7})
    ran.kill(5, to=tmp_path / "early")  # before it is due
    ran.kill(8, to=tmp_path / "late")  # in force, no checkpoint since
    ran.go()
    wanted = by_hand(made(), {7: [knobs(lr=2 * RATE)]})
    same(ran, wanted)
    for name in ("early", "late"):
        again = resumed(tmp_path / name, of=ran)
        same(again, wanted)
        assert len(again.told("nudged")) == 1
        assert (again.folder / "metrics.jsonl").read_bytes() == (ran.folder / "metrics.jsonl").read_bytes()


# pause, stop, checkpoint -----------------------------------------------------------------------------------------


class Colleague(threading.Thread):
    """Somebody at another terminal, who waits for the run to pause."""

    def __init__(self, ran: Ran, *steps: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._ran, self._steps = ran, steps
        self.start()

    def run(self) -> None:
        until = time.monotonic() + 60
        while not self._ran.training.is_paused and time.monotonic() < until:
            time.sleep(0.005)
        for step in self._steps:
            step()
            if self._ran.sent:
                _await_answer(self._ran.folder, self._ran.sent[-1])


def _await_answer(folder: Path, name: str) -> None:
    until = time.monotonic() + 2
    while read_ack(folder, name) is None and time.monotonic() < until:
        time.sleep(0.005)


def test_a_paused_run_is_saved_waits_and_can_be_nudged(start: Start) -> None:
    ran = start(made())
    ran.send(5, "pause", why="lunch")
    colleague = Colleague(
        ran,
        lambda: ran.nudge(0, lr=0.004),
        lambda: ran.send(0, "checkpoint", tag="lunch"),
        lambda: ran.send(0, "unpause"),
    )
    ran.go()
    colleague.join()
    assert [ran.answer(index)["ok"] for index in range(4)] == [True] * 4
    assert (ran.told("paused")[0]["step"], ran.told("paused")[0]["why"]) == (5, "lunch")
    assert ran.told("unpaused")[0]["step"] == 5
    assert ran.told("nudged")[0]["step"] == 5
    assert {event["step"] for event in ran.told("checkpointed")} >= {5}
    assert not ran.training.is_paused
    same(ran, by_hand(made(), {5: [knobs(lr=0.004)]}))


def test_a_paused_run_can_be_stopped_and_rolled_back(start: Start) -> None:
    ran = start(made())
    ran.send(6, "pause")
    colleague = Colleague(ran, lambda: ran.send(0, "rollback", to={"step": 4}), lambda: ran.send(0, "stop", why="home"))
    ran.go()
    colleague.join()
    assert (ran.events[-1]["event"], ran.events[-1]["step"], ran.events[-1]["why"]) == ("stopped", 4, "home")
    assert ran.sha == weights_of(by_hand(made(), {}, stop=4))


def test_a_paused_run_that_went_back_can_be_nudged(start: Start) -> None:
    ran = start(made())
    ran.send(6, "pause")
    seen: list[dict[str, Any] | None] = []

    def look_and_go_on() -> None:
        seen.append(read_ack(ran.folder, ran.sent[-1]))
        ran.send(0, "unpause")

    back: dict[str, Any] = {"to": {"step": 4}, "skip_batches": 1}
    colleague = Colleague(ran, lambda: ran.send(0, "rollback", **back), lambda: ran.nudge(0, lr=0.004), look_and_go_on)
    ran.go()
    colleague.join()
    assert ran.told("nudged")[0]["step"] == 4
    assert seen[0] is not None, "the nudge was not answered before the run went on"
    assert seen[0]["ok"]
    same(ran, by_hand(made(), {4: [skip(1), knobs(lr=0.004)]}))


def test_a_signal_ends_a_paused_run(start: Start) -> None:
    ran = start(made())
    ran.send(5, "pause")
    colleague = Colleague(ran, lambda: setattr(ran.stop, "signum", 15))
    with pytest.raises(StoppedError) as caught:
        ran.go()
    colleague.join()
    assert caught.value.exit_code == 143
    assert ran.events[-1]["event"] == "interrupted"
    assert ran.saved("step-*")["position"]["step"] == 5
    again = ran.again()
    colleague = Colleague(again, lambda: send(again.folder, "unpause", {}, who="ada@lab"))
    again.go()
    colleague.join()
    assert [one["event"] for one in again.events if one["event"] in ("resumed", "unpaused")] == ["resumed", "unpaused"]
    same(again, by_hand(made(), {}))


def test_a_stopped_run_has_ended_well_and_can_go_on(start: Start) -> None:
    ran = start(made())
    ran.send(5, "stop", why="enough")
    outcome = ran.go()
    assert (outcome.status, outcome.step) == ("stopped", 5)
    assert (ran.events[-1]["event"], ran.events[-1]["who"], ran.events[-1]["why"]) == ("stopped", "ada@lab", "enough")
    assert ran.answer()["ok"]
    assert ran.result["status"] == "stopped"
    again = ran.again()
    assert again.go().status == "finished"
    same(again, by_hand(made(), {}))


@pytest.mark.parametrize(("due", "step"), [({"epoch": 2}, 8), ({"step": 7}, 7)])
def test_a_run_stops_where_it_was_told_to(due: dict[str, int], step: int, start: Start, tmp_path: Path) -> None:
    ran = start(made())
    ran.send(2, "stop", due=due)
    ran.kill(5, to=tmp_path / "killed")
    ran.go()
    for each in (ran, resumed(tmp_path / "killed", of=ran)):
        assert (each.events[-1]["event"], each.events[-1]["step"]) == ("stopped", step)
        assert each.events[-1]["scheduled"] == ran.sent[0]
        again = each.again()
        again.go()
        same(again, by_hand(made(), {}))


def test_a_kept_checkpoint_has_its_tag_for_itself(start: Start) -> None:
    ran = start(made("checkpoint.keep_last=1"))
    ran.send(3, "checkpoint", tag="good")
    ran.send(5, "checkpoint", tag="good")
    ran.send(5, "checkpoint")
    ran.go()
    assert ran.answer(0)["ok"]
    assert "good" in ran.answer(1)["error"]
    assert "taken" in ran.answer(1)["error"]
    kept = [event for event in ran.told("checkpointed") if event.get("kept")]
    assert [(event["step"], event.get("tag")) for event in kept] == [(3, "good"), (5, None)]
    assert [path.name for path in ran.files("kept-*")] == ["kept-00000003-good.pt", "kept-00000005.pt"]
    assert differences(ran.saved("*good.pt"), by_hand(made("checkpoint.keep_last=1"), {}, stop=3).state()) == []
    same(ran, by_hand(made("checkpoint.keep_last=1"), {}))


@pytest.mark.parametrize("first", ["stop", "nudge"])
def test_a_stop_and_a_nudge_that_are_due_together_both_happen(first: str, start: Start) -> None:
    ran = start(made())
    asked: dict[str, dict[str, Any]] = {"stop": {}, "nudge": {"changes": {"lr": ["=", 0.004]}}}
    for verb in (first, *(asked.keys() - {first})):
        ran.send(2, verb, due={"step": 6}, **asked[verb])
    ran.go()
    assert (ran.events[-1]["event"], ran.events[-1]["step"]) == ("stopped", 6)
    again = ran.again()
    again.go()
    same(again, by_hand(made(), {6: [knobs(lr=0.004)]}))


def test_a_stop_right_after_a_rollback_ends_the_run_where_it_went(start: Start) -> None:
    ran = start(made())
    ran.send(9, "rollback", to={"step": 4})
    ran.send(9, "stop")
    ran.go()
    assert (ran.events[-1]["event"], ran.events[-1]["step"]) == ("stopped", 4)
    again = ran.again()
    again.go()
    same(again, by_hand(made(), {}))


# rollback --------------------------------------------------------------------------------------------------------

TARGETS: dict[str, tuple[dict[str, Any], int]] = {
    "step": ({"step": 3}, 3),
    "checkpoint": ({"step": 6}, 6),
    "epoch": ({"epoch": 1}, 4),
    "start": ({"epoch": 0}, 0),
    "back": ({"back": 2}, 7),
    "nowhere": ({"back": 0}, 9),
}


@pytest.mark.parametrize(("to", "step"), TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize(("batches", "lr"), [(0, None), (2, 0.0005)], ids=["plain", "skip and nudge"])
def test_a_run_goes_back_and_on_from_there(
    to: dict[str, Any], step: int, batches: int, lr: float | None, start: Start, tmp_path: Path
) -> None:
    """A nudge at 2 stays in force where the run goes back behind it; one at 5 is undone with what came after."""
    ran = start(made())
    ran.nudge(2, lr=0.004)
    ran.nudge(5, regularization__dropout=0.5)
    more: dict[str, Any] = {"skip_batches": batches, "changes": {"lr": ["=", lr]}} if lr else {}
    ran.send(9, "rollback", to=to, why="worse", **more)
    ran.do(9, lambda: ran.kill(step + 1, to=tmp_path / "killed"))  # when it comes there for the second time
    ran.go()
    script: dict[int, list[Callable[[TrainingLoop], None]]] = {}
    if step > 2:
        script[2] = [knobs(lr=0.004)]
    if step > 5:
        script[5] = [knobs(regularization__dropout=0.5)]
    if lr:
        script[step] = [skip(batches), knobs(lr=lr)]
    wanted = by_hand(made(), script)
    same(ran, wanted)
    same(resumed(tmp_path / "killed", of=ran), wanted)
    (event,) = ran.told("rolled_back")
    assert (event["step"], event["to"], event["who"], event["why"]) == (9, step, "ada@lab", "worse")
    assert event["line"] == ran.sent[: (step > 2) + (step > 5)]
    answer = ran.answer()
    assert answer["ok"]
    assert f"step 9 -> {step}; --to tag=left-9 undoes it" in answer["said"][0]
    assert not list((ran.folder / "control" / "inbox").iterdir())


def test_a_run_goes_back_to_its_best(start: Start) -> None:
    ran = start(made("lr=0.05"))
    ran.send(11, "rollback", to={"best": True})
    ran.go()
    found = {row["step"]: row["val/accuracy"] for row in ran.rows if "val/accuracy" in row and row["step"] < 11}
    best = max(found, key=lambda step: (found[step], -step))
    assert ran.told("rolled_back")[0]["to"] == best
    same(ran, by_hand(made("lr=0.05"), {}))


def test_rows_of_an_abandoned_line_stay_in_the_file(start: Start) -> None:
    ran = start(made())
    ran.send(9, "rollback", to={"step": 4}, changes={"lr": ["=", 0.002]})
    ran.go()
    lines = [json.loads(line) for line in (ran.folder / "metrics.jsonl").read_text().splitlines()]
    steps = [row["step"] for row in lines if "event" not in row]
    assert steps == [*range(1, 10), *range(5, 13)]
    assert [row["step"] for row in ran.rows] == list(range(1, 13))
    marker = next(row for row in lines if "event" in row)
    assert (marker["step"], marker["from"]) == (4, 9)
    assert {path.parent.name for path in (ran.folder / "checkpoints").glob("abandoned-*/*")} == {"abandoned-00000009"}


def test_a_rollback_past_every_checkpoint_trains_again_from_the_start(start: Start, tmp_path: Path) -> None:
    few = made("checkpoint.every_steps=null", "checkpoint.keep_last=1")
    ran = start(few)
    ran.nudge(2, lr=0.004)
    ran.send(6, "rollback", to={"step": 5}, changes={"regularization.dropout": ["=", 0.1]})
    ran.go()
    assert [event["tag"] for event in ran.told("checkpointed") if event.get("tag")] == ["left-6"]
    assert "5 steps are trained again" in ran.answer()["said"][1]
    same(ran, by_hand(few, {2: [knobs(lr=0.004)], 5: [knobs(regularization__dropout=0.1)]}))


def test_a_rollback_can_be_undone(start: Start) -> None:
    """By the tag that it leaves: a state on a line that had been abandoned."""
    ran = start(made())
    ran.nudge(3, lr=0.004)
    ran.send(9, "rollback", to={"step": 2})

    def repent() -> None:  # at step 6 of the new line
        ran.nudge(0, lr=1e-4)
        ran.send(0, "rollback", to={"tag": "left-9"})

    ran.do(9, lambda: ran.do(6, repent))
    ran.go()
    assert [(event["step"], event["to"]) for event in ran.told("rolled_back")] == [(9, 2), (6, 9)]
    same(ran, by_hand(made(), {3: [knobs(lr=0.004)]}))
    line = living_line(ran.events)
    assert [event["event"] for event in line.chain] == ["nudged", "rolled_back"]


def test_a_run_goes_back_to_a_tag_of_the_line_it_is_on(start: Start) -> None:
    ran = start(made())
    ran.send(5, "checkpoint", tag="good")
    ran.nudge(7, lr=0.1)
    ran.send(9, "rollback", to={"tag": "good"}, skip_batches=2)
    ran.go()
    same(ran, by_hand(made(), {5: [skip(2)]}))


def test_twice_back(start: Start, tmp_path: Path) -> None:
    """Batches stay skipped when the run goes back again to a step after the skip, and not before it."""
    for second, script in {6: {4: [skip(2)]}, 4: {}, 3: {}}.items():
        ran = Ran(made(), tmp_path)
        ran.send(9, "rollback", to={"step": 4}, skip_batches=2)
        ran.do(9, lambda ran=ran, second=second: ran.send(8, "rollback", to={"step": second}))  # type: ignore[misc]
        ran.go()
        assert [event["to"] for event in ran.told("rolled_back")] == [4, second]
        same(ran, by_hand(made(), script))


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ({"step": 7}, "lies ahead"),
        ({"epoch": 2}, "the last whole epoch is 1"),
        ({"tag": "good"}, "no tags"),
        ({"back": 6}, "began at step 0"),
    ],
)
def test_a_place_that_the_run_does_not_have_is_refused(to: dict[str, Any], said: str, start: Start) -> None:
    ran = start(made())
    ran.send(5, "rollback", to=to)
    ran.go()
    assert said in ran.answer()["error"]
    assert ran.told("rolled_back") == []
    assert ran.files("kept-*") == []
    same(ran, by_hand(made(), {}))


def test_a_rollback_with_an_impossible_change_is_refused_whole(start: Start) -> None:
    ran = start(made())
    ran.send(5, "rollback", to={"step": 2}, changes={"lr": ["=", -1]})
    ran.go()
    assert "lr=-1" in ran.answer()["error"]
    assert ran.told("rolled_back") == []
    same(ran, by_hand(made(), {}))


def test_batches_at_an_epochs_end_are_skipped_into_the_next(start: Start) -> None:
    ran = start(made())
    ran.send(7, "rollback", to={"step": 6}, skip_batches=3)
    ran.go()
    same(ran, by_hand(made(), {6: [skip(3)]}))
    validated = [row["step"] for row in ran.rows if "val/loss" in row]
    assert validated == [4, 9, 13][: len(validated)] or len(validated) == 2


def test_commands_during_a_catch_up_wait_for_its_end(start: Start) -> None:
    """Steps are trained again after a rollback: what was in force then comes into force, then what is new."""
    ran = start(made("checkpoint.every_steps=null"))
    ran.nudge(5, lr=0.004)
    ran.send(9, "rollback", to={"step": 7})
    ran.do(9, lambda: ran.nudge(3, regularization__dropout=0.5))  # sent while step 3 is trained again
    ran.go()
    nudged = ran.told("nudged")[1]
    assert nudged["step"] == 7
    wanted = by_hand(
        made("checkpoint.every_steps=null"), {5: [knobs(lr=0.004)], 7: [knobs(regularization__dropout=0.5)]}
    )
    same(ran, wanted)


# a hostile or unlucky world --------------------------------------------------------------------------------------


def test_what_is_no_command_is_set_aside_and_ends_nothing(start: Start) -> None:
    ran = start(made())
    inbox = ran.folder / "control" / "inbox"

    def spoil() -> None:
        inbox.mkdir(parents=True, exist_ok=True)
        (inbox / "readme.txt").write_text("hello")
        (inbox / f"{1:020d}-00000001.json").write_text('{"id": "00')
        (inbox / f"{2:020d}-00000002.json").write_bytes(b"\xff\x00")
        (inbox / f"{3:020d}-00000003.json").symlink_to("/etc/passwd")
        (inbox / f"{4:020d}-00000004.json").mkdir()

    ran.do(5, spoil)
    ran.nudge(5, lr=0.004)
    ran.go()
    aside = ran.told("set_aside")
    assert len(aside) == 5
    assert all(event["reason"] and event["step"] == 5 for event in aside)
    assert len(list((ran.folder / "control" / "set-aside").iterdir())) == 5
    same(ran, by_hand(made(), {5: [knobs(lr=0.004)]}))


def test_a_command_that_is_in_the_ledger_is_not_done_twice(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run killed between a nudge's effect and its answer: the file is still in the inbox when it goes on."""
    ran = start(made())
    ran.send(5, "nudge", changes={"lr": ["*=", 2]})
    answered: list[str] = []
    original = orders_room.acknowledge
    monkeypatch.setattr(orders_room, "acknowledge", lambda _, name, **__: answered.append(name))
    ran.kill(7, to=tmp_path / "killed")
    ran.do(8, lambda: monkeypatch.setattr(orders_room, "acknowledge", original))
    ran.go()
    assert answered.count(ran.sent[0]) > 0
    again = resumed(tmp_path / "killed", of=ran)
    assert len(again.told("nudged")) == 1
    again.sent = ran.sent
    assert again.answer()["ok"]
    assert "in force already" in again.answer()["said"][0]
    same(again, by_hand(made(), {5: [knobs(lr=2 * RATE)]}))


def test_a_command_that_was_not_read_before_a_kill_takes_force_after_it(start: Start, tmp_path: Path) -> None:
    ran = start(made())
    ran.nudge(6, lr=0.004)
    ran.kill(6, to=tmp_path / "killed")
    ran.go()
    again = resumed(tmp_path / "killed", of=ran)
    step = again.told("nudged")[0]["step"]
    assert step <= 6
    same(again, by_hand(made(), {step: [knobs(lr=0.004)]}))


@pytest.mark.parametrize("step", range(5, 12))
def test_a_nudged_run_killed_anywhere_goes_on_exactly(step: int, start: Start, tmp_path: Path) -> None:
    ran = start(varied(made(), "checkpoint", every_steps=4))
    ran.nudge(5, lr=0.004)
    ran.nudge(8, batch_size=20)
    ran.kill(step, to=tmp_path / "killed")
    ran.go()
    again = resumed(tmp_path / "killed", of=ran)
    script: dict[int, list[Callable[[TrainingLoop], None]]] = {}
    for event in again.told("nudged"):
        found = {key: change["new"] for key, change in event["knobs"].items()}
        script.setdefault(event["step"], []).append(knobs(**found))
    assert len(again.told("nudged")) == 1 + (step >= 8)
    if step > 8:
        assert again.sha == ran.sha
        assert (again.folder / "metrics.jsonl").read_bytes() == (ran.folder / "metrics.jsonl").read_bytes()
    same(again, by_hand(varied(made(), "checkpoint", every_steps=4), script))


def test_commands_that_wait_when_a_run_ends_are_refused(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = start(made())
    close = ran.training._close

    def late(ranks: Any) -> None:
        ran.nudge(0, lr=0.004)
        ran.send(0, "checkpoint")
        close(ranks)

    monkeypatch.setattr(ran.training, "_close", late)
    ran.go()
    for index in (0, 1):
        assert not ran.answer(index)["ok"]
        assert ran.answer(index)["error"] == "the run has ended"
    same(ran, by_hand(made(), {}))
    assert not list((ran.folder / "control" / "inbox").iterdir())


def test_after_the_last_step_a_run_can_only_be_made_longer(start: Start) -> None:
    ran = start(made())
    ran.nudge(12, lr=0.004)
    ran.nudge(12, epochs=4)
    ran.nudge(16, epochs=4)
    ran.go()
    assert "nothing to train at step 12" in ran.answer(0)["error"]
    assert ran.answer(1)["ok"]
    assert not ran.answer(2)["ok"]
    same(ran, by_hand(made(), {12: [knobs(epochs=4)]}))


def test_a_nudge_at_the_last_boundary_before_the_end_is_answered(start: Start) -> None:
    ran = start(made())
    ran.nudge(11, lr=0.004)
    ran.go()
    assert ran.answer()["lr"] == ran.rows[-1]["lr"]
    same(ran, by_hand(made(), {11: [knobs(lr=0.004)]}))


def test_the_ledger_is_written_before_a_nudge_takes_force(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    from hpo_cli.engine import steering as steering_room

    ran, seen = start(made()), []
    original = steering_room.set_knobs

    def watched(system: Any, values: Any) -> None:
        seen.append("nudged" in [event["event"] for event in ledger.read_ledger(ran.folder).events])
        original(system, values)

    monkeypatch.setattr(steering_room, "set_knobs", watched)
    ran.nudge(5, lr=0.004)
    ran.go()
    assert seen == [True]


# planned ---------------------------------------------------------------------------------------------------------


def test_a_planned_nudge_is_the_same_nudge_by_hand(start: Start, tmp_path: Path) -> None:
    planned = made("schedule.nudges=[{at: 0.5, lr: 0.004, regularization.dropout: 0.5}]")
    ran = start(planned)
    ran.kill(9, to=tmp_path / "killed")
    ran.kill(5, to=tmp_path / "early")
    ran.go()
    (event,) = ran.told("nudged")
    assert (event["step"], event["who"], event["scheduled"]) == (6, "schedule", "planned-0")
    wanted = by_hand(made(), {6: [knobs(lr=0.004, regularization__dropout=0.5)]})
    same(ran, wanted)
    sent = Ran(made(), tmp_path)
    sent.nudge(6, lr=0.004, regularization__dropout=0.5)
    sent.go()
    assert sent.rows == ran.rows
    assert sent.sha == ran.sha
    for name in ("killed", "early"):
        again = resumed(tmp_path / name, of=ran)
        same(again, wanted)
        assert len(again.told("nudged")) == 1


def test_a_planned_nudge_that_a_rollback_undid_comes_again(start: Start) -> None:
    planned = made("schedule.nudges=[{at: 0.5, lr: 0.004}]")
    ran = start(planned)
    ran.send(8, "rollback", to={"step": 3})
    ran.go()
    assert [event["step"] for event in ran.told("nudged")] == [6, 6]
    assert read_metrics(ran.folder / "metrics.jsonl")[-1]["step"] == 12
    same(ran, by_hand(made(), {6: [knobs(lr=0.004)]}))


@pytest.mark.parametrize("how", ["by hand", "by itself"])
def test_a_planned_nudge_that_was_cancelled_stays_so_after_a_kill(how: str, start: Start, tmp_path: Path) -> None:
    """Else a run that was killed would take it up again where it goes on, other than one that was not."""
    planned = made("schedule.nudges=[{at: 0.5, batch_size: 61}]")  # by itself: there, 62 samples are left
    ran = start(planned)
    if how == "by hand":
        ran.send(2, "cancel", scheduled="planned-0")
    ran.kill(10, to=tmp_path / "killed")
    ran.go()
    assert [event["scheduled"] for event in ran.told("cancelled")] == ["planned-0"]
    again = resumed(tmp_path / "killed", of=ran)
    assert again.told("cancelled") == ran.told("cancelled")
    assert again.sha == ran.sha
    assert again.rows == ran.rows


@pytest.mark.parametrize("to", [{"step": 4}, {"step": 5}])
def test_a_rollback_whose_change_the_data_do_not_allow_is_refused_whole(to: dict[str, int], start: Start) -> None:
    ran = start(made())
    ran.send(6, "rollback", to=to, changes={"batch_size": ["=", 25]})
    ran.go()
    assert not ran.answer()["ok"]
    assert "batch_size" in ran.answer()["error"]
    assert ran.told("rolled_back") == []


def test_a_batch_size_that_leaves_one_sample_of_this_epoch_is_refused(start: Start) -> None:
    """62 of 126 samples are left of this epoch: one would be left over, in which batch norm has no variance."""
    ran = start(made())
    ran.nudge(6, batch_size=61)
    ran.go()
    assert not ran.answer()["ok"]
    assert "batch_size=61" in ran.answer()["error"]
    same(ran, by_hand(made(), {}))
