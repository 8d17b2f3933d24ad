"""A run's folder at its beginning: made for it alone, complete, and refused in one line where it cannot be made."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from hpo_cli.errors import ConfigError, RunFailedError
from hpo_cli.plan import RunPlan, plan_from_dict
from hpo_cli.record import start
from hpo_cli.record.start import Origin, environment, git_state, start_run
from tests.command_line import compose_and_check

FILES = {"config.yaml": "lr: 1\n", "hydra.yaml": "hydra: {}\n", "overrides.yaml": "[]\n"}


@pytest.fixture(scope="module")
def plan() -> RunPlan:
    return compose_and_check("tags=[a,'ü b']").plan


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def begin(plan: RunPlan, at: str | None = None) -> Path:
    return start_run(plan, command=["hpo-run", "lr=1"], hydra_files=FILES, overrides=["lr=1"], at=at)


def test_the_folder_is_complete(plan: RunPlan) -> None:
    folder = begin(plan)
    assert folder.parent == Path("outputs/digits")
    assert {path.name for path in folder.iterdir()} == {".hydra", "plan.yaml", "ledger.jsonl", "checkpoints"}
    assert {path.name: path.read_text() for path in (folder / ".hydra").iterdir()} == FILES
    assert plan_from_dict(yaml.safe_load((folder / "plan.yaml").read_text())) == plan


def test_the_first_line_of_the_ledger_says_what_was_started(plan: RunPlan, tmp_path: Path) -> None:
    (line,) = (begin(plan) / "ledger.jsonl").read_text().splitlines()
    event = json.loads(line)
    assert event["event"] == "started"
    assert event["step"] == 0
    assert event["command"] == ["hpo-run", "lr=1"]
    assert event["overrides"] == ["lr=1"]
    assert event["plan_id"] == plan.plan_id
    assert event["cwd"] == str(tmp_path)
    assert event["seed"] == 0
    assert event["tags"] == ["a", "ü b"]
    assert event["environment"]["packages"]["torch"]
    assert event["at"].endswith("+00:00")


def test_two_runs_never_share_a_folder(plan: RunPlan) -> None:
    assert len({begin(plan) for _ in range(5)}) == 5


@pytest.mark.parametrize("place", ["exact", "deep/er/exact", "a b", "ü"])
def test_an_exact_place_is_taken(plan: RunPlan, place: str) -> None:
    assert begin(plan, at=place) == Path(place)
    assert (Path(place) / "ledger.jsonl").exists()


@pytest.mark.parametrize("place", ["there", "", ".", "file", "file/below", "/proc/nothing", "x" * 300])
def test_a_place_that_cannot_be_had_is_refused_and_left_alone(plan: RunPlan, place: str) -> None:
    Path("there").mkdir()
    (Path("there") / "mine").write_text("keep")
    Path("file").write_text("keep")
    with pytest.raises(ConfigError) as caught:
        begin(plan, at=place)
    assert str(caught.value).startswith("hydra.run.dir=")
    assert "\n" not in str(caught.value)
    assert [path.name for path in Path("there").iterdir()] == ["mine"]
    assert Path("file").read_text() == "keep"


def test_a_disk_that_fills_up_is_told_in_one_line(plan: RunPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(start, "_write_new", fail)
    with pytest.raises(RunFailedError, match="No space left on device"):
        begin(plan)


def test_the_environment_is_plain_and_names_what_computes() -> None:
    found = environment()
    assert json.loads(json.dumps(found)) == found
    assert {"torch", "hydra-core", "numpy", "pytorch-lightning"} <= set(found["packages"])


def git(*words: str, cwd: Path) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *words],
        cwd=cwd, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_the_commit_is_named_and_changes_are_noticed(tmp_path: Path) -> None:
    assert git_state() is None
    git("init", "-q", cwd=tmp_path)
    (tmp_path / "a").write_text("1")
    git("add", "a", cwd=tmp_path)
    git("commit", "-qm", "one", cwd=tmp_path)
    assert git_state() == {"commit": git("rev-parse", "HEAD", cwd=tmp_path), "dirty": False}
    (tmp_path / "a").write_text("2")
    assert git_state() == {"commit": git("rev-parse", "HEAD", cwd=tmp_path), "dirty": True}


def test_without_git_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert git_state() is None


def test_a_branch_names_its_parent_once_its_first_state_is_there(plan: RunPlan) -> None:
    seen: list[bool] = []

    def write(path: Path) -> None:
        seen.append((path.parent.parent / "ledger.jsonl").exists())
        path.write_bytes(b"state")

    parent = {"run": "aaaaaa", "path": "/runs/aaaaaa", "step": 5, "line": [], "partial": False}
    origin = Origin(parent=parent, write_state=write)
    folder = start_run(plan, command=["hpo-run"], hydra_files={}, overrides=[], origin=origin)
    assert seen == [False]
    assert (folder / "checkpoints" / "start.pt").read_bytes() == b"state"
    event = json.loads((folder / "ledger.jsonl").read_text())
    assert event["parent"] == parent
    assert "replay_of" not in event


def test_a_run_from_nothing_names_no_origin(plan: RunPlan) -> None:
    event = json.loads((begin(plan) / "ledger.jsonl").read_text())
    assert not {"parent", "replay_of"} & set(event)
