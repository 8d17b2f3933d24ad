"""What a sweep would train, before it does: its trials or some of them, and what they would cost."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo_cli.errors import ConfigError, UserError
from hpo_cli.record import ledger
from hpo_cli.record.contents import count, mapping, read_result
from hpo_cli.record.metrics import number
from hpo_cli.sweep.asked import Asked
from hpo_cli.sweep.drive import Made
from hpo_cli.sweep.executors.contract import Executor, Job
from hpo_cli.sweep.search.contract import Search
from hpo_cli.sweep.space import Setting
from hpo_cli.sweep.state import Run, Trial

SAMPLES = 8
"""Trials that are shown of a search without end."""
_FEW, _MANY = 4, 64
"""Steps of the two runs whose difference is the time of a step."""
_SLOW_S = 2.0
"""A few steps that take longer than this are enough to tell."""
_LONGEST_S = 600.0


@dataclass(frozen=True)
class Preview:
    """What a sweep would train. is_whole: whether these are all trials, or samples of what a search begins with.

    settings: of the trials.   refused: settings that the plan refuses, each with the reason.
    """

    settings: tuple[Setting, ...]
    refused: tuple[tuple[Setting, str], ...]
    is_whole: bool


def preview_of(asked: Asked, search: Search, make: Callable[[Mapping[str, Any]], Made]) -> Preview:
    """The first trials of a sweep, all of them where they do not depend on what the others reach."""
    is_whole = search.size is not None
    total = asked.settings.trials
    most = min(total or SAMPLES, search.size or SAMPLES) if is_whole else min(SAMPLES, total or SAMPLES)
    trials: list[Trial] = []
    refused: dict[str, tuple[Setting, str]] = {}
    known: set[str] = set()
    while len(trials) < most:
        made = None
        for attempt in range(max(100, search.size or 0)):
            setting = search.propose(trials, len(trials) + 1, attempt=attempt)
            if setting is None:
                break
            try:
                made = make({**setting, **asked.inner[0]})
            except ConfigError as error:
                refused[str(setting)] = (setting, str(error))
                continue
            if made.plan.plan_id not in known or asked.settings.duplicates == "allow":
                break
            made = None
        if made is None or setting is None:
            break
        known.add(made.plan.plan_id)
        trials.append(Trial(len(trials) + 1, setting, made.plan.plan_id, [Run(0, "")]))
    return Preview(tuple(trial.setting for trial in trials), tuple(refused.values()), is_whole)


@dataclass(frozen=True)
class Cost:
    """What one run costs, by a few timed steps. trial_s: seconds of a trial with all its runs."""

    step_s: float
    steps: int
    trial_s: float


def timed(asked: Asked, executor: Executor) -> Cost:
    """Time a step of the first setting, in a folder that is removed again. Raises UserError where it does not train."""
    with tempfile.TemporaryDirectory() as place:
        few, size = _seconds(asked, executor, Path(place) / "few", _FEW)
        step_s, start_s = few / _FEW, 0.0
        if few < _SLOW_S:
            many, _ = _seconds(asked, executor, Path(place) / "many", _MANY)
            step_s = max(0.0, many - few) / (_MANY - _FEW)
            start_s = max(0.0, few - _FEW * step_s)
    plan = asked.plan
    steps = plan.epochs * math.ceil(size / (plan.batch_size * plan.batch.accumulate))
    if plan.trainer.max_steps is not None:
        steps = min(steps, plan.trainer.max_steps)
    return Cost(step_s, steps, (start_s + steps * step_s) * len(asked.inner))


def _seconds(asked: Asked, executor: Executor, folder: Path, steps: int) -> tuple[float, int]:
    """Seconds of a run of so many steps, and the samples of its training split."""
    plan = asked.plan.to_dict()
    limit = plan["trainer"].get("max_steps")
    plan["trainer"] = {**plan["trainer"], "max_steps": steps if limit is None else min(steps, limit)}
    begin = {"command": ["hpo-run"], "overrides": [], "hydra_files": {}}
    executor.start(Job(trial=1, run=0, folder=folder, plan=plan, begin=begin, timeout_s=_LONGEST_S))
    ended = list(executor.wait(_LONGEST_S))
    while not ended:
        ended = list(executor.wait(_LONGEST_S))
    if ended[0].status != "finished":
        raise UserError(f"the first setting does not train: {ended[0].reason}")
    data = mapping(ledger.fold(ledger.read_ledger(folder).events).data)
    seconds = number(mapping(read_result(str(folder))).get("seconds")) or 0.0
    return seconds, count(data.get("train")) or 0
