"""Every setting once, in Hydra's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hpo_cli.sweep.search.contract import Limit
from hpo_cli.sweep.search.past import Past, key_of
from hpo_cli.sweep.search.proposer import Brief
from hpo_cli.sweep.space import Setting, Space
from hpo_cli.sweep.state import Trial


class ListSearch:
    """Goes through a list of settings: those after the newest trial's first, then what was left out before it.

    So a setting that was refused is passed by at once, and one that an edit brought in is not forgotten.
    """

    def __init__(self, brief: Brief) -> None:
        self.brief = brief
        self.narrow(brief.space)

    def narrow(self, space: Space) -> None:
        """Another list from now on; what was tried of it is not tried again."""
        self.space = replace(space, base=self.brief.base)
        self.past = Past(self.space, self.brief.aims)
        self._list = self.listed(self.space)
        self._places = {key_of(setting): place for place, setting in enumerate(self._list)}
        self.size: int | None = len(self._list)

    def listed(self, space: Space) -> list[Setting]:
        """All settings in their order. Raises ConfigError for a range that has no steps."""
        return list(space.grid())

    def propose(
        self,
        trials: Sequence[Trial],
        number: int,  # noqa: ARG002
        *,
        attempt: int = 0,
        limit: Limit = "unknown",  # noqa: ARG002
    ) -> Setting | None:
        """See `Search`. A setting beyond the limit is for the sweep to refuse, which says so."""
        known = self.past.settings(trials)
        newest = next(
            (place for t in reversed(trials) if (place := self._places.get(key_of(t.setting))) is not None), -1
        )
        for step in range(1, len(self._list) + 1):
            setting = self._list[(newest + step) % len(self._list)]
            if key_of(setting) in known:
                continue
            if attempt == 0:
                return setting
            attempt -= 1
        return None


class Grid(ListSearch):
    """Every combination; the last dimension varies fastest."""
