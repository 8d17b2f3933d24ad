"""A run's saved weights, live again: the system, its data, and which checkpoint they came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from hpo_cli.components.data.arrays import Splits
from hpo_cli.engine import checkpoints
from hpo_cli.engine.assembly import blank_system, load_splits
from hpo_cli.engine.batches import Pair, dtype_of, tensors
from hpo_cli.engine.finetuning import best_checkpoint, weights_in
from hpo_cli.engine.system import System
from hpo_cli.plan import RunPlan


@dataclass(frozen=True)
class Saved:
    """A run to be judged, on the CPU. checkpoint: the file of its weights, relative to its folder."""

    folder: Path
    plan: RunPlan
    system: System
    splits: Splits
    checkpoint: str
    step: int

    def part(self, name: str) -> Pair:
        """The samples of `train`, `val` or `test`, standardised as the run had them."""
        return tensors(getattr(self.splits, name), device=torch.device("cpu"), dtype=dtype_of(self.plan))


def load_saved(folder: Path, plan: RunPlan, *, path: Path | None = None, splits: Splits | None = None) -> Saved:
    """The run with the weights of its best checkpoint, or of `path`.

    splits: the plan's data, where they are loaded already. Raises UserError, and whatever torch says of weights that
    do not fit the plan.
    """
    path = path or best_checkpoint(folder)
    torch.set_num_threads(plan.trainer.threads or 1)
    state = checkpoints.load(path)
    splits = splits or load_splits(plan.data, allow=plan.allow_targets)
    system = blank_system(plan, splits.spec)
    system.model.load_state_dict(weights_in(state))
    if state.get("criterion"):
        system.criterion.load_state_dict(state["criterion"])
    for module in (system.model, system.criterion):
        module.to(dtype_of(plan))
    return Saved(folder, plan, system, splits, str(path.relative_to(folder)), step_of(state))


def step_of(state: checkpoints.State) -> int:
    """The optimizer step at which a checkpoint's weights were taken."""
    step: int = state["step"] if "step" in state else state["position"]["step"]
    return step
