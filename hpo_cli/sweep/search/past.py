"""What is known of a sweep's trials, as models take it: losses at the largest epoch that enough reached."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any, Literal

from hpo_cli.sweep.search.contract import Aim
from hpo_cli.sweep.space import Point, Setting, Space
from hpo_cli.sweep.state import Trial, Values

Losses = tuple[float, ...]
"""One an aim; lower is better."""
MOST_SEEN = 300
"""A model sees at most so many trials: the best ones and the newest."""
_OVER = ("finished", "stopped", "failed")
_BEST_SHARE = 0.25


@dataclass(frozen=True)
class Seen:
    """One trial as a model takes it.

    losses: None where there are none to compare.   kind: known (its losses compare with the others'), short (it
    trained less; losses of its last epoch), running, failed.
    """

    number: int
    point: Point
    kind: Literal["known", "short", "running", "failed"]
    losses: Losses | None = None
    epoch: int = 0


@dataclass(frozen=True)
class Known:
    """All that a model may learn from, each in the order of numbers."""

    known: Sequence[Seen] = ()
    short: Sequence[Seen] = ()
    running: Sequence[Seen] = ()
    failed: Sequence[Seen] = ()


@dataclass
class _Record:
    """A trial as it was last looked at. marks: changes with it."""

    marks: tuple[Any, ...]
    status: str
    point: Point | None
    final: Losses | None
    epochs: Mapping[int, Losses | None]
    seen: Seen | None = None
    level: int | None = None
    """At which `seen` was made."""


def key_of(setting: Setting) -> str:
    """The same text for the same setting, also after a round trip through JSON."""
    return json.dumps(setting, sort_keys=True, default=str)


def point_of(space: Space, setting: Setting) -> dict[str, Any] | None:
    """The point of a setting that may come from another space; None where it does not fit into this one.

    What the setting does not say it ran with the base config's value; what is not searched any more is left out.
    """
    whole = {**{key: space.base[key] for key in space.keys if key in space.base}, **setting}
    point = space.point(whole)
    fits = all(one.name in point and one.contains(point[one.name]) for one in space.active(point))
    return point if fits else None


class Past:
    """The trials of one sweep, looked at again only where they changed: the cost per call stays small.

    space: trials that do not fit into it are left out of the models.
    """

    def __init__(self, space: Space, aims: Sequence[Aim]) -> None:
        self.space = space
        self.signs = [-1.0 if aim.mode == "max" else 1.0 for aim in aims]
        self._trials: list[Trial] = []
        self._records: list[_Record] = []
        self._open: list[int] = []
        self._keys: list[str] = []
        self._known_keys: set[str] = set()

    def settings(self, trials: Sequence[Trial]) -> set[str]:
        """The keys of all settings that were proposed."""
        self._follow(trials)
        for trial in trials[len(self._keys) :]:
            self._keys.append(key_of(trial.setting))
            self._known_keys.add(self._keys[-1])
        return self._known_keys

    def read(self, trials: Sequence[Trial], *, enough: int) -> Known:
        """What a model may learn from.

        enough: trials that must have reached an epoch before they are compared there; until then none is known.
        Where some trials train less than others the comparison is made at the largest such epoch (Falkner et al. 2018,
        section 3.3, where a model takes the largest budget that has enough observations).
        """
        self._follow(trials)
        still_open = []
        for index in (*self._open, *range(len(self._records), len(trials))):
            trial = trials[index]
            marks = _marks(trial)
            if index == len(self._records):
                self._records.append(self._look(trial, marks, point_of(self.space, trial.setting)))
            elif _differ(marks, self._records[index].marks):
                self._records[index] = self._look(trial, marks, self._records[index].point)
            if self._records[index].status not in _OVER:
                still_open.append(index)
        self._open = still_open
        return self._compared(enough)

    def _follow(self, trials: Sequence[Trial]) -> None:
        """Forget everything when these are not the trials that were looked at before."""
        known = self._trials
        if len(trials) < len(known) or (
            known and (trials[0] is not known[0] or trials[len(known) - 1] is not known[-1])
        ):
            self._trials, self._records, self._open, self._keys, self._known_keys = [], [], [], [], set()
        self._trials.extend(trials[len(self._trials) :])

    def _look(self, trial: Trial, marks: tuple[Any, ...], point: Point | None) -> _Record:
        status = trial.status
        final = self._losses(trial.values) if status == "finished" else None
        reports = {} if status == "finished" and final is None else trial.reports
        return _Record(marks, status, point, final, {epoch: self._losses(values) for epoch, values in reports.items()})

    def _losses(self, values: Values | None) -> Losses | None:
        if values is None or any(value is None for value in values):
            return None
        return tuple(sign * value for sign, value in zip(self.signs, values, strict=True) if value is not None)

    def _compared(self, enough: int) -> Known:
        level = self._level(enough)
        kinds: dict[str, list[Seen]] = {"known": [], "short": [], "running": [], "failed": []}
        for number, record in enumerate(self._records, start=1):
            if record.point is None:
                continue
            if record.seen is None or record.level != level:
                record.seen, record.level = _seen(number, record, record.point, level), level
            kinds[record.seen.kind].append(record.seen)
        return Known(**kinds)

    def _level(self, enough: int) -> int | None:
        """The epoch at which trials are compared; None: at their end."""
        records = [one for one in self._records if one.point is not None]
        if not any(one.status in ("paused", "stopped") or (one.status == "running" and one.epochs) for one in records):
            return None
        if sum(one.final is not None for one in records) >= enough:
            return None
        reached = Counter(max(one.epochs) for one in records if one.epochs)
        total = 0
        for epoch in sorted(reached, reverse=True):
            total += reached[epoch]
            if total >= enough:
                return epoch
        return None


def _marks(trial: Trial) -> tuple[Any, ...]:
    """What changes with a trial; its reports are compared as objects, which are made anew when they change."""
    if len(trial.runs) == 1:
        run = trial.runs[0]
        return (run.status, run.values, run.reports, len(run.reports))
    return tuple(part for run in trial.runs for part in (run.status, run.values, run.reports, len(run.reports)))


def _differ(new: tuple[Any, ...], old: tuple[Any, ...]) -> bool:
    return any(a is not b and (isinstance(a, dict) or a != b) for a, b in zip(new, old, strict=True))


def _seen(number: int, record: _Record, point: Point, level: int | None) -> Seen:
    if record.status == "failed" or (record.status == "finished" and record.final is None):
        return Seen(number, point, "failed")
    if level is None and record.final is not None:
        return Seen(number, point, "known", record.final)
    last = max(record.epochs, default=0)
    if level is not None and last >= level:
        at = max((epoch for epoch in record.epochs if epoch <= level), default=last)
        losses = record.epochs[at]
        return Seen(number, point, "failed") if losses is None else Seen(number, point, "known", losses, at)
    if record.status in ("paused", "stopped") and record.epochs:
        losses = record.epochs[last]
        return Seen(number, point, "failed") if losses is None else Seen(number, point, "short", losses, last)
    return Seen(number, point, "failed" if record.status == "stopped" else "running")


def best_and_newest(seen: Sequence[Seen], most: int = MOST_SEEN) -> list[Seen]:
    """At most so many: the best quarter of that number by each loss, and the newest others; in the order of numbers."""
    if len(seen) <= most:
        return list(seen)
    num_aims = len(seen[0].losses or ())
    share = int(most * _BEST_SHARE) // max(num_aims, 1)
    kept: dict[int, Seen] = {}
    for place in range(num_aims):
        kept.update({one.number: one for one in nsmallest(share, seen, key=_ranked_by(place))})
    for one in reversed(seen):
        if len(kept) >= most:
            break
        kept.setdefault(one.number, one)
    return [kept[number] for number in sorted(kept)]


def _ranked_by(place: int) -> Callable[[Seen], tuple[float, int]]:
    return lambda one: ((one.losses or ())[place], one.number)


def first_loss(seen: Seen) -> tuple[float, int]:
    """To sort by: the first loss, of equal ones the earlier."""
    return ((seen.losses or (float("inf"),))[0], seen.number)
