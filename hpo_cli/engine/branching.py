"""A child's first state: what its parent's state gives to a run whose plan may be another one.

States are joined as states, so a live system is only ever filled by `TrainingLoop.restore`: a child without overrides
gets exactly what its parent had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from hpo_cli.engine.assembly import check_components, load_splits, resumable_system
from hpo_cli.engine.checkpoints import State
from hpo_cli.engine.knobs import LOSS_NUMBERS
from hpo_cli.engine.preflight import check_fit
from hpo_cli.errors import ConfigError
from hpo_cli.plan import RunPlan
from hpo_cli.record.contents import mapping

if TYPE_CHECKING:
    from hpo_cli.engine.loop import TrainingLoop

PLAN_KEY = "parent_plan"
"""Where `start_state` notes the plan of the parent: the parent's folder may be gone when the child begins."""

_SHOWN = 4
"""At most so many tensors are named in an error or a line."""

_UNSEEN = ("placement", "num_workers")
"""Keys of the data that change where samples lie, not which ones they are."""

_NO_MEMORY = ("fused", "foreach", "nesterov", "lr", "betas", "eps", "alpha", "momentum", "weight_decay", "decay")
"""Keys of optimizers that say what is done with the memory, not what is in it."""

_LOSS_NUMBERS = (*LOSS_NUMBERS, "label_smoothing")
_SCHEDULE_NUMBERS = ("warmup_steps", "nudges", "factor", "patience", "threshold", "cooldown", "floor")
"""What a plateau does with its memory."""

_CARRIED_ON = ("position", "metrics", "window", "epoch_sums")
_OF_A_GROUP = ("lr", "initial_lr", "weight_decay", "lr_scale", "decayed")

Tensors = Mapping[str, torch.Tensor]


def start_state(state: State, plan: RunPlan) -> State:
    """The content of a child's `checkpoints/start.pt`. plan: the parent's, with the nudges that `state` has seen."""
    return {**state, PLAN_KEY: plan.to_dict()}


def enter(loop: TrainingLoop, state: State, *, partial: bool) -> list[str]:
    """Bring a child's fresh loop to where its parent was; what was taken over and what begins anew, in lines.

    state: what `start_state` gave.   partial: weights that do not fit keep their fresh start.
    The settings are those of the child's plan; the best values and the patience begin anew.
    Raises ConfigError, naming tensors, for weights that do not fit.
    """
    joined, said = join(loop.state(), state, plan=loop.plan, partial=partial)
    loop.restore(joined)
    return said


def check_child(plan: RunPlan, state: State, *, partial: bool) -> None:
    """Whether a run of `plan` can go on from `state`. Raises ConfigError naming every problem."""
    check_components(plan)
    splits = load_splits(plan.data, allow=plan.allow_targets)
    system = resumable_system(plan, splits.spec)
    check_fit(plan, system, splits)
    if not partial and (unlike := differing(system.model.state_dict(), state["model"])):
        raise _misfit(plan, unlike)


@dataclass
class _Joining:
    """Two states on their way to one. weights_fit: whether the parent's optimizer knows the child's weights."""

    fresh: State
    parent: State
    plan: RunPlan
    joined: State
    said: list[str] = field(default_factory=list)
    weights_fit: bool = True

    @property
    def parent_plan(self) -> Mapping[str, Any]:
        """The parent's config; the child's own where the state does not tell it."""
        return mapping(self.parent.get(PLAN_KEY)) or self.plan.to_dict()

    def same(self, group: str, *, apart_from: Sequence[str] = ()) -> bool:
        """Whether parent and child chose the same option of a group with the same keys."""
        there, here = self.parent_plan, self.plan.to_dict()
        if there["choices"].get(group) != here["choices"].get(group):
            return False
        past, own = mapping(there.get(group)), mapping(here.get(group))
        return all(past.get(key) == own.get(key) for key in {*past, *own} - set(apart_from))


def join(fresh: State, parent: State, *, plan: RunPlan, partial: bool) -> tuple[State, list[str]]:
    """`fresh`, the state in which a run of `plan` would begin, with what fits of `parent`; and that in lines."""
    joining = _Joining(fresh, parent, plan, dict(fresh))
    _join_weights(joining, partial=partial)
    _join_criterion(joining)
    _join_place(joining)
    _join_average(joining)
    _join_optimizer(joining)
    _join_schedule(joining)
    if fresh.get("scaler") is not None and parent.get("scaler") is not None:
        joining.joined["scaler"] = parent["scaler"]
    return joining.joined, joining.said


def _join_weights(joining: _Joining, *, partial: bool) -> None:
    here, there = joining.fresh["model"], joining.parent["model"]
    unlike = differing(here, there)
    if unlike and not partial:
        raise _misfit(joining.plan, unlike)
    taken = {name: there[name] for name in here if name in there and there[name].shape == here[name].shape}
    joining.joined["model"] = {**here, **taken}
    joining.weights_fit = not unlike
    line = f"{len(taken)} tensors of weights taken over"
    anew = [name for name in here if name not in taken]
    if anew:
        line += f", {len(anew)} begin anew: {', '.join(anew[:_SHOWN])}{' ...' if len(anew) > _SHOWN else ''}"
    joining.said.append(line)


def _misfit(plan: RunPlan, unlike: Sequence[str]) -> ConfigError:
    rule = f"the parent's weights do not fit: {listed(unlike)}"
    fix = "--partial takes over those that fit, or drop the override"
    return ConfigError("model", plan.model.option, rule=rule, fix=fix)


def differing(here: Tensors, there: Tensors) -> list[str]:
    """The tensors that two networks do not share, each as `name (shape there -> shape here)`."""
    names = [*here, *(name for name in there if name not in here)]
    return [
        f"{name} ({_shape(there.get(name))} -> {_shape(here.get(name))})"
        for name in names
        if name not in here or name not in there or here[name].shape != there[name].shape
    ]


def listed(names: Sequence[str]) -> str:
    """The first few of them, and how many there are."""
    more = f" and {len(names) - _SHOWN} more ({len(names)} in all)" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _shape(tensor: torch.Tensor | None) -> str:
    return "none" if tensor is None else "x".join(map(str, tensor.shape)) or "a number"


def _join_criterion(joining: _Joining) -> None:
    """A loss whose state comes from other keys or other data than the parent's has its own."""
    here, there = joining.fresh["criterion"], joining.parent["criterion"]
    is_same = joining.same("loss", apart_from=_LOSS_NUMBERS) and joining.same("data", apart_from=_UNSEEN)
    if is_same and not differing(here, there):
        joining.joined["criterion"] = there
    elif here or there:
        joining.said.append("the loss's own state begins anew")


def _join_place(joining: _Joining) -> None:
    """Where training stands; on other data, at the beginning of the epoch."""
    parent = joining.parent
    if not joining.same("data", apart_from=_UNSEEN):
        joining.joined["position"] = {**parent["position"], "sample": 0}
        joining.said.append(f"other data: epoch {parent['position']['epoch'] + 1} begins at its first sample")
        return
    joining.joined.update({key: parent[key] for key in _CARRIED_ON})
    if joining.same("rescue") and "rescue" in parent:
        joining.joined["rescue"] = parent["rescue"]
    same_rows = joining.weights_fit and joining.parent_plan["batch_size"] == joining.plan.batch_size
    if same_rows and _names(parent["carried"]) == _names(joining.fresh["carried"]):
        joining.joined["carried"] = parent["carried"]


def _names(carried: Any) -> list[list[str]]:
    """Which modules carry a state on, by process."""
    return [sorted(own) for own in carried] if isinstance(carried, list) else [sorted(carried)]


def _join_average(joining: _Joining) -> None:
    average = joining.parent["average"]
    if joining.plan.regularization.ema is None or average is None:
        return
    if joining.weights_fit:
        joining.joined["average"] = average
    else:
        joining.said.append("the average of the weights begins anew")


def _join_optimizer(joining: _Joining) -> None:
    """Its memory, where it is the same optimizer over the same weights; its settings are the child's."""
    here, there = joining.fresh["optimizer"], joining.parent["optimizer"]
    if not joining.same("optimizer", apart_from=_NO_MEMORY):
        joining.said.append(f"optimizer={joining.plan.optimizer.option} begins without memory: it is another one")
    elif not joining.weights_fit or _sizes(here) != _sizes(there):
        joining.said.append("the optimizer begins without memory: it moves other weights")
    else:
        settings = {*joining.plan.optimizer.args, *_OF_A_GROUP}
        pairs = zip(here["param_groups"], there["param_groups"], strict=True)
        groups = [{**past, **{key: own[key] for key in own if key in settings}} for own, past in pairs]
        joining.joined["optimizer"] = {**there, "param_groups": groups}


def _sizes(optimizer: Mapping[str, Any]) -> list[int]:
    return [len(group["params"]) for group in optimizer["param_groups"]]


def _join_schedule(joining: _Joining) -> None:
    if not joining.parent["schedule"] and not joining.fresh["schedule"]:
        return
    if joining.same("schedule", apart_from=_SCHEDULE_NUMBERS):
        joining.joined["schedule"] = joining.parent["schedule"]
    elif joining.fresh["schedule"]:
        joining.said.append(f"schedule={joining.plan.schedule.option} begins without memory")
