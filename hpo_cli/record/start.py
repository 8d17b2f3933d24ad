"""Begins a run's folder: the config as Hydra writes it, the plan, and the first line of the ledger."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from hpo_cli.errors import ConfigError, RunFailedError
from hpo_cli.plan import RunPlan
from hpo_cli.record import ledger
from hpo_cli.record.folder import CHECKPOINTS, HYDRA, PLAN, START, create_run_folder

PACKAGES = ("hpo-run", "torch", "pytorch-lightning", "hydra-core", "omegaconf", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Origin:
    """Where a run comes from that does not begin from nothing.

    parent: {run, path, step, line, partial} of a branch.   replay_of: {run, path} of a run that trains again.
    write_state: puts the first state into the file that it is given, whole or not at all; None where training begins
    at step 0.
    """

    parent: Mapping[str, Any] | None = None
    replay_of: Mapping[str, Any] | None = None
    write_state: Callable[[Path], object] | None = None


def start_run(
    plan: RunPlan,
    *,
    command: Sequence[str],
    hydra_files: Mapping[str, str],
    overrides: Sequence[str],
    at: str | None = None,
    origin: Origin | None = None,
) -> Path:
    """A new folder for `plan` with its files and a `started` line, made for this run alone.

    command: the words that make this run again.   hydra_files: name -> text for `.hydra/`.
    at: the folder itself, which must not exist; otherwise <outputs>/<name>/<run id>.
    origin: for a branch or a replay; the first state lies in `checkpoints/start.pt` before the ledger names it.
    Raises ConfigError where the folder cannot be made, RunFailedError where nothing can be written into it.
    """
    folder = create_run_folder(plan.outputs, plan.name) if at is None else _exact_folder(at)
    try:
        (folder / HYDRA).mkdir()
        for name, text in hydra_files.items():
            (folder / HYDRA / name).write_text(
                text, encoding="utf-8", newline="\n"
            )  # for people; the ledger has it all
        _write_new(folder / PLAN, plan_text(plan))
        origin = origin or Origin()
        if origin.write_state is not None:
            origin.write_state(folder / START)
        began = _started(plan, folder, command, overrides) | _came_from(origin)
        ledger.append(folder, "started", step=0, **began)
    except OSError as error:
        text = f"{folder}: the run's record cannot be written ({error.strerror})"
        raise RunFailedError(f"{text}; free space, or give another place with outputs=DIR") from error
    return folder


def plan_text(plan: RunPlan) -> str:
    """The content of plan.yaml. What the runs of a sweep have in common is put into words once."""
    return "".join(_section_text(key, value) for key, value in plan.to_dict().items())


_MOST_SECTIONS = 1024
_sections: dict[tuple[str, str], str] = {}


def _section_text(key: str, value: object) -> str:
    """One entry of a mapping in YAML, by libyaml where there is one: a fifth of the time for the same bytes."""
    known = (key, repr(value))
    if known not in _sections:
        if len(_sections) >= _MOST_SECTIONS:
            _sections.clear()
        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        _sections[known] = yaml.dump({key: value}, Dumper=dumper, sort_keys=False, allow_unicode=True)
    return _sections[known]


def _write_new(path: Path, text: str) -> None:
    """A file of a folder that is no run's before its ledger says so: it needs no other name until it is whole.

    Its own name is on disk once the ledger's is, which comes last in the same folder.
    """
    with path.open("x", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


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


def _came_from(origin: Origin) -> dict[str, Any]:
    found = {"parent": origin.parent, "replay_of": origin.replay_of}
    return {name: dict(who) for name, who in found.items() if who is not None}


_remembered: dict[str, Any] = {}


def remember_environment() -> None:
    """Look at the machine now, once for all runs of this process and of its forks: a sweep is of one moment."""
    _remembered.clear()
    _remembered.update(environment())


def environment() -> dict[str, Any]:
    """The machine, the versions of what computes, and the commit of the folder that the command ran in."""
    if _remembered:
        return dict(_remembered)
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
