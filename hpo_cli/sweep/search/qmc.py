"""Quasi-random search: as random, but the settings keep apart (Bousquet et al. 2017)."""

from __future__ import annotations

from typing import Any

from hpo_cli.sweep.search.halton import halton
from hpo_cli.sweep.search.proposer import Ask, Proposer
from hpo_cli.sweep.search.seeds import seed_of
from hpo_cli.sweep.space import Setting

_FAR = 1_000_003
"""A prime, so that all digits change."""


class QuasiRandom(Proposer):
    """Scrambled Halton points. Every dimension has a coordinate of its own, used when the dimension is active.

    A point is a function of its trial's number, so there is no number of trials that must be kept to, as with Sobol's
    sequence, and nothing is imported. A refused point is replaced by one far along the sequence.
    """

    def draw(self, ask: Ask) -> Setting:
        """The point of the trial's number. Priors are not heeded."""
        seed, number, attempt = ask.parts
        index = number - 1 + _FAR * attempt
        scramble = seed_of(seed)
        point: dict[str, Any] = {
            one.name: one.at(halton(index, dim, seed=scramble)) for dim, one in enumerate(self.space.dimensions)
        }
        return self.space.setting(point)
