"""Asynchronous successive halving: a trial stops at its rung, waits there, and goes on once it is among the best."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hpo_cli.sweep.orders import GoOn, New, Order
from hpo_cli.sweep.schedulers.costs import Mode
from hpo_cli.sweep.schedulers.ladder import Ladder
from hpo_cli.sweep.schedulers.none import NoScheduler
from hpo_cli.sweep.state import Trial


def rung_epochs(epochs: int, *, min_epochs: int, eta: int) -> tuple[int, ...]:
    """The epochs of the rungs: min_epochs * eta^k below `epochs`, and `epochs` itself.

    >>> rung_epochs(30, min_epochs=1, eta=3)
    (1, 3, 9, 27, 30)
    """
    found = []
    epoch = min_epochs
    while epoch < epochs:
        found.append(epoch)
        epoch *= eta
    return (*found, epochs)


class Asha(NoScheduler):
    """ASHA: a free slot promotes one of the best 1/eta of a rung, where there is one, and else begins a new trial.

    The highest rung that has one comes first, and of its trials the best; the rung's are all that ever reached it.
    Nothing is ever waited for, and no trial is promoted twice. A trial that failed, or was stopped, on its way to a
    rung counts there as one that was worse than all; without a value of the objective nothing is promoted.
    Where the paper would end with no trial trained to its end, since there were too few, the best of the highest rung
    goes on: a sweep is called for a trained model.
    Source: Li et al. 2020, A System for Massively Parallel Hyperparameter Tuning, arXiv:1810.05934, Algorithm 2.
    """

    def __init__(self, *, epochs: Sequence[int], eta: int, mode: Mode) -> None:
        self.eta = eta
        self.ladder = Ladder(epochs, mode)

    def heard(self, trial: Trial) -> None:
        """A trial came to its rung, left it, or is over."""
        self.ladder.hear(trial)

    def next(self, trials: Sequence[Trial], *, may_begin: bool) -> Order | None:  # noqa: ARG002 - the contract's
        """A promotion, else a new trial; None once nothing is left to promote and none may begin."""
        for place in range(len(self.ladder.epochs) - 2, -1, -1):
            trial = self._promotable(place)
            if trial is not None:
                return self._promotion(trial, place)
        if may_begin:
            return New(until=self.ladder.until(0))
        return None if self._has_finisher or self.ladder.num_at_work else self._last_promotion()

    @property
    def _has_finisher(self) -> bool:
        return any(cost < math.inf for cost, _ in self.ladder.rungs[-1].best(1))

    def _last_promotion(self) -> GoOn | None:
        for place in range(len(self.ladder.epochs) - 2, -1, -1):
            best = self.ladder.rungs[place].best_waiting()
            if best is not None:
                return GoOn(best[1], until=self.ladder.until(place + 1), why="the best, and none has come to the end")
        return None

    def _promotable(self, place: int) -> int | None:
        rung = self.ladder.rungs[place]
        best = rung.best_waiting()
        return best[1] if best and rung.rank(best) < len(rung) // self.eta else None

    def _promotion(self, trial: int, place: int) -> GoOn:
        why = f"among the best {len(self.ladder.rungs[place]) // self.eta} of {len(self.ladder.rungs[place])}"
        return GoOn(trial, until=self.ladder.until(place + 1), why=f"{why} at epoch {self.ladder.epochs[place]}")
