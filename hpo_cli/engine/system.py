"""The live training system: model, loss, optimizer, schedule and the settings that may change between two steps."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import nn

from hpo_cli.components.build import bound, build, resolve
from hpo_cli.components.data.arrays import DataSpec, Splits
from hpo_cli.components.data.load import load_raw
from hpo_cli.components.data.split import prepare
from hpo_cli.components.layers import last_linear
from hpo_cli.components.metrics import Measure, measure_of
from hpo_cli.components.schedules import Schedule, bind_schedule
from hpo_cli.engine import finetuning
from hpo_cli.engine.averaging import WeightAverage
from hpo_cli.engine.parameters import parameter_groups
from hpo_cli.engine.randomness import INIT, derive, seed_everywhere
from hpo_cli.errors import ConfigError, Problem
from hpo_cli.plan import Component, DataPlan, RunPlan


@dataclass
class Settings:
    """Numbers that the loop reads at every step; the hot knobs that live in no other object.

    momentum: what the schedule's momentum factor multiplies; None when the schedule leaves momentum alone.
    """

    lr: float
    lr_decay: float | None
    batch_size: int
    epochs: int
    accumulate: int
    scale_lr: Literal["none", "linear", "sqrt"]
    base_size: int
    warmup_steps: int
    l1: float
    l2: float
    mixup: float
    cutmix: float
    ema: float | None
    clip_norm: float | None
    clip_value: float | None
    momentum: float | None = None


@dataclass
class System:
    """Everything that a step touches."""

    model: nn.Module
    criterion: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    settings: Settings
    spec: DataSpec
    measure: Measure
    num_outputs: int
    augment: nn.Module | None = None
    frozen_norms: tuple[nn.Module, ...] = ()
    average: WeightAverage | None = None
    carriers: Mapping[str, Any] = field(default_factory=dict)
    """Modules whose hidden state goes on from one batch to the next."""
    started_from: str = ""
    """Which weights training starts from, in words; empty for fresh ones."""
    _features: list[torch.Tensor] = field(default_factory=list)

    def zeros(self, num_samples: int) -> torch.Tensor:
        """Samples of zeros (or of the first token) in the shape that the model takes."""
        dtype = torch.int64 if self.spec.num_tokens is not None else torch.get_default_dtype()
        return torch.zeros(num_samples, *self.spec.input_shape, dtype=dtype)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The criterion's mean loss of a batch, a scalar. Call it after the forward pass that gave `outputs`."""
        loss: torch.Tensor = self.criterion(outputs, targets, *self._features)
        return loss

    def keep_features(self) -> None:
        """Note the inputs of the last linear layer at each forward pass, for a criterion that looks at them."""
        layer = last_linear(self.model)
        if layer is not None:
            layer.register_forward_pre_hook(lambda _, inputs: self._features.__setitem__(slice(None), [inputs[0]]))

    def train(self) -> None:
        """Get ready for training steps."""
        self.model.train()
        self.criterion.train()
        for norm in self.frozen_norms:
            norm.eval()
        _call(self.optimizer, "train")

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Inside, the model is as it is judged: evaluation mode, averaged weights. Not to be nested."""
        was_training = self.model.training
        carried = {name: module.carried() for name, module in self.carriers.items()}
        self.model.eval()
        self.criterion.eval()
        if was_training:
            _call(self.optimizer, "eval")
        try:
            with self.average.lent() if self.average is not None else nullcontext():
                yield
        finally:
            if was_training:
                self.train()
            for name, module in self.carriers.items():
                module.carry(carried[name])

    def judged_weights(self) -> dict[str, torch.Tensor] | None:
        """The weights that the optimizer evaluates where they are not those that it trains; None where they are."""
        if not hasattr(self.optimizer, "eval"):
            return None
        _call(self.optimizer, "eval")
        weights = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        _call(self.optimizer, "train")
        return weights

    def reset_carried(self) -> None:
        """Forget hidden state, as at the start of a text."""
        for module in self.carriers.values():
            module.carry({})


def _call(optimizer: torch.optim.Optimizer, mode: str) -> None:
    """Schedule-free optimizers hold other weights for training than for evaluation."""
    switch = getattr(optimizer, mode, None)
    if switch is not None:
        switch()


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
    args = {key: value for key, value in plan.model.args.items() if key != "pretrained"}
    return _assembled(plan, spec, build_model(replace(plan, model=replace(plan.model, args=args)), spec))


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
    schedule = build_schedule(plan)
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
        carriers={name: module for name, module in model.named_modules() if getattr(module, "carries", False)},
    )
    if getattr(criterion, "needs_features", False):
        system.keep_features()
    return system


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


def build_schedule(plan: RunPlan) -> Schedule:
    """The plan's schedule with its keys bound."""
    return schedule_of(plan.schedule, allow=plan.allow_targets)


def schedule_of(component: Component, *, allow: tuple[str, ...] = ()) -> Schedule:
    """A schedule option with its keys bound."""
    target = resolve(component, allow=allow)
    return bind_schedule(target, bound(component, target, {}))


def momentum_of(optimizer: torch.optim.Optimizer) -> float | None:
    """The momentum of an optimizer, or its first beta where no group has a momentum; None when it has neither."""
    momenta = [group["momentum"] for group in optimizer.param_groups if "momentum" in group]
    betas = [group["betas"][0] for group in optimizer.param_groups if "betas" in group]
    found = momenta or betas
    return float(found[0]) if found and found[0] else None


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
        warmup_steps=plan.warmup_steps,
        l1=reg.l1,
        l2=reg.l2,
        mixup=reg.mixup,
        cutmix=reg.cutmix,
        ema=reg.ema,
        clip_norm=reg.clip_norm,
        clip_value=reg.clip_value,
        momentum=momentum,
    )
