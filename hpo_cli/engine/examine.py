"""The one place that touches the test split: a finished run's best model, evaluated once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from hpo_cli.engine import checkpoints
from hpo_cli.engine.backend import Backend
from hpo_cli.engine.batches import dtype_of, tensors
from hpo_cli.engine.evaluation import evaluate
from hpo_cli.engine.system import build_system, load_splits
from hpo_cli.errors import UserError
from hpo_cli.plan import RunPlan
from hpo_cli.record import ledger
from hpo_cli.record.folder import CHECKPOINTS


@dataclass(frozen=True)
class Examination:
    """What the test split said. checkpoint: the file that was examined, relative to the run's folder."""

    metrics: dict[str, float]
    checkpoint: str
    step: int


def examine(folder: Path, plan: RunPlan) -> Examination:
    """Evaluate the best checkpoint of a run and its plan on the test split; note it in the ledger."""
    path = best_checkpoint(folder)
    torch.set_num_threads(plan.trainer.threads or 1)
    splits = load_splits(plan.data, allow=plan.allow_targets)
    system = build_system(plan, splits.spec)
    state = checkpoints.load(path)
    system.model.load_state_dict(state["model"])
    dtype = dtype_of(plan)
    system.model.to(dtype)
    test = tensors(splits.test, device=torch.device("cpu"), dtype=dtype)
    metrics = {f"test/{name}": value for name, value in evaluate(system, test, backend=Backend()).items()}
    step = state["step"] if "step" in state else state["position"]["step"]
    checkpoint = str(path.relative_to(folder))
    ledger.append(folder, "tested", step=step, split="test", metrics=metrics, checkpoint=checkpoint)
    return Examination(metrics, checkpoint, step)


def best_checkpoint(folder: Path) -> Path:
    """The newest file of best weights, or of any weights when none are marked best."""
    files = sorted((folder / CHECKPOINTS).glob("best-*.pt")) or sorted((folder / CHECKPOINTS).glob("step-*.pt"))
    if not files:
        why = (
            "the run ended before its first checkpoint (checkpoint.every_minutes), or kept none (checkpoint.keep_best)"
        )
        raise UserError(f"{folder}: no checkpoint to test; {why}")
    return files[-1]
