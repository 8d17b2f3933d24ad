"""Every trial trains to its end."""

from __future__ import annotations

from collections.abc import Sequence

from hpo_cli.sweep.orders import New, Order
from hpo_cli.sweep.space import Space
from hpo_cli.sweep.state import Trial


class NoScheduler:
    """A new trial for every free slot, and none is stopped. Other schedulers change one of the two."""

    def heard(self, trial: Trial) -> None:
        """Nothing that happens changes anything."""

    def next(self, trials: Sequence[Trial], *, may_begin: bool) -> Order | None:  # noqa: ARG002 - the contract's
        """A new trial, for as long as one may begin."""
        return New() if may_begin else None

    def verdict(self, trial: Trial, trials: Sequence[Trial]) -> str | None:  # noqa: ARG002 - the contract's
        """None: it runs on."""
        return None

    def narrow(self, space: Space) -> None:
        """The space does not matter here."""
