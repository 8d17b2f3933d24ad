"""What a sweep would train, before it does: its trials or some of them, and what they would cost."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo_cli.errors import UserError
from hpo_cli.record import ledger
from hpo_cli.record.contents import count, mapping
from hpo_cli.sweep.asked import Asked
from hpo_cli.sweep.eta import asha_epochs
from hpo_cli.sweep.executors.contract import Executor, Job
from hpo_cli.sweep.proposing import Made, next_proposal
from hpo_cli.sweep.schedulers.hyperband import hyperband_table
from hpo_cli.sweep.search.contract import Search
from hpo_cli.sweep.settings import SweepSettings
from hpo_cli.sweep.space import Setting
from hpo_cli.sweep.state import Run, Trial

SAMPLES, LISTED = 8, 100
"""Trials that are shown of a search without end, and of a list."""
KNOWN_BEFOREHAND = ("grid", "sensitivity", "random", "qmc")
"""Searches that propose the same whatever the trials reach."""
IN_ORDER = ("none", "median", "plateau")
"""Schedulers under which trials begin one after another."""
_FEW = 4
"""Steps of the first run, which tells how large all is and lets a worker import what it needs."""
_MOST_S = 3.0
"""How long the timed runs may take, about."""
_LONGEST_S = 600.0


@dataclass(frozen=True)
class Preview:
    """What a sweep would train. is_exact: whether its trials begin like this, or these are samples.

    settings: of the trials.   refused: settings that the plan refuses, each with the reason.   total: trials in all,
    None where nobody says how many.
    """

    settings: tuple[Setting, ...]
    refused: tuple[tuple[Setting, str], ...]
    is_exact: bool
    total: int | None


def preview_of(asked: Asked, search: Search, make: Callable[[Mapping[str, Any]], Made]) -> Preview:
    """The first trials of a sweep, or all of a list."""
    settings = asked.settings
    total = settings.trials or search.size
    most = min(SAMPLES if search.size is None else LISTED, total or SAMPLES)
    trials: list[Trial] = []
    refused: dict[str, tuple[Setting, str]] = {}
    known: set[str] = set()
    skips = settings.duplicates == "skip"
    while len(trials) < most:
        found = next_proposal(search, trials, make, inner=asked.inner, known=lambda name: skips and name in known)
        refused.update({str(setting): (setting, why) for setting, why in found.refused})
        if found.setting is None or found.made is None:
            total = len(trials)
            break
        known.add(found.made.plan.plan_id)
        trials.append(Trial(len(trials) + 1, found.setting, found.made.plan.plan_id, [Run(0, "")]))
    is_exact = settings.search in KNOWN_BEFOREHAND and settings.scheduler in IN_ORDER
    return Preview(tuple(trial.setting for trial in trials), tuple(refused.values()), is_exact, total)


def epochs_of(settings: SweepSettings, epochs: int) -> float | None:
    """Epochs that one run trains on average, by the scheduler's own table; None where its trials decide that.

    epochs: of a run that trains to its end.
    """
    match settings.scheduler:
        case "none" | "pbt":
            return float(epochs)
        case "asha":
            return asha_epochs(settings.min_epochs, settings.eta, epochs)
        case "hyperband":
            table = hyperband_table(epochs, min_epochs=settings.min_epochs, eta=settings.eta)[: settings.brackets]
            trained = [
                level.trials * (level.epochs - before)
                for bracket in table
                for level, before in zip(bracket, [0, *(level.epochs for level in bracket)], strict=False)
            ]
            return sum(trained) / sum(bracket[0].trials for bracket in table)
        case _:
            return None


@dataclass(frozen=True)
class Cost:
    """What one run costs in a warm worker. epoch_s: an epoch with its validation; start_s: all else, once a run."""

    epoch_s: float
    start_s: float
    epochs: float

    @property
    def run_s(self) -> float:
        """Seconds of a run that trains to its end."""
        return self.start_s + self.epochs * self.epoch_s


def timed(asked: Asked, executor: Executor) -> Cost:
    """Time the first setting, in a folder that is removed again. Raises UserError where it does not train.

    Two runs of whole epochs, whose difference is what epochs take; of an epoch that is long, two of a few steps.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        data = _samples(asked, executor, folder)
        steps = _steps(asked, data.train)
        goal = min(float(asked.plan.epochs), (asked.plan.trainer.max_steps or math.inf) / steps)
        began, first = time.monotonic(), min(_FEW, steps)
        few = _seconds(asked, executor, folder / "few", steps=first)
        more = min(steps - first, 15 * _FEW, int(_MOST_S * first / few))
        many = _seconds(asked, executor, folder / "many", steps=first + more) if more > 0 else 0.0
        step_s = (many - few) / more if many > few else few / first
        if time.monotonic() - began + 3 * steps * step_s > 2 * _MOST_S:
            return Cost(steps * step_s * data.with_validation, max(0.0, few - first * step_s), goal)
        one = _seconds(asked, executor, folder / "one", epochs=1)
        if goal < 2:  # noqa: PLR2004 - nothing to compare with
            return Cost(steps * step_s * data.with_validation, max(0.0, one - goal * steps * step_s), goal)
        several = max(2, min(int(goal), 1 + int(_MOST_S / max(one, 0.1))))
        most = _seconds(asked, executor, folder / "several", epochs=several)
        epoch_s = max(most - one, 0.0) / (several - 1) or one
        return Cost(epoch_s, max(0.0, one - epoch_s), goal)


def _steps(asked: Asked, size: int) -> int:
    """Steps of an epoch."""
    plan = asked.plan
    return max(1, math.ceil(size / (plan.batch_size * plan.batch.accumulate)))


@dataclass(frozen=True)
class _Samples:
    train: int
    val: int

    @property
    def with_validation(self) -> float:
        """An epoch by its training alone: validation goes forward, which is a third of a step."""
        return 1 + self.val / (3 * max(1, self.train))


def _samples(asked: Asked, executor: Executor, folder: Path) -> _Samples:
    """The sizes of the splits; the worker is warm then."""
    _seconds(asked, executor, folder / "first", steps=_FEW)
    data = mapping(ledger.fold(ledger.read_ledger(folder / "first").events).data)
    return _Samples(count(data.get("train")) or 0, count(data.get("val")) or 0)


def _seconds(
    asked: Asked, executor: Executor, folder: Path, *, steps: int | None = None, epochs: int | None = None
) -> float:
    """Seconds of a run of so many steps, or epochs, from its order to its end."""
    plan = asked.plan.to_dict()
    limits = [limit for limit in (steps, plan["trainer"].get("max_steps")) if limit is not None]
    plan["trainer"] = {**plan["trainer"], "max_steps": min(limits, default=None)}
    begin = {"command": ["hpo-run"], "overrides": [], "hydra_files": {}}
    config_dir = None if asked.config_dir is None else str(asked.config_dir)
    began = time.monotonic()
    executor.start(
        Job(
            trial=1, run=0, folder=folder, plan=plan, begin=begin, until=epochs, timeout_s=_LONGEST_S,
            config_dir=config_dir,
        )
    )  # fmt: skip
    ended = list(executor.wait(_LONGEST_S))
    while not ended:
        ended = list(executor.wait(_LONGEST_S))
    if ended[0].status not in ("finished", "stopped"):
        raise UserError(f"the first setting does not train: {ended[0].reason}")
    return time.monotonic() - began
