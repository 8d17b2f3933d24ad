"""A live system as plain types and tensors, and back: what checkpoints hold of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo_cli.engine.averaging import WeightAverage
from hpo_cli.engine.knobs import read_knobs, set_knobs
from hpo_cli.engine.system import System


def weights_state(system: System) -> dict[str, Any]:
    """What the model needs to be judged as it stands now: weights, the loss's own state, the names of the classes."""
    names = system.spec.class_names
    return {
        "model": system.model.state_dict(),
        "criterion": system.criterion.state_dict(),
        "class_names": None if names is None else list(names),
    }


def system_state(system: System) -> dict[str, Any]:
    """Everything in the system that further training depends on. Call it between two steps."""
    return {
        **weights_state(system),
        "average": system.average.state() if system.average is not None else None,
        "judged": system.judged_weights(),
        "carried": {name: module.carried() for name, module in system.carriers.items()},
        "optimizer": system.optimizer.state_dict(),
        "schedule": system.schedule.state(),
        "knobs": read_knobs(system),
    }


def restore_system(system: System, state: Mapping[str, Any]) -> None:
    """Bring a system of the same plan, a new one or one that has trained, to a state that `system_state` gave.

    The knobs come first: a schedule must be there before its memory, and the optimizer's own numbers last, since
    those of a checkpoint are as the last step left them.
    """
    system.model.load_state_dict(state["model"])
    system.criterion.load_state_dict(state["criterion"])
    system.average = None
    if state["average"] is not None:
        system.average = WeightAverage(system.model)
        system.average.restore(state["average"])
    for name, module in system.carriers.items():
        module.carry(state["carried"][name])
    set_knobs(system, state["knobs"])
    system.schedule.restore(state["schedule"])
    system.optimizer.load_state_dict(state["optimizer"])
