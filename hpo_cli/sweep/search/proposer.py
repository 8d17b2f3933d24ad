"""What all searches that draw have in common: bans, finite spaces that end, edits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hpo_cli.sweep.search.contract import Aim
from hpo_cli.sweep.search.memory import lowest_that_failed, over
from hpo_cli.sweep.search.past import Past, key_of
from hpo_cli.sweep.search.seeds import rng_of, seed_of
from hpo_cli.sweep.settings import SweepSettings
from hpo_cli.sweep.space import Setting, Space
from hpo_cli.sweep.state import Trial

MOST_LISTED = 20_000
"""A finite space of at most so many settings is listed when its new ones run short."""
MOST_ATTEMPTS = 100
"""Refused proposals for one trial, after which a space that is not listed counts as exhausted."""
_BAN_TURNS = 20


@dataclass(frozen=True)
class Brief:
    """What a search is told when it is made. base: key -> value of the config that settings change."""

    settings: SweepSettings
    space: Space
    aims: tuple[Aim, ...]
    base: Mapping[str, Any]


@dataclass(frozen=True)
class Ask:
    """One question for a setting. parts: what its random numbers are seeded by."""

    trials: Sequence[Trial]
    number: int
    attempt: int
    parts: tuple[int, ...]

    @property
    def seed(self) -> int:
        """A seed of this question alone."""
        return seed_of(*self.parts)


class Proposer(ABC):
    """A search that draws settings from `space`, one question at a time.

    own_attempts: after so many refusals a finite space gives its untried settings in random order, and then ends.
    """

    own_attempts = 1

    def __init__(self, brief: Brief) -> None:
        self.brief = brief
        self.narrow(brief.space)

    def narrow(self, space: Space) -> None:
        """Search in another space from now on."""
        self.space = replace(space, base=self.brief.base)
        self.size = self.space.size
        self.past = Past(self.space, self.brief.aims)
        self._listed: list[tuple[str, Setting]] | None = None

    @abstractmethod
    def draw(self, ask: Ask) -> Setting:
        """A setting of the space, by what is known and the question's own seed."""

    def propose(self, trials: Sequence[Trial], number: int, *, attempt: int = 0) -> Setting | None:
        """See `Search`."""
        limit = lowest_that_failed(trials)
        if attempt >= self.own_attempts and self.size is not None and self.size <= MOST_LISTED:
            return self._untried(trials, number, attempt - self.own_attempts, limit)
        if attempt >= MOST_ATTEMPTS:
            return None
        for turn in range(_BAN_TURNS):
            setting = self.draw(Ask(trials, number, attempt, (self.brief.settings.seed, number, attempt, turn)))
            if over(limit, setting) is None:
                break
        return setting

    def _untried(self, trials: Sequence[Trial], number: int, index: int, limit: float | None) -> Setting | None:
        if self._listed is None:
            self._listed = [(key_of(setting), setting) for setting in self.space.grid()]
        known = self.past.settings(trials)
        left = [one for key, one in self._listed if key not in known and over(limit, one) is None]
        rng_of(self.brief.settings.seed, number).shuffle(left)
        return left[index] if index < len(left) else None
