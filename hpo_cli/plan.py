"""A run, decided: the frozen, typed form of a composed config. No torch, so that a wrong word is refused at once."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

Head = Literal["classes", "one", "targets", "several"]
Task = Literal["classification", "regression", "several", "language"]

SETTING_FREE = ("name", "tags", "outputs", "checkpoint", "logger", "allow_targets", "plan_id", "choices")
"""Keys that do not change what is learnt; plans that differ in these alone have the same id."""

OBJECTIVES: dict[Task, tuple[str, ...]] = {
    "classification": ("val/accuracy", "val/loss"),
    "regression": ("val/loss", "val/mae", "val/r2"),
    "several": ("val/loss",),
    "language": ("val/loss", "val/perplexity", "val/accuracy"),
}
"""Metrics that a run can be judged by; the first is the default."""

HEADS: dict[Task, tuple[Head, ...]] = {
    "classification": ("classes", "one"),
    "regression": ("targets",),
    "several": ("several",),
    "language": ("classes",),
}
"""What the loss of a task may ask of the model."""


INIT_KINDS = ("linear", "convolution", "recurrent", "embedding", "zero_residual")
"""Keys that every init shares; those that are off are not passed on, so that an init of your own need not take them."""

BESIDE_THE_SCHEDULE = ("warmup_steps", "nudges")
"""Keys of the section `schedule` that hold for every schedule and are no keys of its own."""


@dataclass(frozen=True)
class Component:
    """A chosen option: what to build and with which arguments."""

    group: str
    option: str
    target: str | None
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Objective:
    """The metric that decides which model is best."""

    name: str
    mode: Literal["min", "max"]

    def better(self, value: float | None, than: float | None) -> bool:
        """Whether `value` beats `than`; a missing or NaN value beats nothing, and any other value beats it."""
        if value is None or math.isnan(value):
            return False
        if than is None or math.isnan(than):
            return True
        return value > than if self.mode == "max" else value < than


@dataclass(frozen=True)
class DataPlan:
    """Which data, how it is split, and where it lives while training."""

    source: Component
    task: Task
    val_fraction: float
    test_fraction: float
    subset: float
    standardize: bool
    split_seed: int
    classes: Sequence[str | int] | None
    folds: int | None
    fold: int | None
    placement: Literal["auto", "device", "workers"]
    num_workers: int


@dataclass(frozen=True)
class Regularization:
    """Everything that holds the weights back, apart from augmentation."""

    dropout: float
    stochastic_depth: float
    weight_decay: float
    decay: Literal["all", "weights"]
    l1: float
    l2: float
    label_smoothing: float
    mixup: float
    cutmix: float
    ema: float | None
    clip_norm: float | None
    clip_value: float | None
    early_stopping: int | None


@dataclass(frozen=True)
class BatchPlan:
    """How batches become updates. base_size: the batch size that `lr` is meant for when scale_lr scales it."""

    accumulate: int
    scale_lr: Literal["none", "linear", "sqrt"]
    base_size: int


@dataclass(frozen=True)
class FineTuning:
    """What training starts from, and which layers it moves. weights: a checkpoint or a run's folder."""

    weights: str | None
    freeze: int
    freeze_norm: bool
    layer_decay: float


@dataclass(frozen=True)
class TrainerPlan:
    """The machine side of training."""

    accelerator: str
    devices: int
    precision: str
    max_steps: int | None
    compile: bool
    deterministic: bool
    threads: int | None
    log_every_steps: int
    log_gradients: bool = False  # runs from before it was written


@dataclass(frozen=True)
class CheckpointPlan:
    """When checkpoints are written and how many are kept."""

    every_steps: int | None
    every_minutes: float | None
    keep_last: int
    keep_best: int
    keep_older: int = 0
    keep_abandoned: int = 0


@dataclass(frozen=True)
class RescuePlan:
    """What is done by rule when training goes wrong. The defaults, all off, are those of runs that knew no rescue.

    spike: a logged train loss above so many times the mean of the ten before.   limit: rescues in all.
    """

    nan: bool = False
    spike: float | None = None
    back_steps: int = 1
    skip_batches: int = 0
    lr_factor: float = 1.0
    limit: int = 1


@dataclass(frozen=True)
class PlannedNudge:
    """A change of hot knobs that the config itself asks for.   at: share of training, 0 .. 1.   changes: new values."""

    at: float
    changes: Mapping[str, Any]

    def step(self, total_steps: int) -> int:
        """The boundary at which it takes force: after so many of `total_steps` updates."""
        return round(self.at * total_steps)


@dataclass(frozen=True)
class RunPlan:
    """One training run, complete: the same plan on the same machine gives the same weights."""

    name: str
    tags: tuple[str, ...]
    outputs: str
    seed: int
    lr: float
    batch_size: int
    epochs: int
    objective: Objective
    data: DataPlan
    model: Component
    init: Component
    loss: Component
    head: Head
    optimizer: Component
    lr_decay: float | None
    schedule: Component
    warmup_steps: int
    nudges: tuple[PlannedNudge, ...]
    augment: Component
    logger: Component
    regularization: Regularization
    batch: BatchPlan
    finetune: FineTuning
    trainer: TrainerPlan
    checkpoint: CheckpointPlan
    rescue: RescuePlan
    allow_targets: tuple[str, ...]
    config: Mapping[str, Any]
    choices: Mapping[str, str]

    @cached_property
    def plan_id(self) -> str:
        """Twelve hex digits of a hash over every key that decides what is learnt."""
        return plan_id(self.config)

    def to_dict(self) -> dict[str, Any]:
        """The content of plan.yaml; `plan_from_dict` reads it back to an equal plan."""
        return {"plan_id": self.plan_id, "choices": dict(self.choices), **self.config}


def plan_id(config: Mapping[str, Any]) -> str:
    """Hash of a resolved config without the keys in SETTING_FREE. Key order and `1` for `1.0` make no difference."""
    setting = {key: value for key, value in config.items() if key not in SETTING_FREE}
    text = json.dumps(_canonical(setting), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def plan_from_dict(saved: Mapping[str, Any]) -> RunPlan:
    """The plan that `to_dict` gave. The values must have been checked (`hpo_cli.validate`)."""
    config = {key: value for key, value in saved.items() if key not in ("plan_id", "choices")}
    return make_plan(config, choices=saved["choices"])


def make_plan(config: Mapping[str, Any], *, choices: Mapping[str, str]) -> RunPlan:
    """A RunPlan from a resolved config whose values are known to be right (see `hpo_cli.validate`)."""

    def component(group: str, *, without: tuple[str, ...] = ()) -> Component:
        section = config[group]
        args = {key: value for key, value in section.items() if key != "_target_" and key not in without}
        return Component(group, choices.get(group, group), section.get("_target_"), args)

    data_keys = tuple(f.name for f in fields(DataPlan) if f.name != "source")
    return RunPlan(
        **{key: config[key] for key in ("name", "outputs", "seed", "lr", "batch_size", "epochs")},
        tags=tuple(config["tags"]),
        allow_targets=tuple(config["allow_targets"]),
        objective=objective_of(config),
        data=DataPlan(source=component("data", without=data_keys), **{key: config["data"][key] for key in data_keys}),
        model=component("model"),
        init=component("init", without=tuple(key for key in INIT_KINDS if not config["init"].get(key))),
        loss=component("loss", without=("head",)),
        head=config["loss"]["head"],
        optimizer=component("optimizer", without=("lr", "weight_decay", "decay")),
        lr_decay=config["optimizer"].get("decay"),
        schedule=component("schedule", without=BESIDE_THE_SCHEDULE),
        warmup_steps=config["schedule"]["warmup_steps"],
        nudges=tuple(map(_planned_nudge, config["schedule"].get("nudges", ()))),
        augment=component("augment"),
        logger=component("logger"),
        regularization=Regularization(**config["regularization"]),
        batch=BatchPlan(**config["batch"]),
        finetune=FineTuning(**config["finetune"]),
        trainer=TrainerPlan(**config["trainer"]),
        checkpoint=CheckpointPlan(**config["checkpoint"]),
        rescue=RescuePlan(**config.get("rescue", {})),
        config=config,
        choices=dict(choices),
    )


def _planned_nudge(given: Mapping[str, Any]) -> PlannedNudge:
    return PlannedNudge(given["at"], {key: value for key, value in given.items() if key != "at"})


def objective_of(config: Mapping[str, Any]) -> Objective:
    """The objective that the config names, or the task's default: val/accuracy (max) or val/loss (min)."""
    name = config["objective"] or OBJECTIVES[config["data"]["task"]][0]
    return Objective(name, direction(name))


def direction(metric: str) -> Literal["min", "max"]:
    """Whether less or more of a metric is better: losses, errors and perplexity are better low."""
    return "min" if metric.endswith(("loss", "error", "mae", "mse", "rmse", "perplexity")) else "max"


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
