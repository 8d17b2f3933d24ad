"""Whether a run can go on by a revised plan: what is asked of it now, or planned for a later share of training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from hpo_cli.components.data.arrays import Splits
from hpo_cli.engine.fit_problems import (
    batch_norm_problems,
    dropout_problems,
    feature_problems,
    length_problems,
    mixing_problems,
)
from hpo_cli.engine.knobs import knobs_of
from hpo_cli.engine.moving import described, schedule_of
from hpo_cli.engine.progress import Horizon, Position
from hpo_cli.engine.system import Settings, System
from hpo_cli.errors import ConfigError, Problem
from hpo_cli.plan import RunPlan, make_plan
from hpo_cli.steer.hot import knob_of
from hpo_cli.steer.planned import changed, moved
from hpo_cli.steer.settings import Setting


def horizon(
    settings: Settings, num_samples: int, *, max_steps: int | None, position: Position | None = None
) -> Horizon:
    """How far training goes: updates an epoch = ceil(ceil(samples / batch_size) / accumulate).

    position: where it stands; steps already taken count as they were, whatever the batch size was then.
    """
    done = position or Position()
    steps, rest = (
        math.ceil(math.ceil(samples / settings.batch_size) / settings.accumulate)
        for samples in (num_samples, num_samples - done.sample)
    )
    total = done.step + rest + steps * (settings.epochs - done.epoch - 1)
    return Horizon(total if max_steps is None else min(total, max_steps), steps, settings.epochs, num_samples)


def check_change(plan: RunPlan, system: System, *, splits: Splits, position: Position, run: str = "") -> None:
    """Raise ConfigError, naming every problem, when a run cannot go on from `position` by a revised plan.

    plan: the run's own with other values of hot knobs, checked already (`hpo_cli.validate`). The system is as it was
    before the change, and stays so.   run: its name where it trains now, for those who would rather end it.
    """
    num_samples, now = len(splits.train.x), _settings_of(plan, system.settings)
    until = horizon(now, num_samples, max_steps=now.max_steps, position=position)
    problems = [
        *_end_problems(plan, position, horizon(now, num_samples, max_steps=None, position=position), run=run),
        *length_problems(plan, until),
        *batch_norm_problems(plan, system, *stretches(num_samples, position, epochs=now.epochs)),
        *dropout_problems(plan, system),
        *mixing_problems(plan, system),
        *feature_problems(plan, system),
        *_schedule_problems(plan, system, until, position),
    ]
    if problems:
        raise ConfigError.of(problems)


def _settings_of(plan: RunPlan, settings: Settings) -> Settings:
    """With what a revised plan says of the length of training."""
    return replace(
        settings,
        batch_size=plan.batch_size,
        accumulate=plan.batch.accumulate,
        epochs=plan.epochs,
        max_steps=plan.trainer.max_steps,
        warmup_steps=plan.warmup_steps,
    )


def stretches(num_samples: int, position: Position, *, epochs: int) -> list[int]:
    """How many samples are cut into batches at a time: what is left of this epoch, and all of a later one."""
    left = num_samples - position.sample
    return list(dict.fromkeys([left, num_samples] if position.epoch + 1 < epochs else [left]))


def _end_problems(plan: RunPlan, position: Position, by_epochs: Horizon, *, run: str) -> Iterator[Problem]:
    """A run that would have ended already."""
    rule = f"leaves nothing to train at step {position.step}, after {_epochs(position)}"
    fix = f"raise it, or end the run: hpo-run stop {run}" if run else "raise it"
    if by_epochs.total_steps <= position.step:
        yield Problem("epochs", rule, fix, plan.epochs)
    if plan.trainer.max_steps is not None and plan.trainer.max_steps <= position.step:
        yield Problem("trainer.max_steps", rule, fix, plan.trainer.max_steps)


def _epochs(position: Position) -> str:
    whole = f"{position.epoch} epoch{'s' * (position.epoch != 1)}"
    return f"{whole} and a part of the next" if position.sample else whole


def _schedule_problems(plan: RunPlan, system: System, until: Horizon, position: Position) -> Iterator[Problem]:
    """A schedule that cannot be built, or that does not reach the end of training."""
    try:
        same = described(plan.schedule) == system.schedule_keys
        schedule = system.schedule if same else schedule_of(plan.schedule, allow=plan.allow_targets)
        schedule.factors(
            position.step,
            total_steps=max(until.total_steps, position.step + 1),
            warmup_steps=plan.warmup_steps,
            steps_per_epoch=until.steps_per_epoch,
        )
    except ConfigError as error:
        yield from error.problems


def planned_nudge_problems(plan: RunPlan, system: System, splits: Splits) -> Iterator[Problem]:
    """Planned nudges that this run could not take when their time comes, each on top of the one before."""
    setting, knobs = Setting(dict(plan.config), dict(plan.choices)), knobs_of(system)
    for index, nudge in enumerate(plan.nudges):
        place = f"schedule.nudges[{index}]"
        setting = changed(setting, nudge.changes, place=place)
        if missing := [key for key in nudge.changes if knob_of(key) not in knobs]:
            rule = "this run has no place for it, so it would change nothing"
            yield from (Problem(f"{place}.{key}", rule, "leave it out") for key in missing)
            continue
        try:
            check_change(make_plan(setting.config, choices=setting.choices), system, splits=splits, position=Position())
        except ConfigError as error:
            yield from moved(error.problems, place)
