"""What ran out of memory is not tried again with as large a batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from hpo_cli.errors import ConfigError
from hpo_cli.sweep.space import Dimension, Setting, Space
from hpo_cli.sweep.state import Trial

BATCH = "batch_size"


def banned(trials: Sequence[Trial], setting: Setting) -> str | None:
    """Why a setting is out of the question after what happened to `trials`; None when it is not.

    A trial that failed for want of memory bans its batch size and all above it, unless a trial with as large a batch
    has trained: then it was not the batch alone. A setting that says nothing of the batch size is never banned.
    """
    return over(lowest_that_failed(trials), setting)


def over(limit: float | None, setting: Setting) -> str | None:
    """As `banned`, with the limit known."""
    size = _size(setting)
    if limit is None or size is None or size < limit:
        return None
    return f"{BATCH}={size:g}: a trial with {BATCH}={limit:g} ran out of memory"


def within_memory(space: Space, limit: float) -> Space | None:
    """The space without batch sizes from `limit` on; None where that leaves nothing of it."""
    boxes: dict[str, Sequence[Any]] = {}
    for one in space.dimensions:
        if BATCH not in one.keys:
            continue
        if one.choices is None:
            boxes[one.name] = (one.ends[0], math.nextafter(limit, -math.inf))
        else:
            boxes[one.name] = [
                v for v in one.choices if over(limit, dict(zip(one.keys, _parts(one, v), strict=True))) is None
            ]
    try:
        return space.narrowed(boxes)
    except ConfigError:
        return None


class MemoryLimit:
    """`lowest_that_failed` of a sweep's trials as they come: those that are over are looked at once."""

    def __init__(self) -> None:
        self._first: Trial | None = None
        self._last: Trial | None = None
        self._open: list[Trial] = []
        self._failed: list[float] = []
        self._trained = 0.0
        self._num_seen = 0

    def of(self, trials: Sequence[Trial]) -> float | None:
        """The limit now."""
        known = self._num_seen
        if len(trials) < known or (known and (trials[0] is not self._first or trials[known - 1] is not self._last)):
            self._open, self._failed, self._trained, self._num_seen = [], [], 0.0, 0
        still_open = []
        for trial in (*self._open, *trials[self._num_seen :]):
            self._failed += _sizes([trial]) if _ran_out(trial) else []
            if trial.status != "failed" and trial.epoch > 0:
                self._trained = max([self._trained, *_sizes([trial])])
            if not trial.is_over:
                still_open.append(trial)
        self._open, self._num_seen = still_open, len(trials)
        if trials:
            self._first, self._last = trials[0], trials[-1]
        return min((size for size in self._failed if size > self._trained), default=None)


def _ran_out(trial: Trial) -> bool:
    return any(run.cause == "memory" and run.status == "failed" for run in trial.runs)


def lowest_that_failed(trials: Sequence[Trial]) -> float | None:
    """The smallest batch size that ran out of memory and that no larger or equal one survived; None: none did."""
    failed = _sizes(trial for trial in trials if _ran_out(trial))
    if not failed:
        return None
    trained = max(_sizes(trial for trial in trials if trial.status != "failed" and trial.epoch > 0), default=0.0)
    return min((size for size in failed if size > trained), default=None)


def _sizes(trials: Iterable[Trial]) -> list[float]:
    return [size for trial in trials if (size := _size(trial.setting)) is not None]


def _size(setting: Setting) -> float | None:
    value = setting.get(BATCH)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _parts(one: Dimension, value: Any) -> Sequence[Any]:
    return value if len(one.keys) > 1 else (value,)
