"""What a schedule moves: its function with its keys bound, and the momentum of an optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from hpo_cli.components.build import bound, resolve
from hpo_cli.components.schedules import Schedule, bind_schedule
from hpo_cli.plan import Component


def schedule_of(component: Component, *, allow: tuple[str, ...] = ()) -> Schedule:
    """A schedule option with its keys bound."""
    target = resolve(component, allow=allow)
    return bind_schedule(target, bound(component, target, {}))


def described(component: Component) -> dict[str, Any]:
    """A component as plain types: its option, its `_target_` and its keys."""
    return {"option": component.option, "_target_": component.target, **component.args}


def schedule_from(described: Mapping[str, Any], *, allow: tuple[str, ...] = ()) -> Schedule:
    """The schedule that `described` told of. Raises ConfigError for one that is not allowed or cannot be built."""
    keys = {key: value for key, value in described.items() if key not in ("option", "_target_")}
    return schedule_of(Component("schedule", described["option"], described["_target_"], keys), allow=allow)


def momentum_of(optimizer: torch.optim.Optimizer) -> float | None:
    """The momentum of an optimizer, or its first beta where no group has a momentum; None when it has neither."""
    momenta = [group["momentum"] for group in optimizer.param_groups if "momentum" in group]
    betas = [group["betas"][0] for group in optimizer.param_groups if "betas" in group]
    found = momenta or betas
    return float(found[0]) if found and found[0] else None


def set_momentum(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Set the momentum of the groups that have one; where none has, the first beta."""
    with_momentum = [group for group in optimizer.param_groups if "momentum" in group]
    for group in with_momentum:
        group["momentum"] = value
    for group in () if with_momentum else optimizer.param_groups:
        group["betas"] = (value, *group["betas"][1:])
