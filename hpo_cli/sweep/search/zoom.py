"""Coarse to fine: a wide random search, then a narrower one round its best region."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from hpo_cli.sweep.dimension import Dimension
from hpo_cli.sweep.search.past import Seen
from hpo_cli.sweep.search.proposer import Ask, Proposer
from hpo_cli.sweep.space import Setting

_QUARTER = 0.25
_FEWEST = 3
"""The best so many make the box; fewer trials make none."""
_MARGIN = 0.2
"""How far the box reaches beyond them: this share of its own width, or of an even gap where they lie close."""


class Zoom(Proposer):
    """The first share of the trials, `sweep.zoom`, is drawn from the whole space.

    Each later one comes from the box of the three best that are known by then: per dimension from their lowest to their
    highest value in its scale, a little wider; of a list a value of the best quarter, the likelier the more often it
    stands there. So the box follows better ones as they are found. Several aims: best by the mean of the ranks.
    """

    def draw(self, ask: Ask) -> Setting:
        """From the whole space, or from the box."""
        rng = random.Random(ask.seed)
        known = self.past.read(ask.trials, enough=_FEWEST).known
        if ask.number <= self._num_wide or len(known) < _FEWEST:
            return self.space.draw(rng)
        best = _best(known)
        point: dict[str, Any] = {}
        for one in self.space.dimensions:
            values = [seen.point[one.name] for seen in best if one.name in seen.point]
            point[one.name] = _within(one, values, rng, attempt=ask.attempt) if values else one.draw(rng)
        return self.space.setting(point)

    @property
    def _num_wide(self) -> int:
        settings = self.brief.settings
        return max(_FEWEST, round(settings.zoom * (settings.trials or 2 * settings.startup)))


def _best(known: Sequence[Seen]) -> list[Seen]:
    """The best quarter, the best first."""
    num_aims = len(known[0].losses or ())
    ranks = dict.fromkeys((one.number for one in known), 0)
    for place in range(num_aims):
        for rank, one in enumerate(sorted(known, key=lambda seen: (seen.losses or ())[place])):
            ranks[one.number] += rank
    return sorted(known, key=lambda one: (ranks[one.number], one.number))[: max(_FEWEST, round(_QUARTER * len(known)))]


def _within(one: Dimension, values: Sequence[Any], rng: random.Random, *, attempt: int) -> Any:
    if one.choices is not None:
        return rng.choice(values)
    shares = sorted(one.where(value) for value in values[:_FEWEST])
    margin = max(_MARGIN * (shares[-1] - shares[0]), _MARGIN / (len(shares) + 1)) * (1 + attempt)
    low, high = max(shares[0] - margin, 0.0), min(shares[-1] + margin, 1.0)
    return one.at(rng.uniform(low, high))
