"""Begins a run's folder: the config as Hydra writes it, the plan, and the first line of the ledger."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from hpo_cli.errors import ConfigError, RunFailedError
from hpo_cli.plan import RunPlan
from hpo_cli.record import ledger
from hpo_cli.record.atomic import write_text
from hpo_cli.record.folder import CHECKPOINTS, HYDRA, PLAN, create_run_folder

PACKAGES = ("hpo-run", "torch", "pytorch-lightning", "hydra-core", "omegaconf", "numpy", "scikit-learn")


def start_run(
    plan: RunPlan,
    *,
    command: Sequence[str],
    hydra_files: Mapping[str, str],
    overrides: Sequence[str],
    at: str | None = None,
) -> Path:
    """A new folder for `plan` with its files and a `started` line, made for this run alone.

    command: the words that make this run again.   hydra_files: name -> text for `.hydra/`.
    at: the folder itself, which must not exist; otherwise <outputs>/<name>/<run id>.
    Raises ConfigError where the folder cannot be made, RunFailedError where nothing can be written into it.
    """
    folder = create_run_folder(plan.outputs, plan.name) if at is None else _exact_folder(at)
    try:
        (folder / HYDRA).mkdir()
        for name, text in hydra_files.items():
            write_text(folder / HYDRA / name, text)
        write_text(folder / PLAN, yaml.safe_dump(plan.to_dict(), sort_keys=False, allow_unicode=True))
        ledger.append(folder, "started", step=0, **_started(plan, folder, command, overrides))
    except OSError as error:
        text = f"{folder}: the run's record cannot be written ({error.strerror})"
        raise RunFailedError(f"{text}; free space, or give another place with outputs=DIR") from error
    return folder


def _exact_folder(at: str) -> Path:
    folder = Path(at)
    try:
        folder.mkdir(parents=True)
        (folder / CHECKPOINTS).mkdir()
    except FileExistsError:
        rule = "exists, and two runs never share a folder"
        raise ConfigError("hydra.run.dir", at, rule=rule, fix="give a new one, or leave it out") from None
    except OSError as error:
        rule = f"cannot be made ({error.strerror})"
        raise ConfigError("hydra.run.dir", at, rule=rule, fix="give another place") from error
    return folder


def _started(plan: RunPlan, folder: Path, command: Sequence[str], overrides: Sequence[str]) -> dict[str, Any]:
    return {
        "run": folder.name,
        "name": plan.name,
        "plan_id": plan.plan_id,
        "command": list(command),
        "overrides": list(overrides),
        "cwd": str(Path.cwd()),
        "pid": os.getpid(),
        "choices": dict(plan.choices),
        "objective": {"name": plan.objective.name, "mode": plan.objective.mode},
        "lr": plan.lr,
        "batch_size": plan.batch_size,
        "epochs": plan.epochs,
        "seed": plan.seed,
        "tags": list(plan.tags),
        "environment": environment(),
    }


def environment() -> dict[str, Any]:
    """The machine, the versions of what computes, and the commit of the folder that the command ran in."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "hostname": socket.gethostname(),
        "cores": os.cpu_count(),
        "executable": sys.executable,
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "git": git_state(),
    }


def git_state() -> dict[str, Any] | None:
    """Commit and whether there are uncommitted changes; None outside a repository or without git."""
    commit = _git("rev-parse", "HEAD")
    return None if commit is None else {"commit": commit, "dirty": bool(_git("status", "--porcelain", "-uno"))}


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, timeout=5, check=False)  # noqa: S603, S607
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
