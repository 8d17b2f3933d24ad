"""What all searches that draw have in common: bans, finite spaces that end, edits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hpo_cli.sweep.search.contract import Aim, Limit
from hpo_cli.sweep.search.memory import lowest_that_failed, within_memory
from hpo_cli.sweep.search.past import Past, key_of
from hpo_cli.sweep.search.seeds import rng_of, seed_of
from hpo_cli.sweep.settings import SweepSettings
from hpo_cli.sweep.space import Setting, Space
from hpo_cli.sweep.state import Trial

MOST_LISTED = 20_000
"""A finite space of at most so many settings is listed when its new ones run short."""
MOST_ATTEMPTS = 100
"""Refused proposals for one trial, after which a space that is not listed counts as exhausted."""


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
        self._smaller: tuple[float, Proposer | None] | None = None

    @abstractmethod
    def draw(self, ask: Ask) -> Setting:
        """A setting of the space, by what is known and the question's own seed."""

    def propose(
        self, trials: Sequence[Trial], number: int, *, attempt: int = 0, limit: Limit = "unknown"
    ) -> Setting | None:
        """See `Search`. Once a trial ran out of memory, the settings come from the space of smaller batches."""
        if limit == "unknown":
            limit = lowest_that_failed(trials)
        if limit is None:
            return self._propose(trials, number, attempt)
        if self._smaller is None or self._smaller[0] != limit:
            space = within_memory(self.space, limit)
            self._smaller = (limit, None if space is None else type(self)(replace(self.brief, space=space)))
        smaller = self._smaller[1]
        return None if smaller is None else smaller._propose(trials, number, attempt)  # noqa: SLF001 -- of its own class

    def _propose(self, trials: Sequence[Trial], number: int, attempt: int) -> Setting | None:
        if attempt >= self.own_attempts and self.size is not None and self.size <= MOST_LISTED:
            return self._untried(trials, number, attempt - self.own_attempts)
        if attempt >= MOST_ATTEMPTS:
            return None
        return self.draw(Ask(trials, number, attempt, (self.brief.settings.seed, number, attempt)))

    def _untried(self, trials: Sequence[Trial], number: int, index: int) -> Setting | None:
        if self._listed is None:
            self._listed = [(key_of(setting), setting) for setting in self.space.grid()]
        known = self.past.settings(trials)
        left = [one for key, one in self._listed if key not in known]
        rng_of(self.brief.settings.seed, number).shuffle(left)
        return left[index] if index < len(left) else None
