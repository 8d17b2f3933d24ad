"""Hyperband: brackets of successive halving, from many short trials to few long ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import pairwise

from hpo_cli.sweep.orders import GoOn, New, Order
from hpo_cli.sweep.schedulers.costs import WORST, Mode
from hpo_cli.sweep.schedulers.ladder import Ladder
from hpo_cli.sweep.schedulers.none import NoScheduler
from hpo_cli.sweep.state import Trial

BRACKET = "bracket"
"""The note of a trial that says in which bracket it is, counted from 0 over the whole sweep."""


@dataclass(frozen=True)
class Level:
    """A round of successive halving: so many trials train to so many epochs."""

    trials: int
    epochs: int


def hyperband_table(epochs: int, *, min_epochs: int, eta: int) -> tuple[tuple[Level, ...], ...]:
    """The rounds of every bracket, s = s_max .. 0.

    n = ceil((s_max + 1) / (s + 1) * eta^s) trials begin with r = R * eta^-s epochs; round i has floor(n * eta^-i)
    trials at r * eta^i epochs, rounded to whole ones.

    epochs: R, of a full trial.   min_epochs: at least so many in the lowest round: s_max = floor(log_eta(R / that)).
    Source: Li et al. 2018, Hyperband, JMLR 18(185), Algorithm 1 and Table 1.
    """
    s_max = 0
    while min_epochs * eta ** (s_max + 1) <= epochs:
        s_max += 1
    return tuple(_bracket_levels(s, s_max, epochs=epochs, eta=eta) for s in range(s_max, -1, -1))


def _bracket_levels(s: int, s_max: int, *, epochs: int, eta: int) -> tuple[Level, ...]:
    begin = -(-(s_max + 1) * eta**s // (s + 1))
    return tuple(Level(begin // eta**i, round(epochs / eta ** (s - i))) for i in range(s + 1))


class Bracket:
    """One bracket of synchronous successive halving: a round's trials are promoted when all of them have reached it.

    round: the one that is waited for now.
    """

    def __init__(self, levels: Sequence[Level], *, eta: int, mode: Mode) -> None:
        self.levels, self.eta = levels, eta
        self.ladder = Ladder([level.epochs for level in levels], mode)
        self.round = 0
        self.is_closed = False
        self._awaited: set[int] = set()

    @property
    def begun(self) -> int:
        """How many trials have begun in it."""
        return len(self.ladder.heights)

    @property
    def is_open(self) -> bool:
        """Whether a trial may still begin in it."""
        return not self.is_closed and self.begun < self.levels[0].trials

    def hear(self, trial: Trial) -> list[tuple[int, int]]:
        """Take in where a trial stands. (round, trial) of those that it makes promotable, best first."""
        self.ladder.hear(trial)
        height = self.ladder.heights[trial.number]
        if self.round == 0 and height == 0:
            self._awaited.add(trial.number)
        if height > self.round or trial.is_over:
            self._awaited.discard(trial.number)
        if self.is_open and self.ladder.heading(trial) > 0:
            self.is_closed = True  # others were promoted out of the first round: it had ended
        return self._settle()

    def close(self) -> list[tuple[int, int]]:
        """No further trial begins in it: it goes on with those that it has. (round, trial) as `hear` gives them."""
        if not self.is_open or not self.begun:
            return []
        self.is_closed = True
        return self._settle()

    def num_going_on(self, place: int) -> int:
        """How many go on from a round: as the table has it, or fewer, but one, in a bracket that was never full."""
        return min(self.levels[place + 1].trials, max(1, self.begun // int(self.eta ** (place + 1))))

    def _settle(self) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        while not (self.is_open or self._awaited) and self.round < len(self.levels) - 1:
            winners = self._winners()
            found += [(self.round, trial) for trial in winners if self.ladder.rungs[self.round].waits(trial)]
            self.round += 1
            self._awaited = {trial for trial in winners if self.ladder.heights[trial] <= self.round}
        return found

    def _winners(self) -> list[int]:
        best = self.ladder.rungs[self.round].best(self.num_going_on(self.round))
        return [trial for cost, trial in best if cost < WORST and not self.ladder.ended_at(trial, self.round)]


class Hyperband(NoScheduler):
    """Hyperband, where rounds are waited for inside a bracket only: a free slot takes what another bracket has to do.

    It promotes in the oldest bracket that has a complete round, else begins a trial of the first bracket that is not
    full; after the last kind of bracket the first one comes again, for as long as trials may begin.

    A bracket that no trial may fill any more goes on with those that it has. A trial that failed, or was stopped,
    counts in its round as one that was worse than all, and what has no value of the objective is never promoted.
    """

    def __init__(self, *, kinds: Sequence[Sequence[Level]], eta: int, mode: Mode) -> None:
        self.kinds, self.eta, self.mode = kinds, eta, mode
        self.brackets: list[Bracket] = []
        self._filling = 0
        self._promotable: list[tuple[int, int, int, int]] = []
        """A heap of (bracket, -round, place in the order of being found, trial)."""
        self._num_found = 0

    def heard(self, trial: Trial) -> None:
        """A trial came to its round's end, left it, or is over. One of another scheduler's is passed over."""
        index = trial.notes.get(BRACKET)
        if not isinstance(index, int):
            return
        while len(self.brackets) <= index:
            self._append()
        self._found(index, self.brackets[index].hear(trial))

    def next(self, trials: Sequence[Trial], *, may_begin: bool) -> Order | None:  # noqa: ARG002 - the contract's
        """A promotion, else a new trial; None while rounds are waited for and none may begin, or all is over."""
        order = self._promotion()
        if order is not None:
            return order
        index = self._to_fill()
        if may_begin:
            return New(until=self.brackets[index].ladder.until(0), notes={BRACKET: index})
        self._found(index, self.brackets[index].close())
        return self._promotion()

    def _append(self) -> None:
        kind = self.kinds[len(self.brackets) % len(self.kinds)]
        self.brackets.append(Bracket(kind, eta=self.eta, mode=self.mode))

    def _to_fill(self) -> int:
        while self._filling < len(self.brackets) and not self.brackets[self._filling].is_open:
            self._filling += 1
        if self._filling == len(self.brackets):
            self._append()
        return self._filling

    def _found(self, index: int, promotable: Sequence[tuple[int, int]]) -> None:
        for place, trial in promotable:
            self._num_found += 1
            heappush(self._promotable, (index, -place, self._num_found, trial))

    def _promotion(self) -> GoOn | None:
        while self._promotable:
            index, minus_place, _, trial = self._promotable[0]
            bracket, place = self.brackets[index], -minus_place
            if bracket.ladder.rungs[place].waits(trial):
                return _promotion(bracket, place, trial=trial)
            heappop(self._promotable)
        return None


def _promotion(bracket: Bracket, place: int, *, trial: int) -> GoOn:
    num, epochs = len(bracket.ladder.rungs[place]), bracket.levels[place].epochs
    why = f"among the best {bracket.num_going_on(place)} of {num} at epoch {epochs}"
    return GoOn(trial, until=bracket.ladder.until(place + 1), why=why)


def budget(levels: Sequence[Level]) -> int:
    """The epochs that a full bracket trains, when trials go on from where they stopped."""
    rest = sum(after.trials * (after.epochs - before.epochs) for before, after in pairwise(levels))
    return levels[0].trials * levels[0].epochs + rest
