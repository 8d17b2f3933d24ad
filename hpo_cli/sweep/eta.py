"""How long a sweep and its runs will take, by how long those took that are known. No clock, no files."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.live import LiveRun
from hpo_cli.sweep.sizes import known_total
from hpo_cli.sweep.tally import Tally

_FULL_TRIALS = ("none", "pbt")
"""Schedulers under which every trial is trained to its end."""


@dataclass(frozen=True)
class Moment:
    """A run that trains, and what is left of it. left: seconds, None while nothing tells."""

    run: LiveRun
    goal: int
    left: float | None


@dataclass(frozen=True)
class Estimate:
    """each: of every running run.   whole: seconds until the sweep is over.   share: of all epochs that is trained.

    The last two are None while nothing tells.
    """

    each: tuple[Moment, ...]
    whole: float | None
    share: float | None = None


def estimate(state: SweepState, live: Sequence[LiveRun], tally: Tally, *, now: float) -> Estimate:
    """How long it will take, if epochs go on to take what they took. now: seconds since 1970."""
    timed = [(run, _begun(state, run), _seconds(state, run, now=now)) for run in live]
    known = [(run.done - begun, seconds) for run, begun, seconds in timed if run.done > begun and seconds > 0]
    epochs = tally.epochs + sum(done for done, _ in known)
    pace = (tally.seconds + sum(seconds for _, seconds in known)) / epochs if epochs > 0 else None
    each = tuple(
        Moment(run, goal, _left(run, goal, begun=begun, seconds=seconds, pace=pace))
        for run, begun, seconds in timed
        for goal in [_goal(state, run)]
    )
    work = _work(state, each, tally)
    return Estimate(each, _whole(state, each, work, pace=pace, now=now), _share(state, each, work))


def makespan(slots: Sequence[float], jobs: Sequence[float], *, more: int = 0, each: float = 0.0) -> float:
    """Seconds until all is done when a free slot takes the next job at once.

    slots: seconds until each slot is free.   jobs: how long those take that wait, in order.   more: jobs of `each`
    seconds behind them.
    >>> makespan([0, 0], [], more=10, each=10.0), makespan([4, 10], [3.0], more=1, each=5.0)
    (50.0, 12.0)
    """
    heap = [float(slot) for slot in slots]
    heapq.heapify(heap)
    for job in jobs:
        heapq.heapreplace(heap, heap[0] + job)
    while more > 0 and max(heap) - heap[0] > each:
        heapq.heapreplace(heap, heap[0] + each)
        more -= 1
    rounds, rest = divmod(more, len(heap))  # equal jobs on slots that are free within one of them go round
    for _ in range(rest):
        heapq.heapreplace(heap, heap[0] + each)
    return max(heap) + rounds * each


@dataclass(frozen=True)
class _Work:
    """Epochs to train. running, waiting: of each run; more: runs that are still to come, None where nobody says."""

    running: tuple[float, ...]
    waiting: tuple[float, ...]
    more: int | None
    each: float

    @property
    def total(self) -> float | None:
        if self.more is None:
            return None
        return sum(self.running) + sum(self.waiting) + self.more * self.each


def _work(state: SweepState, each: Sequence[Moment], tally: Tally) -> _Work:
    is_pbt = state.settings.scheduler == "pbt"  # who waits trains on, always
    goals = [state.epochs if is_pbt else one.goal for one in each]
    running = tuple(max(0.0, goal - one.run.done) for goal, one in zip(goals, each, strict=True))
    places = [(state.trial(trial).runs[run].epoch, _goal(state, LiveRun(trial, run))) for trial, run in state.ready]
    places += [(epoch, state.epochs) for epoch in tally.parked.values() if is_pbt for _ in state.inner]
    waiting = tuple(float(max(0, (state.epochs if is_pbt else goal) - epoch)) for epoch, goal in places)
    epochs = _epochs_of_a_trial(state, tally)
    more = _still_to_come(state, epochs, sum(running) + sum(waiting))
    if state.settings.scheduler == "asha" and more is not None and state.settings.epochs is None:
        trained = state.trained_epochs + sum(one.run.done - _begun(state, one.run) for one in each)
        owed = len(state.trials) * len(state.inner) * epochs - trained - sum(running) - sum(waiting)
        more += max(0, round(owed / epochs))
    return _Work(running, waiting, more, epochs)


def _share(state: SweepState, each: Sequence[Moment], work: _Work) -> float | None:
    rest = work.total
    if rest is None:
        return None
    done = state.trained_epochs + sum(max(0.0, one.run.done - _begun(state, one.run)) for one in each)
    return done / (done + rest) if done + rest > 0 else 0.0


def _whole(state: SweepState, each: Sequence[Moment], work: _Work, *, pace: float | None, now: float) -> float | None:
    if pace is None or any(one.left is None for one in each):
        return None
    beyond = [max(0.0, epochs - (one.goal - one.run.done)) for epochs, one in zip(work.running, each, strict=True)]
    busy = [(one.left or 0.0) + pace * more for one, more in zip(each, beyond, strict=True)]
    slots = busy + [0.0] * (num_slots(state, len(busy)) - len(busy))
    waiting = [pace * epochs for epochs in work.waiting]
    new, more, left = work.each * pace, work.more, _minutes_left(state, now=now)
    if left is not None and new > 0:
        begun_in_time = sum(max(0, math.ceil((left - slot) / new)) for slot in slots)
        more = begun_in_time if more is None else min(more, begun_in_time)
    return None if more is None else makespan(slots, waiting, more=more, each=new)


def num_slots(state: SweepState, busy: int) -> int:
    """How many runs train at once, in all processes that drive the sweep."""
    joined = sum(int(event.get("workers") or 0) for event in state.joined)
    return max(1, busy, state.settings.workers or 0 if len(state.joined) <= 1 and state.settings.workers else joined)


def _still_to_come(state: SweepState, epochs: float, owed: float) -> int | None:
    """Runs of trials that are not proposed yet; None where nothing says how many. owed: epochs of those that are."""
    total = known_total(state)
    more = None if total is None else (total - len(state.trials)) * len(state.inner)
    if state.settings.epochs is not None:
        left = math.ceil(max(0.0, state.settings.epochs - state.trained_epochs - owed) / max(1.0, epochs))
        more = left if more is None else min(more, left)
    return more


def _epochs_of_a_trial(state: SweepState, tally: Tally) -> float:
    """How many epochs one run of a new trial will train: all, or where trials are stopped, what is to be expected."""
    settings = state.settings
    if settings.scheduler == "asha":
        return asha_epochs(settings.min_epochs, settings.eta, state.epochs)
    if settings.scheduler in _FULL_TRIALS or not tally.num_trained:
        return float(state.epochs)
    return max(1.0, tally.epochs / tally.num_trained / len(state.inner))


def asha_epochs(lowest: int, eta: int, epochs: int) -> float:
    """Epochs of a trial on average, when one of `eta` is promoted at each rung.

    >>> asha_epochs(1, 2, 4)  # 1, half of them one more, a quarter two more
    2.0
    """
    rungs = [min(lowest, epochs)]
    while rungs[-1] < epochs:
        rungs.append(min(rungs[-1] * eta, epochs))
    steps = [after - before for before, after in zip([0, *rungs], rungs, strict=False)]
    return math.fsum(step / eta**rung for rung, step in enumerate(steps))


def _minutes_left(state: SweepState, *, now: float) -> float | None:
    if state.settings.minutes is None:
        return None
    return max(0.0, 60 * state.settings.minutes - driven(state, now=now))


def driven(state: SweepState, *, now: float) -> float:
    """Seconds that the sweep has been driven so far. now: seconds since 1970."""
    here = min((_moment(event.get("at")) for event in state.joined), default=now)
    return state.seconds_before + max(0.0, now - here)


def _left(run: LiveRun, goal: int, *, begun: int, seconds: float, pace: float | None) -> float | None:
    done = run.done - begun
    own = seconds / done if done > 0 and seconds > 0 else pace
    if own is None or run.paused:
        return None
    return max(0.0, goal - run.done) * own


def _begun(state: SweepState, run: LiveRun) -> int:
    """The epoch at which this attempt began."""
    return state.trial(run.trial).runs[run.run].epoch


def _goal(state: SweepState, run: LiveRun) -> int:
    until = state.trial(run.trial).until
    return min(one for one in (until, run.epochs or state.epochs) if one is not None)


def _seconds(state: SweepState, run: LiveRun, *, now: float) -> float:
    if run.seconds is not None:
        return run.seconds
    since = _moment((state.trial(run.trial).runs[run.run].started or {}).get("at"))
    return max(0.0, now - since) if since else 0.0


def _moment(text: object) -> float:
    """Seconds since 1970; 0 for what is no moment."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return 0.0
