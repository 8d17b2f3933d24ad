"""What optimizers of our own share: a step that moves one parameter after the other, and Adam's direction."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Group = dict[str, Any]
State = dict[str, Any]


class PerTensor(torch.optim.Optimizer):
    """An optimizer whose update of a parameter reads that parameter, its gradient, its state and its group alone.

    A subclass says how a parameter moves. State lives in `self.state[parameter]`, settings in the group, so that
    `state_dict` holds both and whoever writes a setting into a group is obeyed from the next step on.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every parameter that has a gradient.

        closure: computes the loss with its gradients anew; its loss is returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self.move(weight, weight.grad, state=self.state[weight], group=group)
        return loss

    def move(self, weight: Tensor, gradient: Tensor, *, state: State, group: Group) -> None:
        """Change `weight` and `state` in place, `gradient` never."""
        raise NotImplementedError


def adam_direction(gradient: Tensor, *, state: State, group: Group) -> Tensor:
    """Adam's step without its rate, `m' / (sqrt(v') + eps)`; m, v and the count of steps in `state` move on.

    m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; m' = m / (1 - b1^t); v' = v / (1 - b2^t).
    Source: Kingma & Ba 2015 (arXiv:1412.6980), algorithm 1.
    """
    if not state:
        state.update(step=0, exp_avg=torch.zeros_like(gradient), exp_avg_sq=torch.zeros_like(gradient))
    state["step"] += 1
    beta1, beta2 = group["betas"]
    mean = state["exp_avg"].lerp_(gradient, 1 - beta1)
    square = state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    root = square.sqrt().div_(math.sqrt(1 - beta2 ** state["step"]))
    direction: Tensor = mean / (1 - beta1 ** state["step"]) / root.add_(group["eps"])
    return direction


def norm_ratio(weight: Tensor, update: Tensor) -> Tensor:
    """`|weight| / |update|` as a tensor of no dimension, without waiting for the device; 1 where either norm is 0.

    A weight that starts at 0 would stay there for ever with a ratio of 0. The authors' code of LARS and LAMB does so.
    """
    weight_norm, update_norm = torch.linalg.vector_norm(weight), torch.linalg.vector_norm(update)
    return torch.where((weight_norm > 0) & (update_norm > 0), weight_norm / update_norm, 1.0)
