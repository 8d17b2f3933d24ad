"""What the loop tells while it trains, and what a run ends with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass
class Position:
    """How far training is: optimizer steps done, the epoch, and the samples of it that were used."""

    step: int = 0
    epoch: int = 0
    sample: int = 0


@dataclass(frozen=True)
class Horizon:
    """How far training goes."""

    total_steps: int
    steps_per_epoch: int
    epochs: int
    num_samples: int


@dataclass(frozen=True)
class Best:
    """The best value of a metric and the step that had it."""

    value: float
    step: int


@dataclass(frozen=True)
class Outcome:
    """How a run ended. metrics: at the end; best: each metric's best."""

    status: str
    metrics: Mapping[str, float]
    best: Mapping[str, Best]
    step: int
    epoch: int
    seconds: float
    weights_sha256: str


class Reporter(Protocol):
    """Shows a run to whoever watches it. The loop calls it; it never changes anything."""

    def started(self, horizon: Horizon, position: Position) -> None:
        """Training begins, or goes on from a position."""

    def changed(self, horizon: Horizon) -> None:
        """Training goes further, or less far, than was said."""

    def noted(self, text: str) -> None:
        """Something happened to the run that is worth a line."""

    def advanced(self, position: Position) -> None:
        """Some steps were done; called often, so it must be cheap."""

    def measured(self, row: Mapping[str, Any]) -> None:
        """A row of metrics was written; rows with `val/` metrics end an epoch."""


class SilentReporter:
    """Shows nothing."""

    def started(self, horizon: Horizon, position: Position) -> None:
        """See Reporter."""

    def changed(self, horizon: Horizon) -> None:
        """See Reporter."""

    def noted(self, text: str) -> None:
        """See Reporter."""

    def advanced(self, position: Position) -> None:
        """See Reporter."""

    def measured(self, row: Mapping[str, Any]) -> None:
        """See Reporter."""
