"""Branches as the trials of a sweep: the words of the children, and their folders, as `hpo-run branch` makes them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hpo_cli.engine import checkpoints
from hpo_cli.engine.birth import begin_branch
from hpo_cli.errors import ConfigError, UserError
from hpo_cli.record import ledger
from hpo_cli.verbs.composing import Composed, ComposeWords, composed
from hpo_cli.verbs.offspring import branch_words, of_run, split_place
from tests.command_line import child as in_a_process
from tests.command_line import fast_yaml
from tests.verbs.steered import begun, bytes_of, child_of, events_of, nudge_at, rows_of, sha_of, started_of, train

NO_WORDS = ComposeWords((), None, "config")
SWEEP = Path("outputs/sweep/abc123")


@dataclass(frozen=True)
class Task:
    """What a worker is asked."""

    folder: Path
    plan: dict[str, Any]
    begin: dict[str, Any]
    parent: dict[str, Any] | None = field(default=None)


def job(ref: str, *setting: str, number: int = 1) -> Task:
    """What the driver makes of `resume=REF` and a trial's setting."""
    with fast_yaml():
        where, words = of_run(ref, NO_WORDS, outputs="outputs")
        made: Composed = composed(ComposeWords((*words.overrides, *setting), words.config_dir, words.config_name))
    begin = {"command": made.words.command, "overrides": list(made.words.overrides), "hydra_files": {}}
    plain = json.loads(json.dumps({"plan": made.plan.to_dict(), "begin": begin, "parent": where}))
    return Task(SWEEP / f"abc123-{number}", **plain)


@pytest.mark.parametrize("place", ["best", "last", "step=13", "epoch=2"])
def test_a_trial_ends_with_the_bits_of_a_branch(parent: Path, place: str) -> None:
    branch = child_of("branch", "parent", "--at", place, "lr=0.003", "epochs=6")
    folder = begin_branch(job(f"parent@{place}", "lr=0.003", "epochs=6"))
    train(folder)
    assert sha_of(folder) == sha_of(branch)
    assert rows_of(folder) == rows_of(branch)
    there, here = (started_of(one)["parent"] for one in (branch, folder))
    assert {key: there[key] for key in here} == here
    assert started_of(folder)["plan_id"] == started_of(branch)["plan_id"]


def test_other_settings_end_otherwise(parent: Path) -> None:
    """The negative control."""
    folders = [begin_branch(job("parent@best", f"lr={lr}", "epochs=6", number=n)) for n, lr in ((1, 0.003), (2, 0.001))]
    assert len({sha_of(train(folder)) for folder in folders}) == 2


def test_the_children_of_one_place_share_one_file(parent: Path) -> None:
    folders = [begin_branch(job("parent@best", f"lr={lr}", "epochs=6", number=n)) for n, lr in ((1, 0.003), (2, 0.001))]
    starts = [folder / "checkpoints/start.pt" for folder in folders]
    assert starts[0].samefile(starts[1])
    assert len(list(SWEEP.glob("parent-*.pt"))) == 1


def test_where_links_fail_a_child_has_a_copy(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    task = job("parent@best", "lr=0.003", "epochs=6")
    folder = task.folder
    from hpo_cli.engine import birth

    birth.begin_branch(task)
    (shared,) = SWEEP.glob("parent-*.pt")
    assert checkpoints.file_sha256(folder / "checkpoints/start.pt") == checkpoints.file_sha256(shared)


def test_a_folder_that_is_made_stays_as_it_is(parent: Path) -> None:
    task = job("parent@best", "lr=0.003", "epochs=6")
    folder = begin_branch(task)
    before = bytes_of(folder)
    assert begin_branch(task) == folder
    assert bytes_of(folder) == before


def test_a_half_made_folder_is_set_aside(parent: Path) -> None:
    task = job("parent@best", "lr=0.003", "epochs=6")
    (task.folder / "checkpoints").mkdir(parents=True)
    (task.folder / "plan.yaml").write_text("half")
    train(begin_branch(task))
    assert (SWEEP / "abc123-1-half/plan.yaml").read_text() == "half"


def test_the_place_is_the_one_of_the_beginning_whatever_the_parent_does_later(parent: Path) -> None:
    early = job("parent", "epochs=8")
    train(parent, "epochs=6")
    late = job("parent", "epochs=8", number=2)
    steps = [started_of(begin_branch(one))["parent"]["step"] for one in (early, late)]
    assert steps == [32, 48]


def test_a_parent_that_was_edited_is_refused(parent: Path) -> None:
    task = job("parent@best", "lr=0.003")
    text = (parent / "plan.yaml").read_text()
    (parent / "plan.yaml").write_text(text.replace("batch_size: 16", "batch_size: 32"))
    with pytest.raises(UserError, match="when the sweep began"):
        begin_branch(task)
    assert not task.folder.exists()


def test_a_child_that_would_have_nothing_to_train_is_refused_before_it_has_a_folder(parent: Path) -> None:
    with pytest.raises(UserError, match="nothing is left to train"):
        begin_branch(job("parent@last", "lr=0.003"))
    assert not (SWEEP / "abc123-1").exists()


def test_the_words_have_the_nudges_of_the_place(parent: Path) -> None:
    assert "lr=0.002" in branch_words(parent, "last", []).overrides
    assert "lr=0.004" in branch_words(parent, "step=15", []).overrides
    assert not any(word.startswith("lr=") for word in branch_words(parent, "step=5", []).overrides)
    assert "lr=0.001" in branch_words(parent, "last", ["lr/=2"]).overrides
    assert "lr=0.002" not in branch_words(parent, "last", ["lr=0.5"]).overrides


def test_a_run_that_took_nudges_of_its_own_plan_does_not_meet_them_twice(parent: Path) -> None:
    folder = begun("outputs/all/planned", "schedule.nudges=[{at: 0.25, lr: 0.01}, {at: 0.75, lr: 0.001}]")
    train(folder)
    words = branch_words(folder, "step=16", []).overrides
    assert "schedule.nudges=[{at:0.75,lr:0.001}]" in words
    assert "lr=0.01" in words


@pytest.mark.parametrize(
    ("ref", "found"),
    [
        ("a1b2c3", ("a1b2c3", "last")),
        ("a1b2c3@best", ("a1b2c3", "best")),
        ("best@epoch=3", ("best", "epoch=3")),
        ("out/x@y/a1@tag=good", ("out/x@y/a1", "tag=good")),
        ("out/x@y/a1", ("out/x@y/a1", "last")),
    ],
)
def test_a_place_stands_behind_the_last_at(ref: str, found: tuple[str, str]) -> None:
    assert split_place(ref) == found


@pytest.mark.parametrize("ref", ["parent@bset", "parent@7", "parent@step=99999", "parent@tag=none"])
def test_a_place_that_is_none_is_refused(parent: Path, ref: str) -> None:
    with pytest.raises(UserError):
        of_run(ref, NO_WORDS, outputs="outputs")


def test_the_parents_words_make_room_for_what_is_varied(parent: Path) -> None:
    folder = begun("outputs/all/twin", "optimizer.lr=0.01")
    train(folder)
    assert "optimizer.lr=0.01" in of_run("twin", NO_WORDS, outputs="outputs")[1].overrides
    words = of_run("twin", NO_WORDS, outputs="outputs", varied=["lr"])[1].overrides
    assert not any("lr=" in word for word in words)


def test_unknown_keys_are_refused_when_the_words_are_composed(parent: Path) -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.lrr"):
        job("parent@best", "optimizer.lrr=1")


def test_deciding_the_words_imports_no_torch(parent: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from hpo_cli.verbs.offspring import of_run; "
        "from hpo_cli.verbs.composing import ComposeWords; "
        "print(of_run('parent@best', ComposeWords((), None, 'config'), outputs='outputs')[0]['step']); "
        "print('torch' in sys.modules)"
    )
    answer = in_a_process(cwd=Path.cwd(), code=code)
    assert answer.out.split()[1:] == ["False"], answer.err


def test_a_child_of_a_nudged_run_says_who_its_parent_is(parent: Path) -> None:
    folder = begin_branch(job("parent@step=15", "lr=0.003"))
    nudge_at(folder, 20, lr=0.001)
    train(folder)
    noted = started_of(folder)["parent"]
    assert (noted["run"], noted["step"], noted["path"]) == ("parent", 15, str(parent.resolve()))
    assert len(noted["line"]) == 1
    assert ledger.fold(events_of(folder)).status == "finished"
