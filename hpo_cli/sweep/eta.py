"""How long a sweep and its runs will take, by how long those took that are known. No clock, no files."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.live import LiveRun
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
    """each: of every running run.   whole: seconds until the sweep is over; both None while nothing tells."""

    each: tuple[Moment, ...]
    whole: float | None


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
    return Estimate(each, _whole(state, each, tally, pace=pace, now=now))


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


def _whole(state: SweepState, each: Sequence[Moment], tally: Tally, *, pace: float | None, now: float) -> float | None:
    if pace is None or any(one.left is None for one in each):
        return None
    busy = [one.left or 0.0 for one in each]
    slots = busy + [0.0] * (num_slots(state, len(busy)) - len(busy))
    waiting = [
        pace * max(0, _goal_of(state, *place) - state.trial(place[0]).runs[place[1]].epoch) for place in state.ready
    ]
    epochs = _epochs_of_a_trial(state, tally)
    more = _still_to_come(state, each, epochs, len(waiting))
    left = _minutes_left(state, now=now)
    if more is None:
        return None if left is None else max([left + epochs * pace, *slots])
    if left is not None and epochs * pace > 0:
        more = min(more, sum(max(0, math.ceil((left - slot) / (epochs * pace))) for slot in slots))
    return makespan(slots, waiting, more=more, each=epochs * pace)


def num_slots(state: SweepState, busy: int) -> int:
    """How many runs train at once, in all processes that drive the sweep."""
    joined = sum(int(event.get("workers") or 0) for event in state.joined)
    return max(1, busy, state.settings.workers or 0 if len(state.joined) <= 1 and state.settings.workers else joined)


def _still_to_come(state: SweepState, each: Sequence[Moment], epochs: float, waiting: int) -> int | None:
    """Runs of trials that are not proposed yet; None where nothing says how many."""
    total = state.total
    more = None if total is None else (total - len(state.trials)) * len(state.inner)
    if state.settings.epochs is not None:
        owed = sum(one.goal - one.run.epoch for one in each) + epochs * waiting
        left = math.ceil(max(0.0, state.settings.epochs - state.trained_epochs - owed) / max(1.0, epochs))
        more = left if more is None else min(more, left)
    return more


def _epochs_of_a_trial(state: SweepState, tally: Tally) -> float:
    """How many epochs one run of a new trial will train: all, or where trials are stopped, what they did so far."""
    if state.settings.scheduler in _FULL_TRIALS or not tally.num_trained:
        return float(state.epochs)
    return tally.epochs / tally.num_trained / len(state.inner)


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


def _goal_of(state: SweepState, trial: int, run: int) -> int:
    return _goal(state, LiveRun(trial, run))


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
