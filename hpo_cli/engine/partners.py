"""Who works with the training loop: the recorder that writes what it finds, the steering between two steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from hpo_cli.engine import checkpoints
from hpo_cli.engine.rescue import Trouble
from hpo_cli.record.folder import CHECKPOINTS

if TYPE_CHECKING:
    from hpo_cli.engine.loop import TrainingLoop

Keep = Literal["rolling", "kept"]
"""Whether a checkpoint makes room for later ones, or stays for ever."""


class Recorder(Protocol):
    """Writes what the loop finds."""

    def row(self, row: Mapping[str, Any]) -> None:
        """Append a row of metrics."""

    def improved(self, step: int, state: Mapping[str, Any], *, line: Sequence[str]) -> None:
        """The weights of model and criterion in `state` have the best objective so far."""

    def checkpoint(
        self,
        state: Mapping[str, Any],
        *,
        step: int,
        epoch: int,
        line: Sequence[str],
        tag: str | None = None,
        keep: Keep = "rolling",
        command: str | None = None,
    ) -> str:
        """Write a state from which training can go on. line: what steered the run so far, by id."""


class NullRecorder:
    """For processes that do not write: all but the first of several."""

    def row(self, row: Mapping[str, Any]) -> None:
        """See Recorder."""

    def flush(self) -> None:
        """See recorder.FolderRecorder."""

    def improved(self, step: int, state: Mapping[str, Any], *, line: Sequence[str] = ()) -> None:
        """See Recorder."""

    def checkpoint(
        self,
        state: Mapping[str, Any],  # noqa: ARG002 - the protocol
        *,
        step: int,
        epoch: int,  # noqa: ARG002
        line: Sequence[str],  # noqa: ARG002
        tag: str | None = None,  # noqa: ARG002
        keep: Keep = "rolling",  # noqa: ARG002
        command: str | None = None,  # noqa: ARG002
    ) -> str:
        """See Recorder."""
        return f"{CHECKPOINTS}/{checkpoints.last_name(step)}"

    def join(self) -> None:
        """See recorder.FolderRecorder."""

    def abandon(self, *, after: int, known_after: int | None = None, since: int | None = None) -> None:
        """See recorder.FolderRecorder."""

    def close(self) -> None:
        """See recorder.FolderRecorder."""


class Steering(Protocol):
    """What people and rules do to a run between two steps.

    The loop calls `attend` at a step boundary once `attend_step` is reached or the clock has passed `attend_at`.
    """

    attend_step: float
    attend_at: float

    @property
    def line(self) -> list[str]:
        """The ids of what is in force."""

    def attend(self, loop: TrainingLoop) -> None:
        """Do what is due at this boundary. May set the loop back, end it, or raise StoppedError."""

    def answer(self, loop: TrainingLoop, trouble: Trouble) -> None:
        """Get the loop out of trouble. Raises RunFailedError when nothing is left to try."""


class Unsteered:
    """Nobody steers."""

    attend_step = math.inf
    attend_at = math.inf
    line: list[str] = []  # noqa: RUF012 - always empty

    def attend(self, loop: TrainingLoop) -> None:
        """See Steering."""

    def answer(self, loop: TrainingLoop, trouble: Trouble) -> None:
        """See Steering."""
        loop.fail(trouble)
