"""Every logger option: building one writes nothing, and a run's rows and settings arrive in its store."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpo_cli.engine.loggers import check_logger
from hpo_cli.errors import ConfigError
from hpo_cli.options import list_options
from tests.engine.plans import plan

LOGGERS = [name for name in list_options("logger") if name != "none"]
PACKAGES = {"mlflow": "mlflow", "wandb": "wandb", "tensorboard": "tensorboard", "csv": "csv"}
SMALL = ("epochs=2", "model.width=8", "data.subset=0.1", "trainer=cpu", "trainer.threads=1", "lr=0.0123")


def test_all_of_them_are_here() -> None:
    assert set(LOGGERS) == set(PACKAGES)


@pytest.mark.parametrize("name", LOGGERS)
def test_checking_one_writes_nothing(name: str, tmp_path: Path) -> None:
    pytest.importorskip(PACKAGES[name])
    check_logger(plan(f"logger={name}", outputs=tmp_path / "outputs"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", [name for name in LOGGERS if name != "csv"])
def test_a_missing_package_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=rf"logger={name}: needs a package that is not installed; pip install"):
        check_logger(plan(f"logger={name}"))


def test_a_key_that_the_logger_does_not_take_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"logger\.tracking: not an option of mlflow"):
        check_logger(plan("logger=mlflow", "+logger.tracking=5"))


def trained(name: str, folder: Path) -> Path:
    """The folder of a run in a process of its own, as a tracker holds on to the process that it is in."""
    pytest.importorskip(PACKAGES[name])
    command = [sys.executable, "-m", "hpo_cli.cli", *SMALL, f"logger={name}", "outputs=outputs", "name=tracked"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (run,) = (folder / "outputs" / "tracked").iterdir()
    return run


def test_csv_has_the_rows_of_our_record(tmp_path: Path) -> None:
    run = trained("csv", tmp_path)
    with (run / "csv" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len([row for row in rows if row["val/loss"]]) == 2
    assert "lr: 0.0123" in (run / "csv" / "hparams.yaml").read_text()


@pytest.mark.slow
def test_mlflow_has_the_run_in_its_store(tmp_path: Path) -> None:
    run = trained("mlflow", tmp_path)
    read = (
        "import json, mlflow\n"
        "client = mlflow.MlflowClient('sqlite:///outputs/mlflow.db')\n"
        "(found,) = client.search_runs([client.get_experiment_by_name('tracked').experiment_id])\n"
        "history = client.get_metric_history(found.info.run_id, 'val/loss')\n"
        "print(json.dumps([found.info.run_name, found.data.params['lr'], [one.value for one in history]]))\n"
    )
    told = subprocess.run([sys.executable, "-c", read], cwd=tmp_path, capture_output=True, text=True, check=True)
    name, lr, losses = json.loads(told.stdout.splitlines()[-1])
    assert (name, lr, len(losses)) == (run.name, "0.0123", 2)


@pytest.mark.slow
def test_wandb_stays_offline_in_the_runs_folder(tmp_path: Path) -> None:
    run = trained("wandb", tmp_path)
    (file,) = (run / "wandb").glob("offline-run-*/run-*.wandb")
    assert run.name in file.name
    assert b"val/loss" in file.read_bytes()


TWO_PROCESSES = """
import os, signal, sys
from pathlib import Path
import torch
import hpo_cli.engine.lightning
from hpo_cli.engine.loggers import make_logger, mirror
from hpo_cli.engine.recorder import FolderRecorder
from tests.engine.plans import plan

name, folder, killed = sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "killed"
(folder / "checkpoints").mkdir(parents=True, exist_ok=True)
(folder / "ledger.jsonl").touch()
after = 0 if killed else 30
made = plan(f"logger={name}", "name=tracked", outputs=folder.parents[1])
loggers = [make_logger(made, folder, after=after)]
copy = mirror(loggers, made, folder=folder, after=after)
recorder = FolderRecorder(folder, made.checkpoint, mirror=copy, after=after)
for step in range(after + 10, 61 if killed else 91, 10):
    val = {"val/loss": 2 / step} if step % 20 == 0 else {}
    recorder.row({"step": step, "epoch": 1, "train/loss": 1 / step, **val})
    if step == 30:
        recorder.checkpoint({"w": torch.ones(2)}, step=step, epoch=0, line=[])
        recorder.join()
if killed:
    os.kill(os.getpid(), signal.SIGKILL)
recorder.close()
for logger in loggers:
    logger.finalize("success")
"""
"""Rows each ten steps. The first process saves at step 30 and is killed after row 60, the second trains 30 to 90."""


def tracked_by_two(name: str, folder: Path) -> Path:
    pytest.importorskip(PACKAGES[name])
    run = folder / "outputs" / "tracked" / "ab12cd"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    for how in ("killed", "whole"):
        command = [sys.executable, "-c", TWO_PROCESSES, name, str(run), how]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == (-9 if how == "killed" else 0), done.stderr
    return run


STEPS = list(range(10, 91, 10))


def test_csv_goes_on_after_a_kill(tmp_path: Path) -> None:
    run = tracked_by_two("csv", tmp_path)
    with (run / "csv" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["step"]), float(row["train/loss"])) for row in rows] == [(step, 1 / step) for step in STEPS]
    assert [int(row["step"]) for row in rows if row["val/loss"]] == [20, 40, 60, 80]
    assert "lr: " in (run / "csv" / "hparams.yaml").read_text()


def test_tensorboard_goes_on_after_a_kill(tmp_path: Path) -> None:
    run = tracked_by_two("tensorboard", tmp_path)
    read = (
        "import json, sys\n"
        "from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n"
        "found = EventAccumulator(sys.argv[1])\n"
        "found.Reload()\n"
        "print(json.dumps([[one.step, one.value] for one in found.Scalars('train/loss')]))\n"
    )
    command = [sys.executable, "-c", read, str(run / "tensorboard")]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    points = json.loads(told.stdout.splitlines()[-1])
    assert [step for step, _ in points] == STEPS
    assert [value for _, value in points] == pytest.approx([1 / step for step in STEPS], rel=1e-6)


@pytest.mark.slow
def test_mlflow_goes_on_in_the_same_run_after_a_kill(tmp_path: Path) -> None:
    tracked_by_two("mlflow", tmp_path)
    read = (
        "import json, mlflow\n"
        "client = mlflow.MlflowClient('sqlite:///outputs/mlflow.db')\n"
        "(found,) = client.search_runs([client.get_experiment_by_name('tracked').experiment_id])\n"
        "history = client.get_metric_history(found.info.run_id, 'train/loss')\n"
        "print(json.dumps([found.info.status, [one.step for one in history]]))\n"
    )
    told = subprocess.run([sys.executable, "-c", read], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(told.stdout.splitlines()[-1]) == ["FINISHED", STEPS]


@pytest.mark.slow
def test_wandb_goes_on_under_the_same_id_after_a_kill(tmp_path: Path) -> None:
    run = tracked_by_two("wandb", tmp_path)
    files = list((run / "wandb").glob("offline-run-*/run-*.wandb"))
    assert [file.name for file in files] == [f"run-{run.name}.wandb"] * 2
