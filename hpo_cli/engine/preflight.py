"""What only the data and the built network can tell, checked before a run has a folder."""

from __future__ import annotations

import math

import torch
from torch import nn

from hpo_cli.components.data.arrays import Splits
from hpo_cli.engine.change_checks import check_change, horizon, planned_nudge_problems
from hpo_cli.engine.fit_problems import (
    batch_norm_problems,
    device_problems,
    dropout_problems,
    feature_problems,
    length_problems,
    mixing_problems,
    objective_problems,
    output_shapes,
)
from hpo_cli.engine.system import System
from hpo_cli.errors import ConfigError, UserError
from hpo_cli.plan import RunPlan

__all__ = ["check_change", "check_fit", "check_model", "choose_threads", "horizon", "layer_flops"]

SMALL_STEP_FLOPS = 200e6
"""Below this, a second CPU thread costs more than it brings."""

SMALL_LAYER_FLOPS = 20e6
"""Likewise for a layer of a deep network: threads meet after each."""


def check_fit(plan: RunPlan, system: System, splits: Splits) -> None:
    """Raise ConfigError, naming every problem, when plan, network and data do not go together."""
    num_samples = len(splits.train.x)
    until = horizon(system.settings, num_samples, max_steps=plan.trainer.max_steps)
    check_model(plan, system)
    problems = [
        *length_problems(plan, until),
        *batch_norm_problems(plan, system, num_samples),
        *device_problems(plan),
        *dropout_problems(plan, system),
        *objective_problems(plan, system),
        *mixing_problems(plan, system),
        *feature_problems(plan, system),
    ] or list(planned_nudge_problems(plan, system, splits))
    if problems:
        raise ConfigError.of(problems)


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


def layer_flops(system: System, batch_size: int) -> list[float]:
    """Floating-point operations of each layer, forward and backward, that threads can share: 6 for a weight's use.

    The positions of a recurrent layer come one after the other, so that it counts with one.
    """
    kinds = (nn.Linear, *_CONVOLUTIONS, nn.RNNBase)
    weights = (
        sum(weight.numel() for weight in layer.parameters() if weight.ndim > 1) * _positions(layer, shape)
        for layer, shape in output_shapes(system, kinds)
    )
    return [6.0 * batch_size * uses for uses in weights]


_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def _positions(layer: nn.Module, shape: torch.Size) -> int:
    """How many positions of one sample a layer computes at once. shape: of what it gives."""
    if isinstance(layer, nn.RNNBase):
        return 1
    return math.prod(shape[2:] if isinstance(layer, _CONVOLUTIONS) else shape[1:-1])


def choose_threads(plan: RunPlan, system: System, *, cores: int) -> int:
    """CPU threads of one process: as asked; else one for small steps; else a fair share of the cores."""
    if plan.trainer.threads is not None:
        return plan.trainer.threads
    layers = layer_flops(system, plan.batch_size)
    if sum(layers) < max(SMALL_STEP_FLOPS, SMALL_LAYER_FLOPS * len(layers)):
        return 1
    return max(1, cores // plan.trainer.devices)
