"""`hpo-run branch`: a child goes on with its parent's bits, or with other settings, and its parent is left alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hpo_cli.record import ledger
from tests.command_line import call, refuse_in_one_line
from tests.verbs.steered import (
    begun,
    bytes_of,
    child_of,
    events_of,
    new_runs,
    rows_of,
    sha_of,
    started_of,
    stop_at,
    train,
)


def plan_of(folder: Path) -> dict[str, object]:
    return dict(yaml.safe_load((folder / "plan.yaml").read_text()))


@pytest.mark.parametrize("place", ["step=24", "step=27", "epoch=3", "-5"])
def test_a_child_without_overrides_ends_with_its_parents_bits(parent: Path, place: str) -> None:
    child = child_of("branch", "parent", "--at", place)
    start = started_of(child)["parent"]["step"]
    assert sha_of(child) == sha_of(parent)
    assert rows_of(child) == rows_of(parent, after=start)
    assert start in (24, 27)


def test_a_child_that_differs_does_not(parent: Path) -> None:
    child = child_of("branch", "parent", "--at", "step=24", "seed=1")
    assert sha_of(child) != sha_of(parent)


def test_the_parents_files_are_never_touched(parent: Path) -> None:
    before = bytes_of(parent)
    child_of("branch", "parent", "--at", "step=15", "lr=0.5")
    assert bytes_of(parent) == before


def test_the_childs_words_are_those_of_its_parent_and_its_nudges_and_its_own(parent: Path) -> None:
    child = child_of("branch", "parent", "--at", "step=15", "optimizer.lr/=2", "--name", "low", "--no-train")
    started = started_of(child)
    own = started_of(parent)["overrides"]
    dropped = "regularization.dropout=0.1"
    kept = [word for word in own if word != dropped]
    assert started["overrides"] == [*kept, "regularization.dropout=0.2", "optimizer.lr=0.002", "name=low"]
    assert started["parent"]["changes"] == ["optimizer.lr=0.002"]
    assert started["parent"]["step"] == 15
    assert started["parent"]["epoch"] == 1
    assert started["parent"]["run"] == "parent"
    assert Path(started["parent"]["path"]) == parent.resolve()
    assert len(started["parent"]["line"]) == 1
    assert plan_of(child)["lr"] == 0.002
    assert child.parent.name == "low"


def test_a_folder_that_is_only_made_trains_later_to_the_same_bits(parent: Path) -> None:
    child = child_of("branch", "parent", "--at", "step=24", "--no-train")
    assert not (child / "metrics.jsonl").exists()
    assert (child / "checkpoints" / "start.pt").exists()
    assert sha_of(train(child)) == sha_of(parent)


def test_a_child_of_a_child_goes_on_as_well(parent: Path) -> None:
    first = child_of("branch", "parent", "--at", "step=22")
    second = child_of("branch", str(first), "--at", "step=29")
    assert sha_of(second) == sha_of(parent)
    assert "began at step 22" in refuse_in_one_line("branch", str(first), "--at", "step=20")


def test_a_stopped_run_is_left_where_it_stands(parent: Path) -> None:
    stopped = begun("outputs/all/stopped")
    stop_at(stopped, 13)
    train(stopped)
    child = child_of("branch", "stopped")
    assert started_of(child)["parent"]["step"] == 13
    assert rows_of(child)[-1]["step"] == 32


def test_cold_keys_change_where_the_weights_still_fit(parent: Path) -> None:
    child = child_of("branch", "parent", "--at", "step=15", "optimizer=sgd", "model.activation=tanh")
    assert plan_of(child)["choices"]["optimizer"] == "sgd"  # type: ignore[index]
    assert plan_of(child)["lr"] == 0.004
    assert rows_of(child)[-1]["step"] == 32


def test_weights_that_do_not_fit_are_refused_before_a_folder_is_made(parent: Path) -> None:
    before = {path.parent for path in Path("outputs").glob("*/*/ledger.jsonl")}
    answer = call("branch", "parent", "--at", "step=15", "model.width=24")
    assert answer.code == 2
    assert answer.err.startswith("model=mlp: the parent's weights do not fit: linear0.weight (16x64 -> 24x64)")
    assert not new_runs(Path("outputs"), before)
    child = child_of("branch", "parent", "--at", "step=15", "model.width=24", "--partial")
    assert started_of(child)["parent"]["partial"] is True
    assert rows_of(child)[0]["step"] == 16


def test_a_key_that_the_new_option_lacks_is_left_out_aloud(parent: Path) -> None:
    folder = train(begun("outputs/all/betas", "optimizer.betas=[0.8,0.99]", "epochs=1"))
    answer = call("branch", str(folder), "--at", "step=4", "optimizer=sgd", "--no-train")
    assert answer.code == 0
    assert "optimizer.betas=[0.8,0.99]: left out, optimizer=sgd has no such key" in answer.out


def test_planned_nudges_that_have_taken_force_do_not_come_again(parent: Path) -> None:
    folder = train(begun("outputs/all/planned", "schedule.nudges=[{at: 0.25, lr: 0.004}, {at: 0.75, lr: 0.001}]"))
    child = child_of("branch", str(folder), "--at", "step=12", "lr=0.05")
    nudges = [(event["step"], event["knobs"]["lr"]["new"]) for event in events_of(child) if event["event"] == "nudged"]
    assert nudges == [(24, 0.001)]
    same = child_of("branch", str(folder), "--at", "step=12")
    assert sha_of(same) == sha_of(folder)


def test_with_nothing_left_to_train_it_is_refused(parent: Path) -> None:
    assert "nothing is left to train: 4 epochs are done" in refuse_in_one_line("branch", "parent")
    longer = child_of("branch", "parent", "epochs+=1")
    assert rows_of(longer)[-1]["step"] == 40


def test_resume_with_branch_is_the_same(parent: Path) -> None:
    child = child_of(f"resume={parent}", "branch=true", "epochs=5", "lr=0.01")
    assert started_of(child)["parent"]["run"] == "parent"
    assert rows_of(child)[-1]["step"] == 40


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--at", "step=99"), "lies ahead"),
        (("--at", "epoch=9"), "epoch=9"),
        (("--at", "tag=x"), "no tags"),
        (("--at", "noon"), "no place in a run's past"),
        (("lr",), "lr: not an override"),
        (("--prtial",), "did you mean --partial?"),
        (("--at", "step=9", "modl.depth=3"), "modl"),
        (("--at", "step=9", "lr/=0"), "lr"),
        (("--at", "step=9", "data.subset=0.001"), "data.subset"),
    ],
)
def test_wrong_words_are_refused_in_one_line(parent: Path, words: tuple[str, ...], part: str) -> None:
    before = {path.parent for path in Path("outputs").glob("*/*/ledger.jsonl")}
    answer = call("branch", "parent", *words)
    assert answer.code == 2, answer
    assert part in answer.err
    assert "internal" not in answer.err
    assert not new_runs(Path("outputs"), before)


def test_json_describes_the_child(parent: Path) -> None:
    answer = call("branch", "parent", "--at", "step=30", "--json")
    assert answer.code == 0
    assert json.loads(answer.out)["status"] == "finished"


EVIL = ("allow_targets=[evil]", "model._target_=evil.net")


@pytest.fixture
def evil(parent: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that leaves a mark when it is imported."""
    mark = Path("mark").resolve()
    Path("evil.py").write_text(
        f"open({str(mark)!r}, 'w').close()\nfrom hpo_cli.components.models.mlp import MLP as net\n"
    )
    monkeypatch.syspath_prepend(str(Path.cwd()))
    yield mark
    sys.modules.pop("evil", None)


def say_in_ledger(folder: Path, *words: str, **fields: object) -> None:
    """Edit the line with which a run began."""
    first, *rest = (folder / "ledger.jsonl").read_text().splitlines()
    event = json.loads(first)
    event["overrides"] += words
    (folder / "ledger.jsonl").write_text("\n".join([json.dumps({**event, **fields}), *rest, ""]))


@pytest.mark.parametrize("verb", ["branch", "twin"])
def test_words_in_a_strangers_ledger_run_no_code(parent: Path, evil: Path, verb: str) -> None:
    say_in_ledger(parent, *EVIL)
    said = refuse_in_one_line(verb, "parent", "--at", "step=15", "lr=0.5")
    assert "the words in its ledger make a plan with the id" in said
    assert not evil.exists()


def test_a_ledger_cannot_allow_what_the_plan_does_not(parent: Path, evil: Path) -> None:
    say_in_ledger(parent, "allow_targets=[evil]")
    said = refuse_in_one_line("branch", "parent", "--at", "step=15", "model._target_=evil.net")
    assert "allow_targets=[evil] if you trust it" in said
    assert not evil.exists()


def test_nor_can_a_folder_of_options_that_it_names(parent: Path, evil: Path) -> None:
    Path("theirs/experiment").mkdir(parents=True)
    Path("theirs/experiment/mine.yaml").write_text("# @package _global_\nallow_targets: [evil]\n")
    say_in_ledger(parent, "experiment=mine", command=["hpo-run", "--config-dir", str(Path("theirs").resolve())])
    child = child_of("branch", "parent", "--at", "step=15", "--no-train")
    assert plan_of(child)["allow_targets"] == []
    assert not evil.exists()


def test_what_is_allowed_by_its_user_is_run(parent: Path, evil: Path) -> None:
    """The positive control, and a child of such a run needs the same trust."""
    child = child_of("branch", "parent", "--at", "step=15", *EVIL)
    assert evil.exists()
    assert "add --allow evil" in refuse_in_one_line("branch", str(child), "--at", "step=20")
    assert sha_of(child_of("branch", str(child), "--at", "step=20", "--allow", "evil")) == sha_of(child)
    assert sha_of(child_of("replay", str(child), "--allow", "evil")) == sha_of(child)


@pytest.mark.parametrize("verb", ["branch", "twin", "replay", "export"])
def test_a_plan_that_is_not_the_one_of_the_ledger_is_refused(parent: Path, verb: str) -> None:
    say_in_ledger(parent, plan_id="0123456789ab")
    words = ("lr=0.5",) if verb in ("branch", "twin") else ()
    assert "the run was started with 0123456789ab" in refuse_in_one_line(verb, "parent", *words)


def test_a_child_knows_the_threads_of_its_parent(parent: Path) -> None:
    child = child_of("branch", "parent", "--at", "step=15", "--no-train")
    assert started_of(child)["parent"]["threads"] == 1


def test_a_planned_nudge_that_was_cancelled_stays_so_in_a_child(parent: Path) -> None:
    folder = begun("outputs/all/planned", "schedule.nudges=[{at: 0.5, lr: 1e-4}]")
    ledger.append(folder, "cancelled", step=0, scheduled="planned-0", who="ada@bench", why="")
    stop_at(folder, 10)
    train(folder)
    child = child_of("branch", "planned")
    assert plan_of(child)["schedule"]["nudges"] == []  # type: ignore[index]
    assert not [event for event in events_of(child) if event["event"] == "nudged"]
