"""Which parameters train, in groups that share a learning rate and weight decay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.parameter import Parameter

from hpo_cli.components.layers import layer_groups
from hpo_cli.plan import RunPlan

Group = dict[str, Any]


def parameter_groups(plan: RunPlan, model: nn.Module, criterion: nn.Module) -> list[Group]:
    """The optimizer's parameter groups: one, unless layers have rates of their own or some weights no decay.

    `lr_scale` of a group multiplies the run's rate: `finetune.layer_decay` to the power of the layers that follow.
    `decayed: False` marks what `regularization.decay=weights` spares: everything of at most one dimension.
    A loss that learns has its parameters in the last layer's groups.
    """
    groups: dict[tuple[float, bool], Group] = {}
    for parameter, scale in _scaled(plan, model, criterion):
        if not parameter.requires_grad:
            continue
        decayed = plan.regularization.decay == "all" or parameter.ndim > 1
        group = groups.setdefault((scale, decayed), {"params": []})
        group["params"].append(parameter)
        if scale != 1.0:
            group["lr_scale"] = scale
        if not decayed:
            group |= {"weight_decay": 0.0, "decayed": False}
    return list(groups.values())


def _scaled(plan: RunPlan, model: nn.Module, criterion: nn.Module) -> Iterator[tuple[Parameter, float]]:
    """Every parameter once, with the factor of its learning rate."""
    scales: dict[Parameter, float] = {}
    if plan.finetune.layer_decay < 1:
        layers = layer_groups(model)
        for index, layer in enumerate(layers):
            scale = plan.finetune.layer_decay ** (len(layers) - 1 - index)
            scales |= {parameter: scale for _, parameter in layer}
    for parameter in (*model.parameters(), *criterion.parameters()):
        yield parameter, scales.get(parameter, 1.0)
