"""What ran out of memory is not tried again with as large a batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from hpo_cli.errors import ConfigError
from hpo_cli.sweep.space import Dimension, Setting, Space
from hpo_cli.sweep.state import Run, Trial

BATCH = "batch_size"


def banned(trials: Sequence[Trial], setting: Setting) -> str | None:
    """Why a setting is out of the question after what happened to `trials`; None when it is not.

    A trial that failed for want of memory bans its batch size and all above it, unless a trial with as large a batch
    has trained: then it was not the batch alone. A setting that says nothing of the batch size is never banned.
    """
    return over(lowest_that_failed(trials), setting)


def over(limit: float | None, setting: Setting) -> str | None:
    """As `banned`, with the limit known."""
    size = batch_size_of(setting)
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
    return [size for trial in trials if (size := batch_size_of(trial.setting)) is not None]


def batch_size_of(setting: Setting) -> float | None:
    """The batch size of a setting, None where it says nothing of it."""
    value = setting.get(BATCH)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _parts(one: Dimension, value: Any) -> Sequence[Any]:
    return value if len(one.keys) > 1 else (value,)


class BatchSizes:
    """As `lowest_that_failed`, of endings as they come."""

    def __init__(self) -> None:
        self._failed: list[float] = []
        self._trained = 0.0

    def note(self, trial: Trial, run: Run) -> None:
        """A run of a trial has ended."""
        size = batch_size_of(trial.setting)
        if size is not None and run.status == "failed" and run.cause == "memory":
            self._failed.append(size)
        elif size is not None and run.status != "failed" and run.epoch > 0:
            self._trained = max(self._trained, size)

    @property
    def limit(self) -> float | None:
        """The smallest size that ran out of memory and that no larger or equal one survived; None: none did."""
        return min((size for size in self._failed if size > self._trained), default=None)
