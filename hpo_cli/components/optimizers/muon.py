"""Muon: orthogonal steps for the hidden weight matrices, AdamW for everything else, in one optimizer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim.optimizer import ParamsT

from hpo_cli.components.optimizers.per_tensor import Group, PerTensor, State, adam_direction

LAYERS = (nn.Embedding, nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
QUINTIC = (3.4445, -4.7750, 2.0315)
"""Of p(x) = a x + b x^3 + c x^5: five times over, it takes every singular value from about 0.002 .. 1 near 1."""


class Muon(PerTensor):
    """Momentum whose step, for a hidden weight matrix, has all its singular values near 1.

    m = momentum * m + (1-momentum) * g; n = (1-momentum) * g + momentum * m (Nesterov);
    w = w - lr * weight_decay * w - lr * sqrt(max(1, rows / columns)) * orthogonal(n).
    Source: Jordan et al. 2024 (kellerjordan.github.io/posts/muon) and its code; torch.optim.Muon is the same rule for
    matrices alone, with the iteration in bfloat16 where ours has the precision of the weights.

    Hidden are the weights of linear and convolution layers but for the first and the last layer of `model`; a
    convolution's kernels are a matrix [outputs, the rest]. The first layer, the last one, embeddings, biases, norms
    and whatever else there is follow AdamW, at the rate `lr * adamw_share`. A model of two layers or fewer has
    nothing hidden: it trains by AdamW alone.

    model: the network that `params` belong to.
    params: a group that holds both kinds is split; both parts keep its other keys, and `lr_scale` holds the share.
    """

    def __init__(
        self,
        params: ParamsT,
        *,
        model: nn.Module,
        lr: float = 0.02,
        momentum: float = 0.95,
        adamw_share: float = 0.05,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        settings = {"lr": lr, "momentum": momentum, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}
        groups = split(params, hidden_weights(model), lr=lr, adamw_share=adamw_share)
        super().__init__(list(groups), settings)

    def move(self, weight: Tensor, gradient: Tensor, *, state: State, group: Group) -> None:
        """One update of `weight`, by the rule of its group."""
        rule = muon_direction if group["orthogonal"] else adam_direction
        direction = rule(gradient, state=state, group=group)
        weight.mul_(1 - group["lr"] * group["weight_decay"]).sub_(direction, alpha=group["lr"])


def hidden_weights(model: nn.Module) -> set[Tensor]:
    """The weights between the first and the last layer, in the order in which the model defines its layers.

    A weight that an embedding or either end uses as well (tied weights) is not among them.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, LAYERS)]
    outer = {layer.weight for layer in (*layers[:1], *layers[-1:])}
    outer |= {layer.weight for layer in layers if isinstance(layer, nn.Embedding)}
    return {layer.weight for layer in layers} - outer


def split(params: ParamsT, hidden: set[Tensor], *, lr: float, adamw_share: float) -> Iterator[Group]:
    """The groups of `params`, each as its hidden part and its other part, `orthogonal` saying which; none is empty."""
    listed = list(params)
    groups = cast("list[Group]", listed if listed and isinstance(listed[0], dict) else [{"params": listed}])
    for group in groups:
        members = group["params"]
        members = [members] if isinstance(members, Tensor) else list(members)
        rate = group.get("lr", lr * group.get("lr_scale", 1.0))
        if matrices := [weight for weight in members if weight in hidden]:
            yield {**group, "params": matrices, "orthogonal": True, "lr": rate}
        if others := [weight for weight in members if weight not in hidden]:
            scale = group.get("lr_scale", 1.0) * adamw_share
            yield {**group, "params": others, "orthogonal": False, "lr": rate * adamw_share, "lr_scale": scale}


def muon_direction(gradient: Tensor, *, state: State, group: Group) -> Tensor:
    """Muon's step without its rate, in the shape of `gradient`; the momentum in `state` moves on."""
    if not state:
        state["momentum_buffer"] = torch.zeros_like(gradient)
    momentum = group["momentum"]
    mean = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
    ahead = gradient.lerp(mean, momentum).flatten(1)
    rows, columns = ahead.shape
    return orthogonal(ahead).mul_(math.sqrt(max(1.0, rows / columns))).view_as(gradient)


def orthogonal(matrix: Tensor, *, num_steps: int = 5) -> Tensor:
    """About U V^T of `matrix` = U S V^T, singular values within about 0.7 .. 1.2; zeros for a matrix of zeros.

    Newton-Schulz iteration with the polynomial `QUINTIC`, which trades exactness for few steps.
    """
    a, b, c = QUINTIC
    tall = matrix.size(0) > matrix.size(1)
    found = matrix.T if tall else matrix
    found = found / found.norm().clamp(min=1e-7)
    for _ in range(num_steps):
        gram = found @ found.T
        found = torch.addmm(found, torch.addmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return (found.T if tall else found).contiguous()
