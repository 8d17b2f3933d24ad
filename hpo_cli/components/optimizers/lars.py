"""LARS: momentum whose every layer has a rate of its own, in proportion to the size of its weights."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from hpo_cli.components.optimizers.per_tensor import Group, PerTensor, State


class LARS(PerTensor):
    """Layer-wise adaptive rate scaling, in the form of its paper.

    local = trust * |w| / (|g| + weight_decay * |w|); v = momentum * v + lr * local * (g + weight_decay * w); w -= v.
    Source: You, Gitman & Ginsburg 2017 (arXiv:1708.03888), algorithm 1.

    The rate stands *inside* the momentum: after a cut of lr the old steps fade out at their old size, and with lr = 0
    the weights still coast. Libraries differ: torch's SGD and most LARS built on it keep lr outside (`w -= lr * v`),
    which is the same while lr stays, and another method once it decays; several divide by |g + weight_decay * w|
    instead of the sum of the two norms, or add an eps to it.

    adapt_vectors: treat parameters of one dimension or none (biases, norms) like the others. Otherwise they get
    neither decay nor a local rate, `v = momentum * v + lr * g`, as in the authors' published runs.
    A weight or a gradient that is all zeros has the local rate 1, so that it can leave.
    """

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float = 1.0,
        momentum: float = 0.9,
        trust: float = 0.001,
        weight_decay: float = 0.0005,
        adapt_vectors: bool = False,
    ) -> None:
        settings = {"lr": lr, "momentum": momentum, "trust": trust}
        super().__init__(params, {**settings, "weight_decay": weight_decay, "adapt_vectors": adapt_vectors})

    def move(self, weight: Tensor, gradient: Tensor, *, state: State, group: Group) -> None:
        """One update of `weight`."""
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        push = gradient
        if weight.ndim > 1 or group["adapt_vectors"]:
            push = gradient.add(weight, alpha=group["weight_decay"])
            push *= local_rate(weight, gradient, trust=group["trust"], weight_decay=group["weight_decay"])
        weight -= state["momentum_buffer"].mul_(group["momentum"]).add_(push, alpha=group["lr"])


def local_rate(weight: Tensor, gradient: Tensor, *, trust: float, weight_decay: float) -> Tensor:
    """`trust * |w| / (|g| + weight_decay * |w|)` (eq. 6 of the paper), 1 where a norm is 0; of no dimension."""
    weight_norm, gradient_norm = torch.linalg.vector_norm(weight), torch.linalg.vector_norm(gradient)
    rate = trust * weight_norm / (gradient_norm + weight_decay * weight_norm)
    return torch.where((weight_norm > 0) & (gradient_norm > 0), rate, 1.0)
