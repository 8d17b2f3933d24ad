"""CMA-ES: a normal distribution that moves to where good trials lie (Hansen 2016, The CMA evolution strategy)."""

from __future__ import annotations

import math
import pickle
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo_cli.sweep.search.encoding import is_ordered
from hpo_cli.sweep.search.past import Seen, first_loss
from hpo_cli.sweep.search.proposer import Ask, Proposer
from hpo_cli.sweep.search.seeds import rng_of, seed_of
from hpo_cli.sweep.space import Setting, Space

if TYPE_CHECKING:
    from cmaes import CMA  # type: ignore[import-untyped]

_SIGMA = 0.2
"""Of the first generation, as a share of each range."""
_LEARNING = 0.25
"""How far the odds of choices move towards those of a generation's better half."""
_WIDER = 0.25
"""How much further out a proposal moves for each refusal: steps that are too small repeat themselves."""


_WIDE_SIGMA = 0.4
"""Of the first generation after a new beginning."""
_MOST_GENERATIONS = 100


def population_size(num_dims: int) -> int:
    """How many trials make a generation (Hansen 2016, eq. 48)."""
    return 4 + math.floor(3 * math.log(num_dims))


@dataclass
class _Model:
    """The distribution after some generations. odds: name -> the probability of each choice of an unordered list."""

    normal: CMA
    odds: dict[str, list[float]] = field(default_factory=dict)


class CmaEs(Proposer):
    """A normal distribution over ordered dimensions, each a share of its range, and odds for the choices of others.

    Begins at the best of `sweep.startup` random trials. Trials that are known make generations in the order of their
    numbers; a generation with running members does not wait for them. What is not active in a trial counts as drawn at
    random, so that it does not steer. Failed trials count as worst. One aim.
    """

    own_attempts = 5

    def narrow(self, space: Space) -> None:
        """Search in another space from now on."""
        super().narrow(space)
        self._ordered = [one for one in self.space.dimensions if is_ordered(one)]
        self._models: list[tuple[tuple[Seen, ...], bytes]] = []

    def draw(self, ask: Ask) -> Setting:
        """By the distribution, once there is one."""
        rng = random.Random(ask.seed)
        enough = self.brief.settings.startup
        past = self.past.read(ask.trials, enough=enough)
        if len(past.known) < enough:
            return self.space.draw(rng)
        told = sorted([*past.known, *past.failed], key=lambda seen: seen.number)
        model = self._after(told, enough)
        model.normal.reseed_rng(ask.seed)
        mean = model.normal.mean
        shares = mean + (model.normal.ask() - mean) * (1.0 + _WIDER * ask.attempt)
        point: dict[str, Any] = {one.name: one.at(share) for one, share in zip(self._ordered, shares, strict=False)}
        for name, odds in model.odds.items():
            point[name] = rng.choices(self.space[name].choices or (), odds)[0]
        return self.space.setting(point)

    def _after(self, told: Sequence[Seen], startup: int) -> _Model:
        """The model after all whole generations, from the last one that is kept and still true.

        Every so many generations it begins anew at the best trial, wider: that bounds what a resumed
        sweep has to retell.
        """
        size = population_size(max(len(self._ordered), 1))
        num_whole = (len(told) - startup) // size
        block = num_whole // _MOST_GENERATIONS
        begin = startup + block * _MOST_GENERATIONS * size
        parts = [tuple(told[:begin])]
        parts += [tuple(told[at : at + size]) for at in range(begin, startup + num_whole * size, size)]
        same = next(
            (i for i, (a, b) in enumerate(zip(parts, self._models, strict=False)) if a != b[0]), len(self._models)
        )
        del self._models[min(same, len(parts)) :]
        if not self._models:
            self._models.append((parts[0], pickle.dumps(self._begun(parts[0], _SIGMA if block == 0 else _WIDE_SIGMA))))
        model: _Model = pickle.loads(self._models[-1][1])  # noqa: S301 -- our own, of this process
        for place in range(len(self._models), len(parts)):
            self._tell(model, parts[place], place)
            self._models.append((parts[place], pickle.dumps(model)))
        return model

    def _begun(self, first: Sequence[Seen], sigma: float) -> _Model:
        from cmaes import CMA

        known = [seen for seen in first if seen.losses is not None]
        best = min(known, key=first_loss, default=None)
        share = {one.name: one.where(best.point[one.name]) for one in self._ordered if best and one.name in best.point}
        mean = np.array([share.get(one.name, 0.5) for one in self._ordered] or [0.5])
        bounds = np.array([[0.0, 1.0]] * len(mean))
        size = population_size(len(mean))
        normal = CMA(
            mean=mean, sigma=sigma, bounds=bounds, seed=seed_of(self.brief.settings.seed), population_size=size
        )
        unordered = [one for one in self.space.dimensions if not is_ordered(one)]
        return _Model(normal, {one.name: [1.0 / len(one.choices or ())] * len(one.choices or ()) for one in unordered})

    def _tell(self, model: _Model, chunk: Sequence[Seen], place: int) -> None:
        """One generation."""
        ranked = sorted(chunk, key=first_loss)
        model.normal.reseed_rng(seed_of(self.brief.settings.seed, place))
        rng = rng_of(self.brief.settings.seed, place)
        model.normal.tell([(self._shares(model, seen, rng), float(rank)) for rank, seen in enumerate(ranked)])
        better = ranked[: len(ranked) // 2]
        for name, odds in model.odds.items():
            _move(odds, [int(self.space[name].where(s.point[name]) * len(odds)) for s in better if name in s.point])

    def _shares(self, model: _Model, seen: Seen, rng: random.Random) -> Any:
        shares = model.normal.ask()
        for place, one in enumerate(self._ordered):
            if one.name in seen.point:
                shares[place] = one.where(seen.point[one.name])
                if one.size is not None:  # anywhere in its share of the range: equal values would end all variance
                    shares[place] += (rng.random() - 0.5) / one.size if one.scale == "linear" else 0.0
        return shares


def _move(odds: list[float], chosen: Sequence[int]) -> None:
    """Move odds towards how often each was chosen; none ever goes out of reach."""
    if not chosen:
        return
    floor = 0.2 / len(odds)
    for place, odd in enumerate(odds):
        odds[place] = max(odd + _LEARNING * (chosen.count(place) / len(chosen) - odd), floor)
    total = sum(odds)
    odds[:] = [odd / total for odd in odds]
