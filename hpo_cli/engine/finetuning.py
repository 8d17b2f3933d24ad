"""Starting from weights that another run saved, and holding layers still."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hpo_cli.components.layers import layer_groups
from hpo_cli.engine import checkpoints
from hpo_cli.errors import ConfigError, UserError
from hpo_cli.plan import RunPlan
from hpo_cli.record.runs import find_run
from hpo_cli.record.weights import best_weights

_SHOWN = 4
"""At most so many tensors are named in an error."""


def prepare(plan: RunPlan, model: nn.Module, *, class_names: tuple[str, ...] | None) -> str:
    """Load `finetune.weights` into the model and freeze the layers that the plan holds still.

    Gives a line that says what was taken, empty when training starts from scratch.
    """
    said = ""
    if plan.finetune.weights is not None:
        path = weights_file(plan.finetune.weights, plan.outputs)
        said = load_weights(model, path, class_names=class_names)
    freeze(model, plan.finetune.freeze)
    return said


def weights_file(ref: str, outputs: str) -> Path:
    """The checkpoint that `finetune.weights` means: a file, or the best one of a run. Raises ConfigError."""
    path = Path(ref).expanduser()
    if path.is_file():
        return path
    if ref.partition(":")[0] in ("last", "best"):
        rule = "may mean another run tomorrow, and a run must say what it started from"
        raise ConfigError("finetune.weights", ref, rule=rule, fix="give the run's id: hpo-run ls")
    try:
        return best_checkpoint(path if path.is_dir() else find_run(ref, outputs))
    except UserError as error:
        rule = f"is no checkpoint file, and no run in {outputs} with weights has this id or path"
        raise ConfigError("finetune.weights", ref, rule=rule, fix="hpo-run ls lists runs") from error


def best_checkpoint(folder: Path) -> Path:
    """The newest file of best weights, or of any weights when none are marked best."""
    path = best_weights(folder)
    if path is None:
        why = (
            "the run ended before its first checkpoint (checkpoint.every_minutes), or kept none (checkpoint.keep_best)"
        )
        raise UserError(f"{folder}: no checkpoint; {why}")
    return path


def weights_in(state: checkpoints.State) -> Mapping[str, torch.Tensor]:
    """The weights that a checkpoint's run would be judged by: its average if it keeps one, else its model.

    A file that is a state_dict itself is taken as it is. Raises UserError for one that holds no tensors by name.
    """
    model = state.get("judged") or state.get("model", state)
    average = state.get("average")
    averaged = average.get("average") if isinstance(average, Mapping) else None
    found = {**_mapping(model), **_mapping(averaged or {})}
    if not found or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise UserError("it holds no weights by name")
    return found


def _mapping(value: object) -> Mapping[str, torch.Tensor]:
    return value if isinstance(value, Mapping) else {}


def load_weights(model: nn.Module, path: Path, *, class_names: tuple[str, ...] | None = None) -> str:
    """Fill the model from a checkpoint; what was taken, in words.

    The last layer keeps its own start where its shape differs, where it is missing, and where the file was trained
    on other classes than `class_names`. Raises ConfigError, naming tensors, when anything else does not fit.
    """
    try:
        state = checkpoints.load(path)
        found = weights_in(state)
    except UserError as error:
        rule = f"is no checkpoint with weights ({error})"
        raise ConfigError("finetune.weights", str(path), rule=rule, fix="hpo-run ls lists runs") from error
    wanted = model.state_dict()
    head = {name.rpartition(".")[0] + "." for layer in layer_groups(model)[-1:] for name, _ in layer}
    same_head = _same_head(found, wanted, head) and state.get("class_names") in (None, list(class_names or ()))
    taken = {key: value for key, value in found.items() if same_head or not _inside(key, head)}
    _check_weights(path, taken, {key: value for key, value in wanted.items() if same_head or not _inside(key, head)})
    model.load_state_dict({**wanted, **taken})
    return f"{path}: {len(taken)} tensors" + ("" if same_head else ", the last layer starts anew")


def _same_head(found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], head: set[str]) -> bool:
    keys = [key for key in wanted if _inside(key, head)]
    return all(key in found and found[key].shape == wanted[key].shape for key in keys)


def _inside(key: str, prefixes: set[str]) -> bool:
    return any(key.startswith(prefix) for prefix in prefixes)


def _check_weights(path: Path, found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> None:
    """Refuse tensors that differ in shape, are missing or too many, or hold numbers that are not finite."""
    fix = "choose the model and the data that it was saved from"
    wrong = [key for key in wanted if key not in found or found[key].shape != wanted[key].shape]
    if wrong:
        rule = f"does not fit this model: {_listed([_difference(key, wanted, found) for key in wrong])}"
        raise ConfigError("finetune.weights", str(path), rule=rule, fix=fix)
    if more := [key for key in found if key not in wanted]:
        rule = f"has what this model has not: {_listed(more)}"
        raise ConfigError("finetune.weights", str(path), rule=rule, fix=fix)
    if bad := [key for key, value in found.items() if not value.isfinite().all()]:
        raise ConfigError(
            "finetune.weights", str(path), rule=f"holds NaN or infinity: {_listed(bad)}", fix="take another"
        )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _difference(key: str, wanted: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> str:
    here = "x".join(map(str, wanted[key].shape)) or "a number"
    return f"{key} ({here} here, {'x'.join(map(str, found[key].shape)) if key in found else 'not there'})"


def freeze(model: nn.Module, num_layers: int) -> None:
    """Take the first `num_layers` layers out of training; -1 means all but the last. Raises ConfigError."""
    if not num_layers:
        return
    layers = layer_groups(model)
    if num_layers >= len(layers):
        rule = f"leaves nothing to train: the model has {len(layers)} layers"
        raise ConfigError("finetune.freeze", num_layers, rule=rule, fix=f"set at most {len(layers) - 1}")
    for layer in layers[: num_layers if num_layers >= 0 else len(layers) - 1]:
        for _, parameter in layer:
            parameter.requires_grad = False


def frozen_norms(plan: RunPlan, model: nn.Module) -> tuple[nn.Module, ...]:
    """The batch norms that keep their running statistics while training: all of them, or those of frozen layers."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if plan.finetune.freeze_norm and not norms:
        rule = f"model={plan.model.option} has no batch norm"
        raise ConfigError("finetune.freeze_norm", True, rule=rule, fix="leave it out")  # noqa: FBT003
    held = [norm for norm in norms if norm.weight is not None and not norm.weight.requires_grad]
    return tuple(norms if plan.finetune.freeze_norm else held)
