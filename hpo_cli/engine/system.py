"""The live training system: model, loss, optimizer, schedule and the settings that may change between two steps."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import nn

from hpo_cli.components.build import bound, build, resolve
from hpo_cli.components.data.arrays import DataSpec, RawData, Splits
from hpo_cli.components.data.split import prepare
from hpo_cli.engine.randomness import INIT, derive, seed_everywhere
from hpo_cli.errors import ConfigError, Problem
from hpo_cli.plan import Component, DataPlan, Head, RunPlan

Schedule = Callable[[float], float]


@dataclass
class Settings:
    """Numbers that the loop reads at every step; the hot knobs that live in no other object."""

    lr: float
    batch_size: int
    epochs: int
    accumulate: int
    warmup_steps: int
    l1: float
    l2: float
    clip_norm: float | None
    clip_value: float | None


@dataclass
class System:
    """Everything that a step touches."""

    model: nn.Module
    criterion: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    settings: Settings
    spec: DataSpec
    head: Head
    num_outputs: int


GIVEN: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "data": ("task",),
        "model": ("input_shape", "num_outputs"),
        "init": ("model",),
        "optimizer": ("params", "lr", "weight_decay"),
        "schedule": ("progress",),
        "loss": (),
    }
)
"""What the run itself gives to the target of each group."""


def check_components(plan: RunPlan) -> None:
    """Find every target and bind its keys, before any data loads. Raises ConfigError naming every problem."""
    problems: list[Problem] = []
    for component in (plan.data.source, plan.model, plan.init, plan.optimizer, plan.schedule, plan.loss):
        try:
            target = resolve(component, allow=plan.allow_targets)
            bound(component, target, dict.fromkeys(GIVEN[component.group]))
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError.of(problems)


def load_splits(data: DataPlan, *, allow: tuple[str, ...] = ()) -> Splits:
    """Load, split and standardise the data of a plan."""
    raw = build(data.source, allow=allow, task=data.task)
    if not isinstance(raw, RawData):
        rule = f"gave {type(raw).__name__}, not RawData"
        raise ConfigError("data", data.source.option, rule=rule, fix="see docs/your-own.md")
    found = "regression" if raw.y.dtype.kind == "f" else "classification"
    if found != data.task:
        rule = f"data={data.source.option} has {'numbers' if found == 'regression' else 'classes'} to predict"
        raise ConfigError("data.task", data.task, rule=rule, fix=f"set data.task={found}")
    return prepare(
        raw,
        task=data.task,
        val_fraction=data.val_fraction,
        test_fraction=data.test_fraction,
        subset=data.subset,
        standardize=data.standardize,
        split_seed=data.split_seed,
    )


def build_system(plan: RunPlan, spec: DataSpec) -> System:
    """Build every component of the plan for data of this shape; weights are drawn from the plan's seed."""
    seed_everywhere(derive(plan.seed, INIT))
    model = build_model(plan, spec)
    criterion = build(plan.loss, allow=plan.allow_targets)
    optimizer = build(
        plan.optimizer,
        allow=plan.allow_targets,
        params=[parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=plan.lr,
        weight_decay=plan.regularization.weight_decay,
    )
    return System(
        model, criterion, optimizer, build_schedule(plan), _settings(plan), spec, plan.head, num_outputs(plan, spec)
    )


def build_model(plan: RunPlan, spec: DataSpec) -> nn.Module:
    """The plan's network with its initial weights."""
    model = build(
        plan.model, allow=plan.allow_targets, input_shape=spec.input_shape, num_outputs=num_outputs(plan, spec)
    )
    if not isinstance(model, nn.Module) or not any(True for _ in model.parameters()):
        rule = f"gave {type(model).__name__}, which has nothing to train"
        raise ConfigError("model", plan.model.option, rule=rule, fix="return a torch.nn.Module with parameters")
    build(plan.init, allow=plan.allow_targets, model=model)
    return model


def build_schedule(plan: RunPlan) -> Schedule:
    """The plan's schedule as a function of progress alone."""
    return bind_schedule(plan.schedule, allow=plan.allow_targets)


def bind_schedule(component: Component, *, allow: tuple[str, ...] = ()) -> Schedule:
    """A schedule option with its keys bound."""
    function = resolve(component, allow=allow)
    schedule: Schedule = functools.partial(function, **bound(component, function, {}))
    return schedule


def num_outputs(plan: RunPlan, spec: DataSpec) -> int:
    """Outputs that the loss wants: one a class, a single logit for two classes, or one a target column."""
    if plan.head == "targets":
        return spec.num_targets
    num_classes = len(spec.class_names or ())
    if plan.head == "classes":
        return num_classes
    if num_classes != 2:  # noqa: PLR2004 - one logit tells two classes apart
        fix = "set loss=cross_entropy"
        raise ConfigError("loss", plan.loss.option, rule=f"is for two classes, the data has {num_classes}", fix=fix)
    return 1


def _settings(plan: RunPlan) -> Settings:
    reg = plan.regularization
    return Settings(
        lr=plan.lr,
        batch_size=plan.batch_size,
        epochs=plan.epochs,
        accumulate=plan.batch.accumulate,
        warmup_steps=plan.warmup_steps,
        l1=reg.l1,
        l2=reg.l2,
        clip_norm=reg.clip_norm,
        clip_value=reg.clip_value,
    )
