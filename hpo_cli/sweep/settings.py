"""The keys `sweep.*`, decided: how a sweep searches, for how long, and what it does about failures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SearchName = Literal["grid", "random", "qmc", "tpe", "gp", "cmaes", "sensitivity", "zoom"]
SchedulerName = Literal["none", "median", "plateau", "asha", "hyperband", "pbt"]


@dataclass(frozen=True)
class SweepSettings:
    """See conf/sweep/default.yaml, which says what each key means and holds the defaults."""

    option: str
    search: SearchName
    scheduler: SchedulerName
    trials: int | None
    minutes: float | None
    epochs: int | None
    target: float | None
    workers: int | None
    seeds: int
    seed: int
    space: tuple[str, ...] | None
    zip: tuple[tuple[str, ...], ...]
    reduce: Literal["best", "last"]
    mode: Literal["min", "max"] | None
    timeout_minutes: float | None
    retries: int
    on_failure: Literal["continue", "stop"]
    duplicates: Literal["skip", "allow"]
    storage: str | None
    keep_best: int
    disk_gb: float | None
    worker: Literal["warm", "fork"]
    dir: str | None
    resume: str | None
    startup: int
    eta: int
    min_epochs: int
    brackets: int | None
    grace: int
    population: int
    interval: int
    quantile: float
    factors: tuple[float, ...]
    resample: float
    points: int
    zoom: float
