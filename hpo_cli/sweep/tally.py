"""What became of a sweep's trials, counted as it goes on: what is over is looked at once, however many there are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Literal

from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.state import Trial

Happened = Literal["finished", "stopped", "failed", "paused", "lost"]


@dataclass(frozen=True)
class News:
    """Something that happened to a trial. is_best: whether it leads the sweep since then."""

    trial: Trial
    what: Happened
    is_best: bool = False

    def of(self, state: SweepState) -> News:
        """The same of the trial as another state of the sweep has it."""
        return replace(self, trial=state.trial(self.trial.number))


@dataclass
class Tally:
    """Counts of a sweep's trials, kept up by `take`.

    over: trials that will never train again, by how they ended.   parked: number -> epoch, of those that wait at a
    rung.   best: the leader among all those but the failed ones.   seconds, epochs: what all their runs took.
    """

    over: Counter[str] = field(default_factory=Counter)
    parked: dict[int, int] = field(default_factory=dict)
    best: Trial | None = None
    seconds: float = 0.0
    epochs: int = 0
    _open: dict[int, int] = field(default_factory=dict)  # number -> how often its runs were lost
    _counted: dict[int, tuple[float, int]] = field(default_factory=dict)  # of those that are parked
    _best_value: float | None = None
    _seen: int = 0

    @property
    def done(self) -> int:
        """Trials that are over."""
        return self.over.total()

    @property
    def num_trained(self) -> int:
        """Trials of which `seconds` and `epochs` tell."""
        return self.done + len(self.parked)

    def take(self, state: SweepState) -> list[News]:
        """What has happened since the last call, in the order of the trials' numbers."""
        for trial in state.trials[self._seen :]:
            self._open[trial.number] = 0
        self._seen = len(state.trials)
        for number, epoch in list(self.parked.items()):
            trial = state.trial(number)
            if trial.runs[0].status != "paused" or trial.runs[-1].status != "paused" or trial.runs[0].epoch != epoch:
                self._reopen(trial)
        return [news for number in sorted(self._open) if (news := self._look(state, state.trial(number)))]

    def counts(self, state: SweepState) -> dict[str, int]:
        """How many trials have which status: waiting ones lack a slot, paused ones an order to train on."""
        running = len({number for number, _ in state.running})
        paused = len(self.parked)
        return {
            "finished": self.over["finished"],
            "running": running,
            "waiting": max(0, len(state.trials) - self.done - running - paused),
            "paused": paused,
            "stopped": self.over["stopped"],
            "failed": self.over["failed"],
        }

    def _reopen(self, trial: Trial) -> None:
        del self.parked[trial.number]
        self._open[trial.number] = sum(run.lost for run in trial.runs)
        self._spent(trial, -1)

    def _look(self, state: SweepState, trial: Trial) -> News | None:
        status = trial.status
        if status == "running" or status == "waiting":  # noqa: PLR1714 - mypy follows this one
            return self._lost(trial)
        del self._open[trial.number]
        if status == "paused":
            self.parked[trial.number] = trial.runs[0].epoch
        else:
            self.over[status] += 1
        self._spent(trial, +1)
        return News(trial, status, is_best=self._leads(state, trial))

    def _lost(self, trial: Trial) -> News | None:
        lost = sum(run.lost for run in trial.runs)
        if lost <= self._open[trial.number]:
            return None
        self._open[trial.number] = lost
        return News(trial, "lost")

    def _spent(self, trial: Trial, sign: Literal[-1, 1]) -> None:
        spent = (trial.seconds, sum(run.epoch for run in trial.runs)) if sign > 0 else self._counted.pop(trial.number)
        if sign > 0 and trial.number in self.parked:
            self._counted[trial.number] = spent
        self.seconds += sign * spent[0]
        self.epochs += sign * spent[1]

    def _leads(self, state: SweepState, trial: Trial) -> bool:
        value = trial.value
        if value is None or trial.status == "failed":
            return False
        held, best = self._best_value, self.best
        if held is None or best is None or _is_before(state, (value, trial.number), (held, best.number)):
            self.best, self._best_value = trial, value
            return best is None or best.number != trial.number or value != held
        if best is not None and best.number == trial.number and value != held:  # it trained on, and fell
            self.best = state.best()
            self._best_value = self.best.value if self.best is not None else None
        return False


def _is_before(state: SweepState, one: tuple[float, int], other: tuple[float, int]) -> bool:
    """Whether a value and number come first: the better value, of equal ones the earlier trial."""
    sign = -1.0 if state.aims[0].mode == "max" else 1.0
    return (sign * one[0], one[1]) < (sign * other[0], other[1])
