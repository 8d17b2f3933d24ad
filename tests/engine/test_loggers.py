"""Every logger option: building one writes nothing, and a run's rows and settings arrive in its store."""

from __future__ import annotations

import csv
import importlib.util
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from hpo_cli.engine.loggers import check_logger
from hpo_cli.errors import ConfigError
from hpo_cli.options import list_options
from tests.engine.plans import plan

if TYPE_CHECKING:
    from pathlib import Path

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
