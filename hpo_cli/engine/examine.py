"""The one place that touches the test split: a finished run's best model, evaluated once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hpo_cli.engine.backend import Backend
from hpo_cli.engine.evaluation import judge
from hpo_cli.engine.saved import Saved, load_saved
from hpo_cli.plan import RunPlan
from hpo_cli.record import ledger


@dataclass(frozen=True)
class Examination:
    """What the test split said. checkpoint: the file that was examined, relative to the run's folder."""

    metrics: dict[str, float]
    checkpoint: str
    step: int


def examine(folder: Path, plan: RunPlan, *, path: Path | None = None) -> Examination:
    """Evaluate a run's best checkpoint, or that in `path`, on the test split; note it in the ledger."""
    return examine_saved(load_saved(folder, plan, path=path))


def examine_saved(saved: Saved) -> Examination:
    """Evaluate a run on the test split and note it in its ledger."""
    found = judge(saved.system, saved.part("test"), backend=Backend())
    metrics = {f"test/{name}": value for name, value in found.items()}
    noted = {"split": "test", "metrics": metrics, "checkpoint": saved.checkpoint}
    ledger.append(saved.folder, "tested", step=saved.step, **noted)
    return Examination(metrics, saved.checkpoint, saved.step)
