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
from hpo_cli.record.folder import CHECKPOINTS
from hpo_cli.record.runs import find_run

_SHOWN = 4
"""At most so many tensors are named in an error."""


def prepare(plan: RunPlan, model: nn.Module) -> None:
    """Load `finetune.weights` into the model and freeze the layers that the plan holds still."""
    if plan.finetune.weights is not None:
        load_weights(model, weights_file(plan.finetune.weights, plan.outputs))
    freeze(model, plan.finetune.freeze)


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
        rule = f"is no checkpoint file and no run with weights ({error})"
        raise ConfigError("finetune.weights", ref, rule=rule, fix="hpo-run ls lists runs") from error


def best_checkpoint(folder: Path) -> Path:
    """The newest file of best weights, or of any weights when none are marked best."""
    files = sorted((folder / CHECKPOINTS).glob("best-*.pt")) or sorted((folder / CHECKPOINTS).glob("step-*.pt"))
    if not files:
        why = (
            "the run ended before its first checkpoint (checkpoint.every_minutes), or kept none (checkpoint.keep_best)"
        )
        raise UserError(f"{folder}: no checkpoint; {why}")
    return files[-1]


def weights_in(state: checkpoints.State) -> Mapping[str, torch.Tensor]:
    """The weights that a checkpoint's run would be judged by: its average if it keeps one, else its model.

    A file that is a state_dict itself is taken as it is.
    """
    model = state.get("model", state)
    if state.get("average"):
        return {**model, **state["average"]["average"]}
    return model if isinstance(model, Mapping) else {}


def load_weights(model: nn.Module, path: Path) -> None:
    """Fill the model from a checkpoint. The last layer may differ in shape or be missing: it keeps its own start.

    Raises ConfigError, naming tensors, when any other does not fit.
    """
    found = weights_in(checkpoints.load(path))
    wanted = model.state_dict()
    head = {f"{name}." for layer in layer_groups(model)[-1:] for name, _ in layer}
    fitting = {key: value for key, value in found.items() if key in wanted and value.shape == wanted[key].shape}
    missing = [key for key in wanted if key not in fitting and not any(key.startswith(name) for name in head)]
    if missing:
        named = ", ".join(_difference(key, wanted, found) for key in missing[:_SHOWN])
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        rule = f"does not fit this model: {named}{more}"
        raise ConfigError("finetune.weights", str(path), rule=rule, fix="choose the model that it was saved from")
    model.load_state_dict({**wanted, **fitting})


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
        for _, module in layer:
            module.requires_grad_(requires_grad=False)


def frozen_norms(plan: RunPlan, model: nn.Module) -> tuple[nn.Module, ...]:
    """The batch norms that keep their running statistics while training: all of them, or those of frozen layers."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if plan.finetune.freeze_norm and not norms:
        rule = f"model={plan.model.option} has no batch norm"
        raise ConfigError("finetune.freeze_norm", True, rule=rule, fix="leave it out")  # noqa: FBT003
    held = [norm for norm in norms if norm.weight is not None and not norm.weight.requires_grad]
    return tuple(norms if plan.finetune.freeze_norm else held)
