"""What a way to search is: a function of what is known, so that a resumed sweep proposes the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from hpo_cli.sweep.space import Setting, Space
from hpo_cli.sweep.state import Trial


@dataclass(frozen=True)
class Aim:
    """One objective. name: a metric, or params, seconds, steps, epochs."""

    name: str
    mode: Literal["min", "max"]


Limit = float | None | Literal["unknown"]


class Search(Protocol):
    """One way to propose settings. Knows its space, its aims and its seed from when it was made."""

    size: int | None
    """How many settings there are, None for endless ones."""

    def propose(
        self, trials: Sequence[Trial], number: int, *, attempt: int = 0, limit: Limit = "unknown"
    ) -> Setting | None:
        """The setting of trial `number`; None when there is no further one.

        trials: all so far, in the order of their numbers, ended or not. The same arguments give the same setting.
        attempt: counts the proposals for this number that were refused or known already.   limit: the batch size that
        ran out of memory, None for none; "unknown": it is looked for among the trials, which takes time with many.
        """

    def narrow(self, space: Space) -> None:
        """Search in another space from now on: somebody edited the sweep."""
