"""How much a sweep may still do, and which checkpoints it can give up."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from hpo_cli.record.folder import CHECKPOINTS
from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.state import Trial


def why_no_new(state: SweepState) -> str:
    """Why no further trial begins, empty while one may. Those that wait at a rung may still be promoted."""
    trials = state.settings.trials
    return f"all {trials} trials are there" if trials is not None and len(state.trials) >= trials else ""


def why_over(state: SweepState, *, seconds: float) -> str:
    """Why nothing further begins or goes on, empty while it may. seconds: how long the sweep was driven in all."""
    settings = state.settings
    if settings.on_failure == "stop" and state.num_failed:
        return "a trial failed (sweep.on_failure=stop)"
    if settings.target is not None and reached(state, settings.target):
        return f"sweep.target={settings.target:g} is reached"
    if settings.minutes is not None and seconds >= 60 * settings.minutes:
        return f"sweep.minutes={settings.minutes:g} are over"
    if settings.epochs is not None and state.trained_epochs >= settings.epochs:
        return f"sweep.epochs={settings.epochs} are trained"
    return ""


def reached(state: SweepState, target: float) -> bool:
    """Whether a trial has the first objective at `target` or better."""
    best = state.best()
    if best is None or best.value is None:
        return False
    return is_reached(best.value, target, mode=state.aims[0].mode)


def is_reached(value: float | None, target: float, *, mode: str) -> bool:
    """Whether a value is at the target or better."""
    if value is None:
        return False
    return value >= target if mode == "max" else value <= target


def to_clean(state: SweepState, *, disk: int, waiting: Literal["may go on", "are over"] = "may go on") -> list[Trial]:
    """Trials that give their checkpoints up: of those that will not train again all but the best ones.

    disk: bytes that all checkpoints take now; above the budget the worst give theirs up first, also of the best,
    but never the best one's.   waiting: whether trials that wait at a rung may be promoted. They keep theirs then,
    unless the budget is spent: one that gave its up is trained again from the start when it is promoted, to the same
    bits.
    """
    sign = 1.0 if state.aims[0].mode == "max" else -1.0
    over, waits = list(state.over.values()), []
    if waiting == "are over" or state.settings.disk_gb is not None:
        waits = [one for one in state.trials if one.status == "paused" and one.number not in state.cleaned]
    over += waits if waiting == "are over" else []
    ranked = heapq.nlargest(len(over), over, key=lambda trial: _worth(trial, sign))
    keep = ranked[: state.settings.keep_best]
    budget = None if state.settings.disk_gb is None else int(state.settings.disk_gb * 1e9)
    gone = ranked[state.settings.keep_best :]
    if budget is None:
        return gone
    disk -= sum(checkpoint_bytes(state, trial) for trial in gone)
    while disk > budget and len(keep) > 1:
        worst = keep.pop()
        disk -= checkpoint_bytes(state, worst)
        gone.append(worst)
    if waiting == "may go on":
        others = [trial for trial in waits if trial is not state.best()]
        for trial in sorted(others, key=lambda trial: _worth(trial, sign)):
            if disk <= budget:
                break
            disk -= checkpoint_bytes(state, trial)
            gone.append(trial)
    return gone


def _worth(trial: Trial, sign: float) -> float:
    return float("-inf") if trial.value is None else sign * trial.value


def checkpoint_bytes(state: SweepState, trial: Trial) -> int:
    """What the checkpoints of a trial's runs take on disk."""
    return sum(_size(place) for place in checkpoint_files(state, trial))


def checkpoint_files(state: SweepState, trial: Trial) -> Iterable[Path]:
    """The checkpoint files of a trial's runs."""
    for index in range(len(trial.runs)):
        folder = state.run_folder(trial, index) / CHECKPOINTS
        yield from (path for path in folder.rglob("*") if path.is_file())


def clean(state: SweepState, trial: Trial) -> None:
    """Remove the checkpoints of a trial; its curves, its ledger and its results stay."""
    for path in list(checkpoint_files(state, trial)):
        path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - many files
    except OSError:
        return 0
