"""What can be wrong between a plan and the network and data that it names, each part as problems of its keys."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hpo_cli.components.dropout import StochasticDepth
from hpo_cli.components.metrics import metric_names
from hpo_cli.components.mixing import check_mixing
from hpo_cli.engine.batches import Shard
from hpo_cli.engine.knobs import DROPOUT
from hpo_cli.engine.progress import Horizon
from hpo_cli.engine.system import System
from hpo_cli.errors import ConfigError, Problem, did_you_mean
from hpo_cli.plan import RunPlan


def length_problems(plan: RunPlan, until: Horizon) -> Iterator[Problem]:
    """Batches and warmup that are longer than what there is."""
    if plan.batch_size > until.num_samples:
        rule = f"must not exceed the {until.num_samples} training samples"
        yield Problem("batch_size", rule, "lower it", plan.batch_size)
    if plan.warmup_steps > until.total_steps:
        rule = f"must not exceed the {until.total_steps} steps of this run"
        yield Problem("schedule.warmup_steps", rule, "lower it or raise epochs", plan.warmup_steps)


def batch_norm_problems(plan: RunPlan, system: System, *stretches: int) -> Iterator[Problem]:
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


def dropout_problems(plan: RunPlan, system: System) -> Iterator[Problem]:
    """Dropout that the model has no place for."""
    reg, layers = plan.regularization, list(system.model.modules())
    rule = f"this model={plan.model.option} has no place for it"
    if reg.dropout and not any(isinstance(layer, DROPOUT) for layer in layers):
        yield Problem("regularization.dropout", rule, "set it to 0, or give the model hidden layers", reg.dropout)
    if reg.stochastic_depth and not any(isinstance(layer, StochasticDepth) for layer in layers):
        key = "regularization.stochastic_depth"
        yield Problem(key, rule, "set it to 0, or choose a residual network", reg.stochastic_depth)


def objective_problems(plan: RunPlan, system: System) -> Iterator[Problem]:
    """An objective that is not measured."""
    known = ["val/loss", *(f"val/{name}" for name in metric_names(system.measure))]
    name = plan.objective.name
    if name not in known:
        near = did_you_mean(name, known)
        yield Problem("objective", f"must be one of {', '.join(known)} for this data", near, name)


def mixing_problems(plan: RunPlan, system: System) -> Iterator[Problem]:
    """Samples that cannot be mixed."""
    try:
        check_mixing(cutmix=plan.regularization.cutmix, input_shape=system.spec.input_shape)
    except ConfigError as error:
        yield from error.problems


def feature_problems(plan: RunPlan, system: System) -> Iterator[Problem]:
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


def device_problems(plan: RunPlan) -> Iterator[Problem]:
    """Devices that this machine has not, or not so many of."""
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


def _batch_norm_positions(system: System) -> set[int]:
    """How many numbers of one sample each batch norm takes together."""
    norms = output_shapes(system, (_BatchNorm,))
    return {math.prod(shape[2:]) for norm, shape in norms if norm not in system.frozen_norms}


def output_shapes(system: System, kinds: tuple[type[nn.Module], ...]) -> list[tuple[nn.Module, torch.Size]]:
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
