"""A trial's curve as it grows: its best and its mean, as costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hpo_cli.sweep.schedulers.costs import WORST, Mode, cost
from hpo_cli.sweep.state import Trial


@dataclass
class Curve:
    """What the reports until epoch `newest` come to. Reports without a value count as no gain and in no mean."""

    newest: int = 0
    best: float = WORST
    best_epoch: int = 0
    total: float = 0.0
    count: int = 0

    @property
    def mean(self) -> float:
        """The running average; WORST before the first value."""
        return self.total / self.count if self.count else WORST

    def add(self, epoch: int, found: float) -> None:
        """The cost of a further epoch."""
        self.newest = epoch
        if found < self.best:
            self.best, self.best_epoch = found, epoch
        if found < WORST:
            self.total += found
            self.count += 1


def new_costs(trial: Trial, newest: int, mode: Mode) -> Iterator[tuple[int, float]]:
    """(epoch, cost) of the reports after epoch `newest`, in order."""
    reports = trial.live
    fresh = []
    for epoch in reversed(reports):
        if epoch <= newest:
            break
        fresh.append(epoch)
    return ((epoch, cost(reports[epoch], mode)) for epoch in reversed(fresh))
