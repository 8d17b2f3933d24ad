"""Which rungs a trial has been on, is heading for, and waits at: what halving schedulers hear."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from hpo_cli.sweep.schedulers.costs import WORST, Mode, cost_at
from hpo_cli.sweep.schedulers.rung import Rung
from hpo_cli.sweep.state import Trial


@dataclass
class Ladder:
    """Rungs at rising epochs. At the last one a trial is complete.

    rungs: of all epochs.   heights: trial -> on how many rungs it has been.   over: trials that train no more.
    """

    epochs: Sequence[int]
    mode: Mode
    rungs: list[Rung] = field(init=False)
    heights: dict[int, int] = field(default_factory=dict)
    over: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.rungs = [Rung() for _ in self.epochs]

    def hear(self, trial: Trial) -> None:
        """Take in where a trial stands. Hearing it twice changes nothing."""
        if trial.is_over:
            self.over.add(trial.number)
        before = self.heights.setdefault(trial.number, 0)
        reached = self._reached(trial)
        for place in range(before, reached):
            self.rungs[place].add(trial.number, cost=self._cost(trial, place))
            self.heights[trial.number] = place + 1
            if place:
                self.rungs[place - 1].leave(trial.number)
        height = self.heights[trial.number]
        if height and (trial.status != "paused" or self.heading(trial) >= height):
            self.rungs[height - 1].leave(trial.number)

    @property
    def num_at_work(self) -> int:
        """Trials that train, or wait for a slot: neither over nor at a rung."""
        return len(self.heights) - len(self.over) - sum(rung.num_waiting for rung in self.rungs)

    def ended_at(self, trial: int, place: int) -> bool:
        """Whether a trial is over and has been on no higher rung."""
        return trial in self.over and self.heights[trial] == place + 1

    def heading(self, trial: Trial) -> int:
        """The place of the rung at which the trial stops next, or waits."""
        until = self.epochs[-1] if trial.until is None else trial.until
        return min(bisect_left(self.epochs, until), len(self.epochs) - 1)

    def until(self, place: int) -> int | None:
        """The epoch to order for a rung: none for the last one."""
        return None if place >= len(self.epochs) - 1 else self.epochs[place]

    def _reached(self, trial: Trial) -> int:
        """How many rungs it has been on. A trial that is over has been on the one that it was heading for."""
        if trial.is_over:
            return self.heading(trial) + 1
        if trial.status == "paused":
            return bisect_right(self.epochs, trial.epoch)
        return self.heading(trial)

    def _cost(self, trial: Trial, place: int) -> float:
        if trial.status == "failed" and place == self.heading(trial):
            return WORST
        return cost_at(trial, self.epochs[place], self.mode)
