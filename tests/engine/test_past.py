"""A run's state at any step of its past is the one that it had, whichever line that step was on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hpo_cli.engine import checkpoints
from hpo_cli.engine import past as past_room
from hpo_cli.engine.branching import enter, start_state
from hpo_cli.engine.differences import differences
from hpo_cli.engine.past import past_state
from hpo_cli.engine.stop import StopFlag
from hpo_cli.errors import UserError
from hpo_cli.record.line import living_line
from hpo_cli.record.start import Origin, start_run
from hpo_cli.steer.targets import Goal
from tests.command_line import fast_yaml
from tests.engine.plans import SMALL, new_loop, plan, varied
from tests.engine.runs import Ran, by_hand, knobs, poll_always, skip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hpo_cli.engine.loop import TrainingLoop
    from hpo_cli.plan import RunPlan

WORDS = (
    *("model.norm=batch", "regularization.dropout=0.2", "regularization.ema=0.9", "regularization.clip_norm=1"),
    *("batch.accumulate=2", "batch_size=11", "schedule=plateau", "schedule.patience=0", "schedule.factor=0.5"),
    *(*SMALL, "epochs=3", "checkpoint.every_steps=4", "checkpoint.keep_last=2", "trainer.log_every_steps=2"),
)
"""Eighteen steps in three epochs; of the checkpoints of every fourth one, two are left."""
OLD: dict[int, list[Callable[[TrainingLoop], None]]] = {
    2: [knobs(lr=0.004)],
    7: [knobs(regularization__dropout=0.5, batch_size=10)],
}
NEW: dict[int, list[Callable[[TrainingLoop], None]]] = {
    2: OLD[2],
    5: [skip(2), knobs(lr=0.002)],
    7: OLD[7],
    9: [knobs(lr=0.003)],
}
"""What was asked for a later step is due again after a rollback."""


def made() -> RunPlan:
    with fast_yaml():
        return plan(*WORDS)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Nudged after steps 2 and 7, taken back from step 12 to 5, nudged again after steps 7 and 9."""
    with pytest.MonkeyPatch.context() as patch:
        poll_always(patch)
        ran = Ran(made(), tmp_path_factory.mktemp("past"))
        ran.nudge(2, lr=0.004)
        ran.send(6, "checkpoint", tag="six")
        ran.send(12, "rollback", to={"step": 5}, skip_batches=2, changes={"lr": ["=", 0.002]})
        ran.send(4, "nudge", changes={"regularization.dropout": ["=", 0.5], "batch_size": ["=", 10]}, due={"step": 7})
        ran.do(12, lambda: ran.send(8, "nudge", changes={"lr": ["=", 0.003]}, due={"step": 9}))
        ran.go()
    return ran


def at(step: int, script: dict[int, list[Callable[[TrainingLoop], None]]]) -> dict[str, Any]:
    """The state of a run that a hand took there; what takes force at that very boundary has not."""
    return by_hand(made(), {when: acts for when, acts in script.items() if when < step}, stop=step).state()


def test_the_run_is_what_it_is_meant_to_be(ran: Ran) -> None:
    assert [(event["step"], event["to"]) for event in ran.told("rolled_back")] == [(12, 5)]
    assert [event["step"] for event in ran.told("nudged")] == [2, 7, 5, 7, 9]
    assert sorted(path.name for path in ran.files("step-*")) != []


@pytest.mark.parametrize("step", range(17))
def test_every_step_of_the_living_line(step: int, ran: Ran) -> None:
    line = living_line(ran.events)
    found = past_state(ran.folder, ran.plan, Goal(step, line.before(step)))
    assert differences(found, at(step, NEW)) == []
    assert found["line"] == list(line.before(step))


@pytest.mark.parametrize("step", [6, 8, 11, 12])
def test_steps_of_a_line_that_was_abandoned(step: int, ran: Ran) -> None:
    first, second, *_ = ran.told("nudged")
    ids = (first["id"], *([second["id"]] if step > 7 else []))
    found = past_state(ran.folder, ran.plan, Goal(step, ids))
    assert differences(found, at(step, OLD)) == []
    if step > 5:
        assert differences(found, at(step, NEW)) != []


def test_what_took_force_at_the_goal_itself_can_be_asked_for(ran: Ran) -> None:
    first = ran.told("nudged")[0]
    found = past_state(ran.folder, ran.plan, Goal(2, (first["id"],)))
    assert found["knobs"]["lr"] == 0.004
    assert differences(found, by_hand(made(), {2: OLD[2]}, stop=2).state()) == []
    assert differences(found, at(2, NEW)) != []


@pytest.mark.parametrize("step", [8, 9, 11, 12, 16])
def test_steps_of_a_child(step: int, ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that left step 8 of the run and was nudged after step 10."""
    poll_always(monkeypatch)
    first = past_state(ran.folder, ran.plan, Goal(8, living_line(ran.events).before(8)))
    planned = varied(made(), "", lr=0.006)
    origin = Origin(
        parent={"run": ran.folder.name, "path": str(ran.folder), "step": 8, "line": [], "partial": False},
        write_state=lambda path: checkpoints.save(path, start_state(first, made())),
    )
    folder = start_run(
        varied(planned, "", outputs=str(tmp_path / "outputs")), command=["hpo-run"], overrides=[], hydra_files={},
        origin=origin,
    )  # fmt: skip
    child = Ran(planned, tmp_path, folder=folder)
    child.training.record_data(folder)
    child.reporter.at[10] = [lambda: child.nudge(0, regularization__dropout=0.1)]
    child.go()
    found = past_state(folder, child.plan, Goal(step, living_line(child.events).before(step)))
    hand = new_loop(planned)
    enter(hand, start_state(first, made()), partial=False)
    hand.begin()
    while hand.position.step < step:
        if hand.position.step == 10:
            knobs(regularization__dropout=0.1)(hand)
        hand.advance(1, StopFlag())
    assert differences(found, hand.state(), ignore=("recorded_bytes", "line", "plan_id")) == []
    assert differences(found, at(step, NEW)) != []


def test_nothing_is_written(ran: Ran) -> None:
    before = {path: path.stat().st_mtime_ns for path in ran.folder.rglob("*")}
    past_state(ran.folder, ran.plan, Goal(3, living_line(ran.events).before(3)))
    assert {path: path.stat().st_mtime_ns for path in ran.folder.rglob("*")} == before


def test_a_damaged_checkpoint_is_passed_over_and_left(ran: Ran, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(ran.folder, folder)
    for path in (folder / "checkpoints").glob("*.pt"):
        path.write_bytes(b"no checkpoint")
    names = sorted(folder.rglob("*"))
    found = past_state(folder, ran.plan, Goal(8, living_line(ran.events).before(8)))
    assert differences(found, at(8, NEW)) == []
    assert sorted(folder.rglob("*")) == names


def test_a_step_beyond_the_runs_end_is_refused(ran: Ran) -> None:
    with pytest.raises(UserError, match=r"ends at step \d+, before step 400; give an earlier place"):
        past_state(ran.folder, ran.plan, Goal(400, living_line(ran.events).ids))


def test_a_checkpoint_at_the_goal_is_taken_as_it_is(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    """No training is needed where the state was saved."""
    monkeypatch.setattr(past_room, "_trained_on", lambda *_: pytest.fail("it trained"))
    event = next(event for event in ran.told("checkpointed") if event.get("tag") == "six")
    found = past_state(ran.folder, ran.plan, Goal(6, tuple(event["line"]), event["file"]))
    assert differences(found, checkpoints.load(ran.folder / event["file"])) == []


def copy_with(ran: Ran, folder: Path, **changed: object) -> Path:
    """The run's folder without checkpoints to take, its ledger changed: of `checkpointed` events, or of its data."""
    shutil.copytree(ran.folder, folder)
    lines = []
    for event in ran.events:
        kind = "data" if "threads" in changed or "device" in changed else "checkpointed"
        lines.append(json.dumps({**event, **changed} if event["event"] == kind else event))
    (folder / "ledger.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("file", ["/etc/hostname", "../../victim.pt", ["x"], None, "", "..", "step-\0.pt", 7])
def test_a_ledgers_file_leads_nowhere_else(
    file: object, ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    original = checkpoints.file_sha256
    monkeypatch.setattr(checkpoints, "file_sha256", lambda path: (read.append(path), original(path))[1])
    monkeypatch.setattr(checkpoints, "load", lambda path: pytest.fail(f"{path} was read"))
    folder = copy_with(ran, tmp_path / "copy", file=file, sha256="0")
    (folder.parent / "victim.pt").write_bytes(b"secret")
    found = past_state(folder, ran.plan, Goal(13, living_line(ran.events).before(13)))
    assert differences(found, at(13, NEW)) == []
    assert all(path.parent == folder / "checkpoints" for path in read)


@pytest.mark.parametrize(("said", "set_to"), [(3, 3), (1, 1), ("x", 1), (0, 1), (10**9, 1), (True, 1)])
def test_steps_are_trained_again_with_as_many_threads_as_they_were(
    said: object, set_to: int, ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[int]()
    monkeypatch.setattr(past_room.torch, "set_num_threads", told.append)
    folder = copy_with(ran, tmp_path / "copy", threads=said)
    past_state(folder, ran.plan, Goal(1, ()))
    assert told == [set_to]


@pytest.mark.parametrize(
    ("trainer", "said", "what"),
    [
        ({"precision": "bf16-mixed"}, {}, "in bf16-mixed"),
        ({"compile": True}, {}, "of a compiled network"),
        ({}, {"device": "cuda"}, "on the device cuda"),
        ({}, {"device": "cuda:0"}, "on the device cuda:0"),
        ({"devices": 2}, {}, "of several processes"),
    ],
)
def test_what_would_have_other_bits_is_not_trained_again(
    trainer: dict[str, Any], said: dict[str, Any], what: str, ran: Ran, tmp_path: Path
) -> None:
    folder = copy_with(ran, tmp_path / "copy", threads=1, **said)
    planned = replace(ran.plan, trainer=replace(ran.plan.trainer, **trainer))
    with pytest.raises(
        UserError, match=rf"no checkpoint is at step 1, and a run {what} is not trained again here; choose"
    ):
        past_state(folder, planned, Goal(1, ()))
    saved = next(event for event in ran.told("checkpointed") if event.get("tag") == "six")
    assert past_state(folder, planned, Goal(6, tuple(saved["line"])))["position"]["step"] == 6
