"""The hot knobs: hyperparameters that can change between two steps without rebuilding the network.

One table says how each is read from the live system and how it is set there. Nudges, the check on resume and
checkpoints use it; whatever is not in the table is cold and needs a branch.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from hpo_cli.components.dropout import AlphaDropout, Dropout, StochasticDepth
from hpo_cli.components.image_changes import NUM_COLOURS
from hpo_cli.engine.moving import momentum_of, schedule_from, set_momentum
from hpo_cli.engine.system import System
from hpo_cli.plan import RunPlan
from hpo_cli.steer.settings import value_of

DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)


@dataclass(frozen=True)
class Knob:
    """How one hot hyperparameter is read from the live system, set there, and whether this system has it."""

    get: Callable[[System], Any]
    set: Callable[[System, Any], None]
    present: Callable[[System], bool] = lambda system: True  # noqa: ARG005 - most systems have most knobs


def _setting(name: str) -> Knob:
    return Knob(
        get=lambda system: getattr(system.settings, name),
        set=lambda system, value: setattr(system.settings, name, value),
    )


def _optimizer(name: str) -> Knob:
    """A number of the optimizer's: of all parameter groups that have it."""

    def write(system: System, value: Any) -> None:
        for group in _groups_with(system, name):
            group[name] = tuple(value) if isinstance(value, list) else value

    def read(system: System) -> Any:
        value = _groups_with(system, name)[0][name]
        return list(value) if isinstance(value, tuple) else value

    return Knob(get=read, set=write, present=lambda system: bool(_groups_with(system, name)))


def _groups_with(system: System, name: str) -> list[dict[str, Any]]:
    groups = [group for group in system.optimizer.param_groups if name in group]
    return [group for group in groups if group.get("decayed", True)] if name == "weight_decay" else groups


_GROUP_MOMENTUM, _GROUP_BETAS = _optimizer("momentum"), _optimizer("betas")


def _get_schedule(system: System) -> dict[str, Any]:
    return copy.deepcopy(dict(system.schedule_keys))


def _set_schedule(system: System, value: Mapping[str, Any]) -> None:
    """Put another schedule in force, its memory fresh; one of the same kind takes over what the old one had learnt.

    The momentum that the old one left stands again where the new one moves none.
    """
    if value == system.schedule_keys:
        return
    new, memory = schedule_from(value, allow=system.allow_targets), system.schedule.state()
    plain = system.settings.momentum if system.schedule.moves_momentum else momentum_of(system.optimizer)
    if memory and value["_target_"] == system.schedule_keys["_target_"]:
        new.restore(memory)
    if plain:
        set_momentum(system.optimizer, plain)
    system.schedule, system.schedule_keys = new, copy.deepcopy(dict(value))
    _move_momentum(system, plain)


def _move_momentum(system: System, plain: float | None) -> None:
    """Let the schedule act on a momentum, if it moves any and there is some; else leave the optimizer's alone."""
    system.settings.momentum = plain if system.schedule.moves_momentum and plain else None


def _get_momentum(system: System) -> float:
    moved = system.settings.momentum
    return float(_GROUP_MOMENTUM.get(system)) if moved is None else moved


def _set_momentum(system: System, value: float) -> None:
    """Torch's RMSprop makes its buffer with the rest of its state alone: a momentum that was 0 so far has none."""
    optimizer = system.optimizer
    _GROUP_MOMENTUM.set(system, value)
    _move_momentum(system, value)
    for state in optimizer.state.values() if isinstance(optimizer, torch.optim.RMSprop) and value else ():
        state.setdefault("momentum_buffer", torch.zeros_like(state["square_avg"]))


def _get_betas(system: System) -> list[float]:
    """With the first one as it was set, where a schedule moves it."""
    first, *others = _GROUP_BETAS.get(system)
    moved = None if _GROUP_MOMENTUM.present(system) else system.settings.momentum
    return [first if moved is None else moved, *others]


def _set_betas(system: System, value: list[float]) -> None:
    _GROUP_BETAS.set(system, value)
    if not _GROUP_MOMENTUM.present(system):
        _move_momentum(system, value[0])


def _dropout_layers(system: System) -> list[Any]:
    """The layers that take the run's rate: our own, or in a network of the user's all that torch has.

    Libraries' networks keep further layers, at rates that are part of the architecture.
    """
    layers = list(system.model.modules())
    own = [layer for layer in layers if isinstance(layer, (Dropout, AlphaDropout))]
    return own or [layer for layer in layers if isinstance(layer, DROPOUT)]


def _set_dropout(system: System, value: float) -> None:
    for layer in _dropout_layers(system):
        layer.p = value


def _branches(system: System) -> list[StochasticDepth]:
    return [layer for layer in system.model.modules() if isinstance(layer, StochasticDepth)]


def _set_stochastic_depth(system: System, value: float) -> None:
    for branch in _branches(system):
        branch.p = value


def _attribute(name: str, *, of: Callable[[System], Any]) -> Knob:
    """A number that is a plain attribute of a part of the system, read again at each use of that part."""
    return Knob(
        get=lambda system: getattr(of(system), name),
        set=lambda system, value: setattr(of(system), name, value),
        present=lambda system: _is_number(getattr(of(system), name, "")),
    )


def _is_number(value: object) -> bool:
    """None is a number that was left open."""
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _criterion(name: str) -> Knob:
    return _attribute(name, of=lambda system: system.criterion)


def _augment(name: str) -> Knob:
    return _attribute(name, of=lambda system: system.augment)


def _has_colours(name: str) -> Callable[[System], bool]:
    own = _augment(name).present
    return lambda system: own(system) and system.spec.input_shape[0] == NUM_COLOURS


LOSS_NUMBERS = ("gamma", "alpha", "delta", "weight", "center_lr")
AUGMENT_NUMBERS = (
    "strength", "flip", "crop", "rotate", "zoom", "brightness", "contrast", "blur", "erasing",
)  # fmt: skip


HOT: Mapping[str, Knob] = MappingProxyType(
    {
        "schedule": Knob(get=_get_schedule, set=_set_schedule),  # before the momentum that it moves
        "lr": _setting("lr"),
        "batch_size": _setting("batch_size"),
        "epochs": _setting("epochs"),
        "trainer.max_steps": _setting("max_steps"),
        "batch.accumulate": _setting("accumulate"),
        "schedule.warmup_steps": _setting("warmup_steps"),
        "optimizer.decay": replace(_setting("lr_decay"), present=lambda system: system.settings.lr_decay is not None),
        "optimizer.momentum": replace(_GROUP_MOMENTUM, get=_get_momentum, set=_set_momentum),
        "optimizer.betas": replace(_GROUP_BETAS, get=_get_betas, set=_set_betas),
        "optimizer.alpha": _optimizer("alpha"),
        "optimizer.eps": _optimizer("eps"),
        "regularization.weight_decay": _optimizer("weight_decay"),
        "regularization.mixup": _setting("mixup"),
        "regularization.cutmix": replace(_setting("cutmix"), present=lambda system: len(system.spec.input_shape) > 1),
        "regularization.ema": _setting("ema"),
        "regularization.l1": _setting("l1"),
        "regularization.l2": _setting("l2"),
        "regularization.clip_norm": _setting("clip_norm"),
        "regularization.clip_value": _setting("clip_value"),
        "regularization.early_stopping": _setting("early_stopping"),
        "regularization.dropout": Knob(
            get=lambda system: _dropout_layers(system)[0].p,
            set=_set_dropout,
            present=lambda system: bool(_dropout_layers(system)),
        ),
        "regularization.stochastic_depth": Knob(
            get=lambda system: _branches(system)[0].p,
            set=_set_stochastic_depth,
            present=lambda system: bool(_branches(system)),
        ),
        "regularization.label_smoothing": _criterion("label_smoothing"),
        **{f"loss.{name}": _criterion(name) for name in LOSS_NUMBERS},
        **{f"augment.{name}": _augment(name) for name in AUGMENT_NUMBERS},
        **{f"augment.{name}": replace(_augment(name), present=_has_colours(name)) for name in ("saturation", "hue")},
    }
)
"""Config key -> knob."""


def _given(term: Any, _: System) -> Any:
    return term


def knobs_of(system: System) -> dict[str, Knob]:
    """The knobs that this system has: those of HOT that apply, and the weight of each term of its loss."""
    found = {key: knob for key, knob in HOT.items() if key in system.expressible and knob.present(system)}
    for name, term in getattr(system.criterion, "terms", {}).items():
        found[f"loss.terms.{name}.weight"] = _attribute("weight", of=functools.partial(_given, term))
    return found


def read_knobs(system: System) -> dict[str, Any]:
    """The value of every hot knob that this system has, read back from the objects that use it."""
    return {key: knob.get(system) for key, knob in knobs_of(system).items()}


def planned_knobs(plan: RunPlan, system: System) -> dict[str, Any]:
    """The value that the plan alone gives to each hot knob of this system: what `read_knobs` finds in a new one."""
    return {key: value_of(plan.config, plan.choices, key) for key in knobs_of(system)}


def set_knobs(system: System, values: Mapping[str, Any]) -> None:
    """Set several knobs, the schedule first; a key that is no knob of this system is a KeyError.

    Raises ConfigError, before anything is set, for a schedule that cannot be built.
    """
    knobs = knobs_of(system)
    setters = {key: knobs[key].set for key in sorted(values, key=lambda key: key != "schedule")}
    for key, write in setters.items():
        write(system, copy.deepcopy(values[key]))
