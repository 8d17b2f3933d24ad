"""Trials at one epoch: a trial that was stopped early is not compared with one that trained three times as long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hpo_cli.sweep.state import Trial

_SHARE = 0.8  # of the trials, that are to be in the comparison


@dataclass(frozen=True)
class Fair:
    """epoch: where all are compared, None where nothing is known.   values: trial's number -> the first aim there.

    total: trials that have some value; those without one at `epoch` are left out.
    """

    epoch: int | None
    values: dict[int, float]
    total: int


def fair_values(trials: Sequence[Trial]) -> Fair:
    """The first aim of the trials at the latest epoch that four in five have reached, or ended before by themselves.

    Failed trials are left out; those that finished early count with what they reached.
    """
    reached = {trial.number: reports for trial in trials if (reports := _reports(trial))}
    ends = sorted(
        (float("inf") if trial.status == "finished" else max(reached[trial.number]))
        for trial in trials
        if trial.number in reached
    )
    if not ends:
        return Fair(None, {}, 0)
    last = max(max(reports) for reports in reached.values())
    epoch = int(min(last, ends[int((1 - _SHARE) * len(ends))]))
    found = {
        trial.number: value
        for trial in trials
        if trial.number in reached and (value := _at(reached[trial.number], trial, epoch)) is not None
    }
    return Fair(epoch, found, len(reached))


def _reports(trial: Trial) -> dict[int, float]:
    if trial.status == "failed":
        return {}
    return {epoch: values[0] for epoch, values in trial.reports.items() if values and values[0] is not None}


def _at(reports: dict[int, float], trial: Trial, epoch: int) -> float | None:
    if max(reports) < epoch and trial.status != "finished":
        return None
    return next((reports[at] for at in sorted(reports, reverse=True) if at <= epoch), None)
