"""The median stopping rule: a trial that is worse than most were on average at its age does not go on."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Sequence

from hpo_cli.sweep.schedulers.costs import WORST, Mode, value_of
from hpo_cli.sweep.schedulers.curves import Curve, new_costs
from hpo_cli.sweep.schedulers.none import NoScheduler
from hpo_cli.sweep.state import Trial


class Median(NoScheduler):
    """Stops a trial at epoch e when its best value so far is worse than the median of the means of others up to e.

    The others are all that came as far as e, whatever became of them; `grace` of them must have.

    Source: Golovin et al. 2017, Google Vizier, section 3.2.2.
    """

    def __init__(self, *, grace: int, mode: Mode) -> None:
        self.grace, self.mode = grace, mode
        self._curves: dict[int, Curve] = {}
        self._means: defaultdict[int, list[float]] = defaultdict(list)
        """Epoch -> the running averages of all that reported it, best first."""

    def heard(self, trial: Trial) -> None:
        """A trial reported further epochs."""
        curve = self._curves.setdefault(trial.number, Curve())
        for epoch, found in new_costs(trial, curve.newest, self.mode):
            curve.add(epoch, found)
            if curve.mean < WORST:
                insort(self._means[epoch], curve.mean)

    def verdict(self, trial: Trial, trials: Sequence[Trial]) -> str | None:  # noqa: ARG002 - the contract's
        """Why the trial is not worth going on with, after its newest report."""
        curve = self._curves.get(trial.number)
        means = self._means.get(curve.newest, []) if curve else []
        if curve is None or not means:
            return None
        own = bisect_left(means, curve.mean) if curve.mean < WORST else None
        num_others = len(means) - (own is not None)
        if num_others < self.grace:
            return None
        median = median_without(means, own)
        if not curve.best > median:
            return None
        best = "no value" if curve.best == WORST else f"its best value {value_of(curve.best, self.mode):.4g}"
        others = f"{value_of(median, self.mode):.4g}, the median of the means of {num_others} others"
        return f"{best} at epoch {curve.newest} is worse than {others}"


def median_without(ordered: Sequence[float], place: int | None) -> float:
    """The median of sorted numbers but the one at `place`; of all of them for None. At least one must be left.

    >>> median_without([1.0, 2.0, 3.0, 10.0], 1), median_without([1.0, 2.0], None)
    (3.0, 1.5)
    """
    count = len(ordered) - (place is not None)

    def at(index: int) -> float:
        return ordered[index if place is None or index < place else index + 1]

    return (at((count - 1) // 2) + at(count // 2)) / 2
