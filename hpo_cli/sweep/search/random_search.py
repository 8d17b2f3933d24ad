"""Independent draws, each in its range's scale: the baseline that others must beat (Bergstra & Bengio 2012)."""

from __future__ import annotations

import random

from hpo_cli.sweep.search.proposer import Ask, Proposer
from hpo_cli.sweep.space import Setting


class RandomSearch(Proposer):
    """Draws that know nothing of the trials before."""

    def draw(self, ask: Ask) -> Setting:
        """A random setting; half of the draws look round a dimension's prior, where it has one."""
        return self.space.draw(random.Random(ask.seed))
