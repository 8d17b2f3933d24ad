"""What only the data and the built network can tell, checked before a run has a folder."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hpo_cli.components.data.arrays import Splits
from hpo_cli.components.dropout import StochasticDepth
from hpo_cli.components.metrics import metric_names
from hpo_cli.components.mixing import check_mixing
from hpo_cli.engine.batches import Shard
from hpo_cli.engine.knobs import DROPOUT, knobs_of
from hpo_cli.engine.moving import described, schedule_of
from hpo_cli.engine.progress import Horizon, Position
from hpo_cli.engine.system import Settings, System
from hpo_cli.errors import ConfigError, Problem, UserError, did_you_mean
from hpo_cli.plan import RunPlan, make_plan
from hpo_cli.steer.hot import knob_of
from hpo_cli.steer.planned import changed, moved
from hpo_cli.steer.settings import Setting

SMALL_STEP_FLOPS = 200e6
"""Below this, a second CPU thread costs more than it brings."""

SMALL_LAYER_FLOPS = 20e6
"""Likewise for a layer of a deep network: threads meet after each."""


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


def check_fit(plan: RunPlan, system: System, splits: Splits) -> None:
    """Raise ConfigError, naming every problem, when plan, network and data do not go together."""
    num_samples = len(splits.train.x)
    until = horizon(system.settings, num_samples, max_steps=plan.trainer.max_steps)
    check_model(plan, system)
    problems = [
        *_length_problems(plan, until),
        *_batch_norm_problems(plan, system, num_samples),
        *_device_problems(plan),
        *_dropout_problems(plan, system),
        *_objective_problems(plan, system),
        *_mixing_problems(plan, system),
        *_feature_problems(plan, system),
    ] or list(_nudge_problems(plan, system, splits))
    if problems:
        raise ConfigError.of(problems)


def _nudge_problems(plan: RunPlan, system: System, splits: Splits) -> Iterator[Problem]:
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


def check_change(plan: RunPlan, system: System, *, splits: Splits, position: Position) -> None:
    """Raise ConfigError, naming every problem, when a live run cannot go on from `position` by a revised plan.

    plan: the run's own with other values of hot knobs, checked already (`hpo_cli.validate`). The system is as it was
    before the change, and stays so.
    """
    num_samples, now = len(splits.train.x), _settings_of(plan, system.settings)
    until = horizon(now, num_samples, max_steps=now.max_steps, position=position)
    problems = [
        *_end_problems(plan, position, horizon(now, num_samples, max_steps=None, position=position)),
        *_length_problems(plan, until),
        *_batch_norm_problems(plan, system, *_stretches(num_samples, position, epochs=now.epochs)),
        *_dropout_problems(plan, system),
        *_mixing_problems(plan, system),
        *_feature_problems(plan, system),
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


def _end_problems(plan: RunPlan, position: Position, by_epochs: Horizon) -> Iterator[Problem]:
    """A run that would have ended already."""
    rule = f"leaves nothing to train at step {position.step}, after {_epochs(position)}"
    fix = "raise it, or end the run: hpo-run stop RUN"
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


def check_model(plan: RunPlan, system: System) -> None:
    """Pass two samples through the network: it must not fail and give a row of outputs a sample."""
    option = plan.model.option
    try:
        with system.looked_at():
            outputs = system.model(system.zeros(2))
    except UserError:
        raise
    except Exception as error:
        rule = f"fails on samples of shape {list(system.spec.input_shape)}: {type(error).__name__}: {error}"
        raise ConfigError("model", option, rule=rule, fix="HYDRA_FULL_ERROR=1 shows where") from error
    positions = [system.measure.positions] if system.measure.positions is not None else []
    wanted, found = [2, system.num_outputs, *positions], list(getattr(outputs, "shape", ()))
    if found != wanted:
        rule = f"gives outputs of shape {found} for two samples, the loss needs {wanted}"
        raise ConfigError("model", option, rule=rule, fix="its last layer must have `num_outputs` outputs")


def _length_problems(plan: RunPlan, until: Horizon) -> Iterator[Problem]:
    if plan.batch_size > until.num_samples:
        rule = f"must not exceed the {until.num_samples} training samples"
        yield Problem("batch_size", rule, "lower it", plan.batch_size)
    if plan.warmup_steps > until.total_steps:
        rule = f"must not exceed the {until.total_steps} steps of this run"
        yield Problem("schedule.warmup_steps", rule, "lower it or raise epochs", plan.warmup_steps)


def _stretches(num_samples: int, position: Position, *, epochs: int) -> list[int]:
    """How many samples are cut into batches at a time: what is left of this epoch, and all of a later one."""
    left = num_samples - position.sample
    return list(dict.fromkeys([left, num_samples] if position.epoch + 1 < epochs else [left]))


def _batch_norm_problems(plan: RunPlan, system: System, *stretches: int) -> Iterator[Problem]:
    """Batch norm over single numbers fails on a batch of one, which the last batch of an epoch may be.

    In images and sequences a channel has as many numbers as positions, down to one after enough poolings.
    """
    world = plan.trainer.devices
    for num_samples in stretches:
        last = num_samples % plan.batch_size or plan.batch_size
        counts = [Shard(rank, world).count(rows) for rank in range(world) for rows in (plan.batch_size, last)]
        if min(counts) <= 1 and 1 in _batch_norm_positions(system):
            what = f"leaves a last batch of {last} of {num_samples} samples"
            rule = f"{what}, and batch norm has no variance in a batch of one"
            yield Problem("batch_size", rule, "choose another batch_size, or model.norm=layer", plan.batch_size)
            return


def _dropout_problems(plan: RunPlan, system: System) -> Iterator[Problem]:
    reg, layers = plan.regularization, list(system.model.modules())
    rule = f"this model={plan.model.option} has no place for it"
    if reg.dropout and not any(isinstance(layer, DROPOUT) for layer in layers):
        yield Problem("regularization.dropout", rule, "set it to 0, or give the model hidden layers", reg.dropout)
    if reg.stochastic_depth and not any(isinstance(layer, StochasticDepth) for layer in layers):
        key = "regularization.stochastic_depth"
        yield Problem(key, rule, "set it to 0, or choose a residual network", reg.stochastic_depth)


def _objective_problems(plan: RunPlan, system: System) -> Iterator[Problem]:
    known = ["val/loss", *(f"val/{name}" for name in metric_names(system.measure))]
    name = plan.objective.name
    if name not in known:
        near = did_you_mean(name, known)
        yield Problem("objective", f"must be one of {', '.join(known)} for this data", near, name)


def _mixing_problems(plan: RunPlan, system: System) -> Iterator[Problem]:
    try:
        check_mixing(cutmix=plan.regularization.cutmix, input_shape=system.spec.input_shape)
    except ConfigError as error:
        yield from error.problems


def _feature_problems(plan: RunPlan, system: System) -> Iterator[Problem]:
    """A loss that looks at features sees those of its own process, as plain Python hooks hand them over."""
    if not getattr(system.criterion, "needs_features", False):
        return
    reg = plan.regularization
    if system.spec.num_tokens is not None:
        rule = f"loss={plan.loss.option} draws samples to the center of their class, and a window has many"
        yield Problem("loss", rule, "set loss=cross_entropy", plan.loss.option)
    if reg.mixup or reg.cutmix:
        key = "mixup" if reg.mixup else "cutmix"
        rule = f"loss={plan.loss.option} draws samples to the center of one class, a mixed one has two"
        yield Problem(f"regularization.{key}", rule, "set it to 0", getattr(reg, key))
    if plan.trainer.compile:
        yield Problem("trainer.compile", f"loss={plan.loss.option} looks inside the model", "set it to false", "true")
    if plan.trainer.devices > 1:
        rule = f"loss={plan.loss.option} keeps its centers in one process"
        yield Problem("trainer.devices", rule, "set it to 1", plan.trainer.devices)


def _device_problems(plan: RunPlan) -> Iterator[Problem]:
    wanted, gpus = plan.trainer.accelerator, torch.cuda.device_count()
    if plan.trainer.precision == "16-mixed" and not (gpus and wanted in ("gpu", "auto")):
        yield Problem("trainer.precision", "needs a GPU", "use bf16-mixed on a CPU", "16-mixed")
    if wanted == "gpu" and not gpus:
        yield Problem("trainer.accelerator", "torch sees no GPU here", "use trainer=cpu", wanted)
    elif wanted in ("gpu", "auto") and gpus and plan.trainer.devices > gpus:
        rule = f"torch sees {gpus} GPU{'s' * (gpus > 1)} here"
        yield Problem("trainer.devices", rule, "lower it, or use trainer.accelerator=cpu", plan.trainer.devices)
    cores = os.cpu_count() or 1
    if (wanted == "cpu" or not gpus) and plan.trainer.devices > cores:
        rule = f"starts as many processes, and this machine has {cores} cores"
        yield Problem("trainer.devices", rule, "lower it", plan.trainer.devices)
    if wanted == "mps" and not torch.backends.mps.is_available():
        yield Problem("trainer.accelerator", "torch sees no Apple GPU here", "use trainer=cpu", wanted)


def layer_flops(system: System, batch_size: int) -> list[float]:
    """Floating-point operations of each layer, forward and backward, that threads can share: 6 for a weight's use.

    The positions of a recurrent layer come one after the other, so that it counts with one.
    """
    kinds = (nn.Linear, *_CONVOLUTIONS, nn.RNNBase)
    weights = (
        sum(weight.numel() for weight in layer.parameters() if weight.ndim > 1) * _positions(layer, shape)
        for layer, shape in _output_shapes(system, kinds)
    )
    return [6.0 * batch_size * uses for uses in weights]


_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def _positions(layer: nn.Module, shape: torch.Size) -> int:
    """How many positions of one sample a layer computes at once. shape: of what it gives."""
    if isinstance(layer, nn.RNNBase):
        return 1
    return math.prod(shape[2:] if isinstance(layer, _CONVOLUTIONS) else shape[1:-1])


def _batch_norm_positions(system: System) -> set[int]:
    """How many numbers of one sample each batch norm takes together."""
    norms = _output_shapes(system, (_BatchNorm,))
    return {math.prod(shape[2:]) for norm, shape in norms if norm not in system.frozen_norms}


def _output_shapes(system: System, kinds: tuple[type[nn.Module], ...]) -> list[tuple[nn.Module, torch.Size]]:
    """The layers of these kinds in the order in which a sample passes them, and the shape of what each gives."""
    found: list[tuple[nn.Module, torch.Size]] = []

    def note(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: Any) -> None:  # noqa: ARG001
        found.append((layer, (output[0] if isinstance(output, tuple) else output).shape))

    handles = [layer.register_forward_hook(note) for layer in system.model.modules() if isinstance(layer, kinds)]
    with system.looked_at():
        system.model(system.zeros(1))
    for handle in handles:
        handle.remove()
    return found


def choose_threads(plan: RunPlan, system: System, *, cores: int) -> int:
    """CPU threads of one process: as asked; else one for small steps; else a fair share of the cores."""
    if plan.trainer.threads is not None:
        return plan.trainer.threads
    layers = layer_flops(system, plan.batch_size)
    if sum(layers) < max(SMALL_STEP_FLOPS, SMALL_LAYER_FLOPS * len(layers)):
        return 1
    return max(1, cores // plan.trainer.devices)
