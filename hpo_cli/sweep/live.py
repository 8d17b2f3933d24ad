"""How far a run is while it trains, as whoever drives a sweep can tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hpo_cli.sweep.state import Values


@dataclass(frozen=True)
class LiveRun:
    """A run that trains now. trial: its number.   run: which of the trial's runs.

    epoch: whole epochs done.   epochs, total_steps: of its plan, 0 where nothing is known yet.   step: steps done.
    seconds: since this attempt began, None where the log tells.   reports: its values so far, by epoch.
    """

    trial: int
    run: int = 0
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    total_steps: int = 0
    seconds: float | None = None
    reports: Mapping[int, Values] = field(default_factory=dict)
    paused: bool = False

    @property
    def done(self) -> float:
        """Epochs done, with the share of the one that it is in."""
        if not (self.total_steps and self.epochs):
            return float(self.epoch)
        return max(float(self.epoch), self.epochs * self.step / self.total_steps)
