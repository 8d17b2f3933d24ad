"""From a plan and its data to a live system: every component found, checked, built and put together."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import torch
from torch import nn

from hpo_cli.components.build import bound, build, resolve
from hpo_cli.components.data.arrays import DataSpec, Splits
from hpo_cli.components.data.load import load_raw
from hpo_cli.components.data.split import prepare
from hpo_cli.components.layers import last_linear
from hpo_cli.components.metrics import measure_of
from hpo_cli.engine import finetuning
from hpo_cli.engine.moving import described, momentum_of, schedule_of
from hpo_cli.engine.parameters import parameter_groups
from hpo_cli.engine.randomness import INIT, derive, seed_everywhere
from hpo_cli.engine.system import Settings, System
from hpo_cli.errors import ConfigError, Problem
from hpo_cli.plan import DataPlan, RunPlan
from hpo_cli.steer.settings import hot_keys

GIVEN: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "data": ("task",),
        "model": ("input_shape", "num_outputs", "num_tokens"),
        "init": ("model", "samples"),
        "optimizer": ("params", "lr", "weight_decay", "model"),
        "schedule": ("progress", "place"),
        "loss": ("num_outputs", "class_counts", "num_features", "columns"),
        "augment": ("input_shape", "input_mean", "input_scale"),
    }
)
"""What the run itself gives to the target of each group."""


def check_components(plan: RunPlan) -> None:
    """Find every target and bind its keys, before any data loads. Raises ConfigError naming every problem."""
    problems: list[Problem] = []
    components = (plan.data.source, plan.model, plan.init, plan.optimizer, plan.schedule, plan.loss, plan.augment)
    for component in components:
        if component.target is None:
            continue
        try:
            target = resolve(component, allow=plan.allow_targets)
            bound(component, target, dict.fromkeys(GIVEN[component.group]))
            if component.group == "schedule":
                schedule_of(component, allow=plan.allow_targets)
        except ConfigError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigError.of(problems)


def load_splits(data: DataPlan, *, allow: tuple[str, ...] = ()) -> Splits:
    """Load, split and standardise the data of a plan."""
    raw = load_raw(data, allow=allow)
    return prepare(
        raw,
        task=data.task,
        val_fraction=data.val_fraction,
        test_fraction=data.test_fraction,
        subset=data.subset,
        standardize=data.standardize,
        split_seed=data.split_seed,
        classes=data.classes,
        folds=data.folds,
        fold=data.fold,
    )


def build_system(plan: RunPlan, splits: Splits) -> System:
    """Build every component of the plan for this data; weights are drawn from the plan's seed, or loaded."""
    seed_everywhere(derive(plan.seed, INIT))
    model = build_model(plan, splits.spec)
    build(plan.init, allow=plan.allow_targets, model=model, samples=lambda: torch.from_numpy(splits.train.x))
    said = finetuning.prepare(plan, model, class_names=splits.spec.class_names)
    system = _assembled(plan, splits.spec, model)
    system.started_from = said
    return system


def blank_system(plan: RunPlan, spec: DataSpec) -> System:
    """The system for weights that are about to be loaded: nothing is initialised, no other checkpoint is read."""
    return _assembled(plan, spec, _blank_model(plan, spec))


def resumable_system(plan: RunPlan, spec: DataSpec) -> System:
    """The system for a state of this plan that is about to be restored, to train on from there.

    Its layers are frozen and its parameters grouped as `build_system` does it, and nothing else is done: no weight is
    initialised, no data looked at, no other checkpoint read.
    """
    model = _blank_model(plan, spec)
    finetuning.freeze(model, plan.finetune.freeze)
    return _assembled(plan, spec, model)


def _blank_model(plan: RunPlan, spec: DataSpec) -> nn.Module:
    args = {key: value for key, value in plan.model.args.items() if key != "pretrained"}
    return build_model(replace(plan, model=replace(plan.model, args=args)), spec)


def build_model(plan: RunPlan, spec: DataSpec) -> nn.Module:
    """The plan's network with the weights that its layers draw themselves."""
    target = resolve(plan.model, allow=plan.allow_targets)
    if spec.num_tokens is not None and "num_tokens" not in inspect.signature(target).parameters:
        rule = f"takes numbers, and data={plan.data.source.option} is made of tokens"
        raise ConfigError("model", plan.model.option, rule=rule, fix="set model=lstm, gru or transformer")
    model = build(
        plan.model,
        allow=plan.allow_targets,
        input_shape=spec.input_shape,
        num_outputs=num_outputs(plan, spec),
        num_tokens=spec.num_tokens,
    )
    if not isinstance(model, nn.Module) or not any(True for _ in model.parameters()):
        rule = f"gave {type(model).__name__}, which has nothing to train"
        raise ConfigError("model", plan.model.option, rule=rule, fix="return a torch.nn.Module with parameters")
    return model


def _assembled(plan: RunPlan, spec: DataSpec, model: nn.Module) -> System:
    criterion = _criterion(plan, spec, model)
    optimizer = build(
        plan.optimizer,
        allow=plan.allow_targets,
        params=parameter_groups(plan, model, criterion),
        lr=plan.lr,
        weight_decay=plan.regularization.weight_decay,
        model=model,
    )
    schedule = schedule_of(plan.schedule, allow=plan.allow_targets)
    system = System(
        model=model,
        criterion=criterion,
        optimizer=optimizer,
        schedule=schedule,
        settings=_settings(plan, momentum=momentum_of(optimizer) if schedule.moves_momentum else None),
        spec=spec,
        measure=measure_of(plan.head, spec),
        num_outputs=num_outputs(plan, spec),
        augment=_augment(plan, spec),
        frozen_norms=finetuning.frozen_norms(plan, model),
        schedule_keys=described(plan.schedule),
        allow_targets=plan.allow_targets,
        expressible=_expressible(plan),
        carriers={name: module for name, module in model.named_modules() if getattr(module, "carries", False)},
    )
    if getattr(criterion, "needs_features", False):
        system.keep_features()
    return system


def _expressible(plan: RunPlan) -> frozenset[str]:
    """The knobs that the plan has a word for; what an architecture or a loss has fixed for itself is none."""
    homes = {"dropout": plan.model, "stochastic_depth": plan.model, "label_smoothing": plan.loss}
    fixed = {f"regularization.{name}" for name, component in homes.items() if name not in component.args}
    return frozenset(hot_keys(plan.config)) - fixed


def _criterion(plan: RunPlan, spec: DataSpec, model: nn.Module) -> nn.Module:
    counts = spec.class_counts.get("train")
    head = last_linear(model)
    criterion: nn.Module = build(
        plan.loss,
        allow=plan.allow_targets,
        num_outputs=num_outputs(plan, spec),
        class_counts=tuple(counts.values()) if counts else None,
        num_features=head.in_features if head is not None else None,
        columns=spec.columns,
    )
    return criterion


def _augment(plan: RunPlan, spec: DataSpec) -> nn.Module | None:
    if plan.augment.target is None:
        return None
    augment: nn.Module = build(
        plan.augment,
        allow=plan.allow_targets,
        input_shape=spec.input_shape,
        input_mean=spec.input_mean,
        input_scale=spec.input_scale,
    )
    return augment


def num_outputs(plan: RunPlan, spec: DataSpec) -> int:
    """Outputs that the loss wants: one a class, a single logit for two classes, or one a target column."""
    if plan.head == "several":
        return sum(len(column.class_names or ()) or 1 for column in spec.columns or ())
    if plan.head == "targets":
        return spec.num_targets
    num_classes = len(spec.class_names or ())
    if plan.head == "classes":
        return num_classes
    if num_classes != 2:  # noqa: PLR2004 - one logit tells two classes apart
        fix = "set loss=cross_entropy"
        raise ConfigError("loss", plan.loss.option, rule=f"is for two classes, the data has {num_classes}", fix=fix)
    return 1


def _settings(plan: RunPlan, *, momentum: float | None) -> Settings:
    reg, batch = plan.regularization, plan.batch
    return Settings(
        lr=plan.lr,
        lr_decay=plan.lr_decay,
        batch_size=plan.batch_size,
        epochs=plan.epochs,
        accumulate=batch.accumulate,
        scale_lr=batch.scale_lr,
        base_size=batch.base_size,
        max_steps=plan.trainer.max_steps,
        warmup_steps=plan.warmup_steps,
        l1=reg.l1,
        l2=reg.l2,
        mixup=reg.mixup,
        cutmix=reg.cutmix,
        ema=reg.ema,
        clip_norm=reg.clip_norm,
        clip_value=reg.clip_value,
        early_stopping=reg.early_stopping,
        momentum=momentum,
    )
