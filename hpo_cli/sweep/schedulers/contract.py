"""What a scheduler is: it hears what happens to trials and says what a free slot does next, without clock or files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hpo_cli.sweep.orders import Order
from hpo_cli.sweep.space import Space
from hpo_cli.sweep.state import Trial


class Scheduler(Protocol):
    """Shares training time among trials. One that hears the same things in the same order orders the same."""

    def heard(self, trial: Trial) -> None:
        """A trial is new, has new reports, or another status. Must be cheap: a sweep may have 10,000 trials."""

    def next(self, trials: Sequence[Trial], *, may_begin: bool) -> Order | None:
        """What a free slot does now; None: nothing as things stand. may_begin: whether New may be answered.

        An order is carried out before anything else happens, and then heard of: a new trial by `heard(trial)` (unless
        the search is at its end: then this is asked again with may_begin=False), a promotion or an exploit by
        `heard(trial)` with its new `until`. Only what was heard counts, so that a resumed sweep stands the same.
        """

    def verdict(self, trial: Trial, trials: Sequence[Trial]) -> str | None:
        """Why a running trial is to be stopped for good now, after its newest report; None: let it run."""

    def narrow(self, space: Space) -> None:
        """The sweep was edited: what is changed from now on stays in this space. Raises ConfigError where it cannot."""
