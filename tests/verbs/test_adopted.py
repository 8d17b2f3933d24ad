"""Population based training's winner in the family's verbs: shown, exported, branched; replay points to export."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from hpo_cli.engine.adoption import adopt
from hpo_cli.record import ledger
from hpo_cli.sweep.adopting import link_newest
from hpo_cli.sweep.executors.contract import Adoption
from hpo_cli.verbs.children import put_off
from tests.command_line import call, refuse_in_one_line
from tests.verbs.steered import begun, child_of, events_of, nudge_at, rows_of, sha_of, train
from tests.verbs.trained import inside

MACHINE = ("trainer=cpu", "trainer.threads=1", "trainer.log_every_steps=1")
WORDS = ("optimizer=momentum", "schedule=constant")


def to_rung(folder: Path, epoch: int) -> None:
    put_off(folder, step=0, due={"epoch": epoch}, do="stop", who="sweep")
    train(folder)


def exploit(folder: Path, source: Path, **changes: Any) -> None:
    file = link_newest(source, folder)
    assert file is not None
    wanted = {key.replace("__", "."): value for key, value in changes.items()}
    adopt(folder, Adoption(file, str(source), wanted, "the best of 3"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three members of four epochs of eight steps, with two exploits: 3 -> 2 after epoch 1, 2 -> 1 after epoch 2."""
    place = tmp_path_factory.mktemp("trained")
    with inside(place):
        members = [
            begun(f"outputs/all/s-{index}", *WORDS, f"lr={lr}", f"regularization.dropout={dropout}")
            for index, lr, dropout in ((1, 1e-6, 0.3), (2, 1e-5, 0.2), (3, 0.05, 0.1))
        ]
        nudge_at(members[2], 5, optimizer__momentum=0.85)
        for folder in members:
            to_rung(folder, 1)
        exploit(members[1], members[2], lr=0.04)
        for folder in members:
            to_rung(folder, 2)
        exploit(members[0], members[1], lr=0.05, regularization__dropout=0.15)
        for folder in members:
            train(folder)
    return place


@pytest.fixture
def winner(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(trained / "outputs", tmp_path / "outputs")
    monkeypatch.chdir(tmp_path)
    return Path("outputs/all/s-1")


SCHEDULE = [
    {"at": 0.16, "optimizer.momentum": 0.85},
    {"at": 0.25, "lr": 0.04},
    {"at": 0.5, "lr": 0.05, "regularization.dropout": 0.15},
]


def test_export_writes_the_schedule_through_all_adoptions(winner: Path) -> None:
    answer = call("export", "s-1", "--to", "mine/experiment/won.yaml", "--json")
    assert answer.code == 0, answer
    assert json.loads(answer.out)["notes"] == []
    found = yaml.safe_load(Path("mine/experiment/won.yaml").read_text())
    assert (found["lr"], found["regularization"]) == (0.05, {"dropout": 0.1})
    assert found["schedule"]["nudges"] == SCHEDULE


def test_training_with_the_exported_file_ends_with_the_winners_bits(winner: Path) -> None:
    command = json.loads(call("export", "s-1", "--to", "mine/experiment/won.yaml", "--json").out)["command"]
    again = child_of(*command[1:], *MACHINE)
    assert sha_of(again) == sha_of(winner)
    assert rows_of(again) == rows_of(winner)
    values = {event["step"]: {key: change["new"] for key, change in event["knobs"].items()} for event in nudged(again)}
    assert values == {
        5: {"optimizer.momentum": 0.85}, 8: {"lr": 0.04}, 16: {"lr": 0.05, "regularization.dropout": 0.15},
    }  # fmt: skip


def nudged(folder: Path) -> list[dict[str, Any]]:
    return [event for event in events_of(folder) if event["event"] == "nudged"]


def test_a_schedule_that_lost_a_line_ends_with_others(winner: Path) -> None:
    """The negative control."""
    command = json.loads(call("export", "s-1", "--to", "mine/experiment/won.yaml", "--json").out)["command"]
    found = yaml.safe_load(Path("mine/experiment/won.yaml").read_text())
    del found["schedule"]["nudges"][1]
    Path("mine/experiment/won.yaml").write_text("# @package _global_\n" + yaml.safe_dump(found, sort_keys=False))
    assert sha_of(child_of(*command[1:], *MACHINE)) != sha_of(winner)


def test_replay_says_what_to_do_instead(winner: Path) -> None:
    said = refuse_in_one_line("replay", "s-1")
    assert "took over the state of s-2 at step 16" in said
    assert "hpo-run export s-1" in said
    assert call("replay", "s-3").code == 0


def test_show_has_the_values_of_now_and_tells_the_story(winner: Path) -> None:
    answer = call("show", "s-1")
    assert answer.code == 0, answer
    assert "took over the state of s-2, lr 1e-06 -> 0.05" in answer.out.replace("1e-6", "1e-06")
    assert "the best of 3" in answer.out


def test_show_names_no_command_that_would_not_repeat_it(winner: Path) -> None:
    lines = call("show", "s-1").out.splitlines()
    again = lines[lines.index("again") :]
    assert "a replay is not possible" in again[1]
    assert again[2].split()[:2] == ["hpo-run", "export"]
    assert not any("optimizer=momentum" in line for line in again)
    assert json.loads(call("show", "s-1", "--json").out)["command"] == ""


@pytest.mark.parametrize("words", [("tree", "s-1"), ("curves", "s-1", "s-3"), ("ls",), ("diff", "s-1", "s-3")])
def test_other_readers_do_not_break(winner: Path, words: tuple[str, ...]) -> None:
    assert call(*words).code == 0


def test_test_takes_the_best_weights_of_the_lineage(winner: Path) -> None:
    assert call("test", "s-1").code == 0


def test_a_child_of_the_winner_begins_with_its_values(winner: Path) -> None:
    child = child_of("branch", "s-1", "--at", "epoch=3", "epochs=5")
    assert (events_of(child)[0]["lr"], events_of(child)[0]["parent"]["step"]) == (0.05, 24)
    assert rows_of(child, after=24)[0] == {**rows_of(winner, after=24)[0]}
    assert "s-1: " not in refuse_in_one_line("branch", "s-1", "--at", "epoch=1")


def test_a_child_of_the_winner_does_not_meet_the_past_of_its_plan(winner: Path) -> None:
    assert [event for event in nudged(child_of("branch", "s-1", "--at", "epoch=3")) if event["step"] <= 24] == []


def test_resumed_for_longer_it_goes_on(winner: Path) -> None:
    answer = call("resume=s-1", "epochs=5")
    assert answer.code == 0, answer.err
    assert rows_of(winner)[-1]["step"] == 40


def by_hand(folder: Path, *, history: list[dict[str, Any]], **fields: Any) -> None:
    """An adoption as a ledger has it."""
    event = {"to": 8, "line": [], "file": "checkpoints/adopted-1.pt", "knobs": {}, "who": "sweep", "why": ""}
    adopted = {"run": "x", "path": "/x", "step": 8, "seed": 0, "changes": {}, "history": history}
    ledger.append(folder, "data", step=0, train=126)
    ledger.append(folder, "rolled_back", step=8, id="a", **{**event, "adopted": {**adopted, **fields}})


def exported(folder: Path) -> tuple[dict[str, Any], list[str]]:
    answer = json.loads(call("export", str(folder), "--to", f"mine/experiment/{folder.name}.yaml", "--json").out)
    return yaml.safe_load(Path(answer["file"]).read_text()), answer["notes"]


def test_a_ledger_by_hand_without_nudges_gives_the_others_start(winner: Path) -> None:
    folder = begun("outputs/all/hand", *WORDS, "lr=0.1")
    by_hand(folder, history=[{"step": 0, "knobs": {"lr": {"old": 0.1, "new": 0.3}}}])
    found, notes = exported(folder)
    assert (found["lr"], found.get("schedule", {}).get("nudges"), notes) == (0.3, None, [])


def test_a_ledger_by_hand_tells_of_other_seeds_and_skipped_batches(winner: Path) -> None:
    folder = begun("outputs/all/hand", *WORDS, "lr=0.1")
    history = [{"step": 0, "knobs": {}}, {"step": 4, "knobs": {}, "skip_batches": 3}]
    by_hand(folder, history=history, seed=5, changes={"lr": {"old": 0.1, "new": 0.2}})
    found, notes = exported(folder)
    assert found["schedule"]["nudges"] == [{"at": 0.25, "lr": 0.2}]
    assert notes == ["until step 8 it was x, of seed 5", "3 batches skipped at step 4"]


def test_a_change_at_the_moment_of_an_adoption_counts_before_later_ones(winner: Path) -> None:
    folder = begun("outputs/all/hand", *WORDS, "lr=0.1")
    by_hand(folder, history=[{"step": 0, "knobs": {}}], changes={"lr": {"old": 0.1, "new": 0.2}})
    ledger.append(folder, "nudged", step=8, id="b", knobs={"lr": {"old": 0.2, "new": 0.4}}, who="ada", why="")
    assert exported(folder)[0]["schedule"]["nudges"] == [{"at": 0.25, "lr": 0.4}]
