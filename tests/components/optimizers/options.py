"""Optimizer options as a run builds them, for tests that compare them with other people's results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from hpo_cli.components.build import build
from hpo_cli.options import list_options
from hpo_cli.plan import Component

if TYPE_CHECKING:
    from collections.abc import Iterable

NO_ARGUMENTS = ("_target_", "decay")
"""`decay` lowers the rate from outside, as a schedule does."""


def new(name: str, params: Any, *, model: torch.nn.Module | None = None, **changes: Any) -> torch.optim.Optimizer:
    """`optimizer=name` with `changes` of its keys, for these parameters or parameter groups."""
    option = list_options("optimizer")[name]
    assert set(changes) <= set(option.keys)
    args = {key: value for key, value in option.defaults.items() if key not in NO_ARGUMENTS}
    component = Component("optimizer", name, option.defaults["_target_"], {**args, **changes})
    optimizer: torch.optim.Optimizer = build(component, params=params, **({} if model is None else {"model": model}))
    return optimizer


def path(name: str, start: list[float], gradients: Iterable[Any], **changes: Any) -> torch.Tensor:
    """Where one parameter is after each of these gradients [steps, *shape of start], in double precision."""
    weight = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer = new(name, [weight], **changes)
    places = []
    for gradient in gradients:
        weight.grad = torch.as_tensor(gradient, dtype=torch.float64).clone()
        optimizer.step()
        places.append(weight.detach().clone())
    return torch.stack(places)
