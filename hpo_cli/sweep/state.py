"""Where a sweep stands: what replaying its log gives."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from hpo_cli.sweep.space import Setting

Event = dict[str, Any]
Values = tuple[float | None, ...]
"""One value an objective; None where it was missing or not finite."""
TrialStatus = Literal["waiting", "running", "paused", "finished", "stopped", "failed"]
RunStatus = Literal["waiting", "running", "paused", "finished", "stopped", "failed"]


@dataclass
class Run:
    """One training run of a trial; with several seeds or folds a trial has several.

    folder: its name in the sweep's folder.   reports: epoch -> values as they were then, best or last as the sweep
    reduces, by its last ending.   live: the same, and what it has told since.   values: those of its end.
    attempts: how often it was started.   lost: how often the machine failed it.   reason, cause: of its last ending.
    """

    index: int
    folder: str
    status: RunStatus = "waiting"
    epoch: int = 0
    reports: dict[int, Values] = field(default_factory=dict)
    live: dict[int, Values] = field(default_factory=dict)
    values: Values | None = None
    seconds: float = 0.0
    attempts: int = 0
    lost: int = 0
    reason: str = ""
    cause: str = ""
    started: Event | None = None


@dataclass
class Trial:
    """One setting. until: the epoch that was last ordered for it, None for its end.

    notes: the scheduler's.   why: why it was stopped, or failed.   adopt: the state that it is to take over next.
    num_adopted: how often it took one over; its setting is what it began with, then.
    """

    number: int
    setting: Setting
    plan_id: str
    runs: list[Run]
    notes: Mapping[str, Any] = field(default_factory=dict)
    until: int | None = None
    why: str = ""
    stopping: bool = False
    adopt: Event | None = None
    num_adopted: int = 0
    proposed: Event | None = None

    @property
    def status(self) -> TrialStatus:
        """One word for all its runs: the first that fits of failed, running, waiting, stopped, paused, finished."""
        found = {run.status for run in self.runs}
        order: tuple[TrialStatus, ...] = ("failed", "running", "waiting", "stopped", "paused", "finished")
        return next(status for status in order if status in found)

    @property
    def epoch(self) -> int:
        """How many epochs all of its runs have done."""
        return min(run.epoch for run in self.runs)

    @property
    def reports(self) -> dict[int, Values]:
        """Epoch -> values, the mean over its runs, of the epochs that all of them had reported when they last ended.

        The same for whoever reads the log: what a search learns from.
        """
        return mean_reports([run.reports for run in self.runs])

    @property
    def live(self) -> dict[int, Values]:
        """As `reports`, with what running runs have told since, to the process that drives them."""
        return mean_reports([run.live for run in self.runs])

    @property
    def values(self) -> Values | None:
        """What the trial reached: the mean over its runs, once all of them have ended or wait."""
        found = [run.values for run in self.runs if run.values is not None]
        return mean_values(found) if found and len(found) == len(self.runs) else None

    @property
    def value(self) -> float | None:
        """The first of `values`."""
        values = self.values
        return values[0] if values else None

    @property
    def seconds(self) -> float:
        """Training time of all its runs."""
        return sum(run.seconds for run in self.runs)

    @property
    def is_over(self) -> bool:
        """Whether it will never train again."""
        return self.status in ("finished", "stopped", "failed")


def mean_reports(found: list[dict[int, Values]]) -> dict[int, Values]:
    """The mean at each epoch that all have; the very same object for one."""
    if len(found) == 1:
        return found[0]
    common = set.intersection(*map(set, found))
    return {epoch: mean_values([one[epoch] for one in found]) for epoch in sorted(common)}


def mean_values(found: list[Values]) -> Values:
    """The mean of each objective; None where one of the runs has none."""
    if len(found) == 1:
        return found[0]
    return tuple(
        None if any(value is None for value in column) else statistics.fmean(v for v in column if v is not None)
        for column in zip(*found, strict=True)
    )


def clean_values(found: Iterable[object]) -> Values:
    """Values from JSON: what is no finite number is None."""
    return tuple(
        float(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        else None
        for value in found
    )


def run_name(sweep: str, trial: int, index: int, num_runs: int) -> str:
    """What the folder of a trial's run is called: its sweep, its number, and which of several seeds or folds it is."""
    return f"{sweep}-{trial}" if num_runs == 1 else f"{sweep}-{trial}-{index + 1}"


def seconds_between(first: str, second: str) -> float:
    """From one time of a log to another, 0 where one of them is missing."""
    try:
        return max(0.0, (datetime.fromisoformat(second) - datetime.fromisoformat(first)).total_seconds())
    except ValueError:
        return 0.0
