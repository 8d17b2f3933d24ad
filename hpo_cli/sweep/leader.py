"""Which trial leads a sweep, kept up to date while endings come in, so that none of them has to look at all trials."""

from __future__ import annotations

from collections.abc import Sequence

from hpo_cli.sweep.state import Trial

Rank = tuple[float, int]
"""Less is better; of equals the first trial, whichever of them ended first."""


class Leader:
    """The trial with the best first objective, trained to its end or not, but not failed; None so far."""

    def __init__(self) -> None:
        self.trial: Trial | None = None
        self._rank: Rank | None = None

    def compare(self, trial: Trial, trials: Sequence[Trial], *, mode: str) -> None:
        """Take in what a trial has now. trials: all, looked at only when the leader itself got worse."""
        rank = rank_of(trial, mode)
        if trial is self.trial and (rank is None or self._rank is None or rank > self._rank):
            ranked = [(found, one) for one in trials if (found := rank_of(one, mode)) is not None]
            self._rank, self.trial = min(ranked, key=lambda pair: pair[0], default=(None, None))
        elif rank is not None and (self._rank is None or rank <= self._rank):
            self._rank, self.trial = rank, trial


def rank_of(trial: Trial, mode: str) -> Rank | None:
    """Where a trial stands by its value; None without one, or when it failed."""
    value = trial.value
    if value is None or trial.status == "failed":
        return None
    return (-value if mode == "max" else value), trial.number
