"""A trial that has not got better for a number of epochs does not go on."""

from __future__ import annotations

from collections.abc import Sequence

from hpo_cli.sweep.schedulers.costs import WORST, Mode, value_of
from hpo_cli.sweep.schedulers.curves import Curve, new_costs
from hpo_cli.sweep.schedulers.none import NoScheduler
from hpo_cli.sweep.state import Trial


class Plateau(NoScheduler):
    """Stops a trial whose best value is `grace` epochs old. Any gain is one; an epoch without a value is none."""

    def __init__(self, *, grace: int, mode: Mode) -> None:
        self.grace, self.mode = grace, mode
        self._curves: dict[int, Curve] = {}

    def heard(self, trial: Trial) -> None:
        """A trial reported further epochs."""
        curve = self._curves.setdefault(trial.number, Curve())
        for epoch, found in new_costs(trial, curve.newest, self.mode):
            curve.add(epoch, found)

    def verdict(self, trial: Trial, trials: Sequence[Trial]) -> str | None:  # noqa: ARG002 - the contract's
        """Why the trial is not worth going on with, after its newest report."""
        curve = self._curves.get(trial.number, Curve())
        age = curve.newest - curve.best_epoch
        if age < self.grace:
            return None
        if curve.best == WORST:
            return f"no value in {age} epochs"
        return f"no gain for {age} epochs: {value_of(curve.best, self.mode):.4g} at epoch {curve.best_epoch}"
