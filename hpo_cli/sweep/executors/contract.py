"""What a sweep asks of a place where trials train. All that is told goes through run folders; this is the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

Row = dict[str, Any]
Cause = Literal["", "setting", "memory", "machine", "asked"]
"""Why a run did not go on: what was asked of it, too little memory, the machine (worth another try), a command."""
Status = Literal["finished", "stopped", "interrupted", "failed"]


@dataclass(frozen=True)
class Adoption:
    """A run takes over another one's state. file: a checkpoint, already a link in the run's own `checkpoints/`.

    source: the folder of the run that it comes from.   changes: hot knob -> new value.
    """

    file: str
    source: str
    changes: Mapping[str, Any]
    why: str = ""


@dataclass(frozen=True)
class Job:
    """Train one run, in types that JSON knows. Doing a job that is done already, or half done, is right, too.

    folder: the run's, which need not exist.   plan: `RunPlan.to_dict()`.   until: the epoch at which it stops.
    begin: {command, overrides, hydra_files} for a run that has no folder yet.
    parent: {run: path, at: place in its past, allow} for a run that begins as a branch.
    attempt: counts from 1.   config_dir: the folder of the user's own options.
    """

    trial: int
    run: int
    folder: Path
    plan: Mapping[str, Any]
    begin: Mapping[str, Any]
    until: int | None = None
    adopt: Adoption | None = None
    parent: Mapping[str, Any] | None = None
    attempt: int = 1
    timeout_s: float | None = None
    config_dir: str | None = None
    allow: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ended:
    """How a job ended. reason: one line for people, empty when all went well."""

    job: Job
    status: Status
    reason: str = ""
    cause: Cause = ""


class Executor(Protocol):
    """A number of slots. Every method returns at once but `wait` and `close`; none raises for what a run does."""

    slots: int
    """How many jobs may run at once; may be set while jobs run (more than that finish, none is begun)."""

    def start(self, job: Job) -> None:
        """Begin a job. The caller keeps within `slots`."""

    def wait(self, timeout_s: float) -> Sequence[Ended]:
        """The jobs that ended since the last call; waits so long for the first of them."""

    def rows(self, job: Job) -> Sequence[Row]:
        """The rows of a running job's metrics since they were last asked for, in order (living rows alone)."""

    def end(self, job: Job, how: Literal["save", "kill"]) -> None:
        """Ask a job to save its state and end, or end it now; `wait` tells when it has."""

    def close(self) -> None:
        """Give everything back; what still runs is asked to save and end."""
