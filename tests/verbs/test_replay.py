"""`hpo-run replay`: the same plan and ledger end with the same bits, and a run that differs is found different."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hpo_cli.record import ledger
from hpo_cli.steer.commands import send
from tests.command_line import call, refuse_in_one_line
from tests.verbs.steered import (
    begun,
    bytes_of,
    child_of,
    events_of,
    nudge_at,
    rows_of,
    sha_of,
    started_of,
    stop_at,
    train,
)


def test_a_nudged_run_comes_out_identical(parent: Path) -> None:
    before = bytes_of(parent)
    again = child_of("replay", "parent")
    assert sha_of(again) == sha_of(parent)
    assert rows_of(again) == rows_of(parent)
    assert bytes_of(parent) == before
    assert started_of(again)["replay_of"] == {"run": "parent", "path": str(parent.resolve()), "threads": 1}
    there, here = ([event for event in events_of(one) if event["event"] == "nudged"] for one in (parent, again))
    assert [event["id"] for event in here] == [event["id"] for event in there]
    assert {(event["who"], event["via"]) for event in here} == {("ada@bench", "replay")}


def test_it_says_identical_and_leaves_with_0(parent: Path) -> None:
    answer = call("replay", "parent")
    assert answer.code == 0
    assert f"identical  {sha_of(parent)}" in answer.out
    assert "32 steps" in answer.out


@pytest.mark.parametrize("which", ["plan", "ledger"])
def test_a_run_that_was_trained_otherwise_is_found_different(parent: Path, which: str) -> None:
    """The negative control: an original whose weights are those of another nudge."""
    events = events_of(parent)
    for event in events:
        event.pop("at")
        if event["event"] == "nudged" and which == "ledger":
            event["knobs"]["lr"]["new"] *= 1.0001
        if event["event"] == "nudged" and which == "plan":
            event["event"] = "forgotten"
    (parent / "ledger.jsonl").unlink()
    for event in events:
        ledger.append(parent, event.pop("event"), **event)
    answer = call("replay", "parent")
    assert answer.code == 1, answer
    assert "different  " in answer.out
    assert "numbers differ" in answer.out
    assert "the first row of metrics that differs is that of step 11" in answer.out


def test_a_stopped_run_is_replayed_to_its_last_step(parent: Path) -> None:
    stopped = begun("outputs/all/stopped")
    stop_at(stopped, 13)
    train(stopped)
    again = child_of("replay", "stopped")
    assert sha_of(again) == sha_of(stopped)
    assert rows_of(again)[-1]["step"] == 13


def test_a_run_that_lost_its_result_is_compared_by_its_last_checkpoint(parent: Path) -> None:
    (parent / "result.json").unlink()
    answer = call("replay", "parent", "--json")
    assert answer.code == 0, answer
    assert json.loads(answer.out)["identical"] is True


def test_a_branch_is_replayed_from_its_own_start(parent: Path) -> None:
    child = child_of("branch", "parent", "--at", "step=12", "lr=0.02")
    shutil.rmtree(parent)
    again = child_of("replay", str(child))
    assert sha_of(again) == sha_of(child)
    (child / "checkpoints" / "start.pt").unlink()
    assert "start.pt: is missing" in refuse_in_one_line("replay", str(child))


def test_a_run_that_was_rolled_back_is_replayed_along_its_living_line(parent: Path) -> None:
    folder = begun("outputs/all/rolled", "epochs=200", "trainer.log_every_steps=50")
    args = {"to": {"step": 0}, "skip_batches": 3, "changes": {"lr": ["*=", 0.5]}}
    send(folder, "rollback", args, who="ada@bench")
    train(folder)
    kinds = [event["event"] for event in events_of(folder) if event["event"] in ("rolled_back", "nudged")]
    assert kinds == ["rolled_back", "nudged"]
    again = child_of("replay", "rolled")
    assert sha_of(again) == sha_of(folder)
    assert rows_of(again) == rows_of(folder)


def test_a_run_that_has_saved_nothing_is_refused(parent: Path) -> None:
    folder = begun("outputs/all/fresh")
    (folder / "ledger.jsonl").write_text((folder / "ledger.jsonl").read_text().replace('"pid": ', '"pid": 9999'))
    text = refuse_in_one_line("replay", "fresh")
    assert "before its first checkpoint" in text


def test_what_was_cancelled_does_not_happen_in_the_replay(parent: Path) -> None:
    folder = begun("outputs/all/planned", "schedule=constant", "schedule.nudges=[{at: 0.5, lr: 1e-4}]")
    nudge_at(folder, 5, lr=0.003)
    ledger.append(folder, "cancelled", step=0, scheduled="planned-0", who="ada@bench", why="")
    ledger.append(folder, "cancelled", step=0, scheduled="another", who="ada@bench", why="")
    train(folder)
    again = child_of("replay", "planned")
    assert sha_of(again) == sha_of(folder)
    (event,) = [event for event in events_of(again) if event["event"] == "cancelled"]
    assert (event["scheduled"], event["who"], event["via"]) == ("planned-0", "ada@bench", "replay")
    assert rows_of(folder)[-1]["lr"] == 0.003


def test_a_planned_nudge_that_was_not_cancelled_comes_again(parent: Path) -> None:
    """The negative control."""
    folder = train(begun("outputs/all/planned", "schedule=constant", "schedule.nudges=[{at: 0.5, lr: 1e-4}]"))
    assert rows_of(folder)[-1]["lr"] == 1e-4
    assert sha_of(child_of("replay", "planned")) == sha_of(folder)
