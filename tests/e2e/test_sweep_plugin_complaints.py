"""What users of other sweepers complain of (their own issues), in any Hydra app with `hydra/sweeper=caviar`.

Numbers are those of the list of complaints, of which test_peer_complaints.py has all twelve with hpo-run itself.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from hpo_cli.sweep.fold import read_sweep
from tests.command_line import REPOSITORY

APP = REPOSITORY / "tests" / "hydra" / "app.py"
NEEDS_JOBLIB = pytest.mark.skipif(
    importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher") is None, reason="hydra-joblib-launcher is missing"
)


@dataclass(frozen=True)
class Said:
    """What an app said, and the x of each of its jobs so far, in the order of their calls."""

    code: int
    out: str
    calls: list[str]


def app(*words: str, folder: Path, sweeper: str = "caviar") -> Said:
    """The app with `-m`, in a process of its own."""
    folder.mkdir(exist_ok=True)
    calls = folder / "calls"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "APP_CALLS": str(calls)}
    command = [sys.executable, str(APP), "-m", f"hydra/sweeper={sweeper}", "hydra.sweep.dir=sweep", *words]
    done = subprocess.run(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        timeout=300,
    )  # fmt: skip
    return Said(done.returncode, done.stdout, calls.read_text().split() if calls.exists() else [])


def test_2_one_job_that_raises_ends_no_other(tmp_path: Path) -> None:
    words = ["x=1,2,3,4", "trouble=raise"]
    said = app(*words, folder=tmp_path / "ours")
    assert said.calls == ["1", "2", "3", "4"]
    assert said.code == 1
    assert "1 of 4 jobs failed" in said.out
    theirs = app(*words, "hydra.sweeper.max_batch_size=1", folder=tmp_path / "theirs", sweeper="basic")
    assert theirs.calls == ["1", "2"], "negative control: Hydra's own sweeper ends there"


@pytest.mark.slow
@NEEDS_JOBLIB
def test_2_a_worker_that_is_killed_costs_its_own_job_alone(tmp_path: Path) -> None:
    words = ["x=1,2,3,4,5,6", "trouble=kill", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    said = app(*words, folder=tmp_path / "ours")
    trials = read_sweep(tmp_path / "ours" / "sweep").trials
    assert {trial.setting["x"]: trial.status for trial in trials} == {
        "1": "finished", "2": "failed", "3": "finished", "4": "finished", "5": "finished", "6": "finished",
    }  # fmt: skip
    assert said.calls.count("2") == 2, "once, and once more by itself"
    assert said.code == 1
    assert "its process died" in said.out
    theirs = app(*words, folder=tmp_path / "theirs", sweeper="basic")
    assert theirs.code != 0
    assert "finished" not in theirs.out


@pytest.mark.slow
def test_3_the_same_command_goes_on_where_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "ours"
    app("x=1,2,3", "trouble=kill", folder=folder)  # the basic launcher: the sweep itself is killed at x=2
    killed = read_sweep(folder / "sweep")
    assert [trial.status for trial in killed.trials] == ["running"] * 3
    first = (folder / "sweep" / "0").stat().st_mtime_ns
    said = app("x=1,2,3", "trouble=kill", "at=9", folder=folder)
    assert said.calls == ["1", "2", "1", "2", "3"], "another config (at=9): every job is another one"
    said = app("x=1,2,3", "trouble=kill", "at=9", folder=folder)
    assert said.calls[5:] == [], "all is done: nothing is run again"
    assert said.code == 0
    assert (folder / "sweep" / "0").stat().st_mtime_ns == first, "no folder is used twice"


def test_3_what_had_finished_before_a_kill_is_not_run_again(tmp_path: Path) -> None:
    words = ["x=1,2,3", "trouble=${oc.env:TROUBLE,none}"]
    folder = tmp_path / "ours"
    os.environ["TROUBLE"] = "kill"
    try:
        assert app(*words, folder=folder).code != 0
    finally:
        del os.environ["TROUBLE"]
    said = app(*words, folder=folder)
    assert said.calls == ["1", "2", "2", "3"]
    assert sorted(path.name for path in (folder / "sweep").iterdir() if path.name.isdigit()) == ["0", "1", "3", "4"]


@pytest.mark.slow
def test_4_no_setting_is_run_twice(tmp_path: Path) -> None:
    words = ["x=choice(1,2,3,4)", "hydra.sweeper.search=tpe", "hydra.sweeper.trials=12", "hydra.sweeper.startup=2"]
    said = app(*words, folder=tmp_path / "ours")
    assert sorted(said.calls) == ["1", "2", "3", "4"]
    assert OmegaConf.load(tmp_path / "ours" / "sweep" / "optimization_results.yaml").best_params.x == "1"


def test_6_errors_are_shown_when_they_happen_and_all_of_them(tmp_path: Path) -> None:
    said = app("x=1,2,3", "trouble=raise", folder=tmp_path / "ours")
    lines = said.out.splitlines()
    error = next(index for index, line in enumerate(lines) if "ValueError: two is too many" in line)
    assert error < next(index for index, line in enumerate(lines) if line.strip().endswith("#2 : x=3 trouble=raise"))
    assert "x=2.0" in said.out or "x=2" in said.out


@pytest.mark.slow
def test_10_the_newest_optuna_searches_in_any_hydra_app(tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna")
    words = ["x=interval(-5,5)", "hydra.sweeper.search=tpe", "hydra.sweeper.trials=8", "hydra.sweeper.startup=3"]
    said = app(*words, folder=tmp_path / "ours")
    assert int(optuna.__version__.split(".")[0]) >= 5
    assert len(said.calls) == 8
    assert (said.code, len(read_sweep(tmp_path / "ours" / "sweep").trials)) == (0, 8)
