"""What a scheduler is: it hears what happens to trials, and says what a free slot does next. Pure: no clock, no files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hpo_cli.sweep.orders import Order
from hpo_cli.sweep.state import Trial


class Scheduler(Protocol):
    """Shares training time among trials. One that hears the same things in the same order orders the same."""

    def heard(self, trial: Trial) -> None:
        """A trial is new, has new reports, or another status. Must be cheap: a sweep may have 10,000 trials."""

    def next(self, trials: Sequence[Trial], *, may_begin: bool) -> Order | None:
        """What a free slot does now; None: nothing as things stand. may_begin: whether New may be answered.

        The order counts as given: the same promotion is not ordered twice.
        """

    def verdict(self, trial: Trial, trials: Sequence[Trial]) -> str | None:
        """Why a running trial is to be stopped for good now, after its newest report; None: let it run."""
