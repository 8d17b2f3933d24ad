"""What a worker is asked and what it answers, in types that travel between processes. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Cause = Literal["", "setting", "memory", "machine", "asked"]
Status = Literal["finished", "stopped", "interrupted", "failed"]

OUTPUT = "worker.log"
"""The file in a run's folder that gets what a run prints in a worker."""

GRACE_S = 120.0
"""How long a run may take to save its state when nobody is there any more to wait for it."""


@dataclass(frozen=True)
class Adopted:
    """A state to take over: see hpo_cli.sweep.executors.contract.Adoption, whose fields these are."""

    file: str
    source: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True)
class Task:
    """Train one run: see hpo_cli.sweep.executors.contract.Job, whose fields these are.

    cores: the share of the machine that the run may use.   gpu: the only one that it sees; None: all.
    """

    folder: Path
    plan: Mapping[str, Any]
    begin: Mapping[str, Any]
    trial: int = 0
    run: int = 0
    until: int | None = None
    adopt: Adopted | None = None
    parent: Mapping[str, Any] | None = None
    attempt: int = 1
    config_dir: str | None = None
    allow: tuple[str, ...] = ()
    cores: int | None = None
    gpu: str | None = None


@dataclass(frozen=True)
class Done:
    """How a task ended. reason: one line for people."""

    status: Status
    reason: str = ""
    cause: Cause = ""


def task_from(sent: Mapping[str, Any]) -> Task:
    """The task in a message of plain types."""
    adopt = sent.get("adopt")
    return Task(**{**sent, "folder": Path(sent["folder"]), "adopt": None if adopt is None else Adopted(**adopt)})
