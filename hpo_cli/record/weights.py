"""The files of a run's weights by their names alone, for who need not read them."""

from __future__ import annotations

from pathlib import Path

from hpo_cli.errors import UserError
from hpo_cli.record.folder import CHECKPOINTS

AVERAGE = "average-"
"""File names of averaged weights begin so."""


def best_weights(folder: Path) -> Path | None:
    """The newest file of best weights, or of any weights when none are marked best; None where there are none."""
    files = sorted((folder / CHECKPOINTS).glob("best-*.pt")) or sorted((folder / CHECKPOINTS).glob("step-*.pt"))
    return files[-1] if files else None


def averaged_weights(folder: Path) -> Path:
    """The newest file of averaged weights. Raises UserError."""
    files = sorted((folder / CHECKPOINTS).glob(f"{AVERAGE}*.pt"))
    if not files:
        raise UserError(f"{folder}: no averaged weights; `hpo-run average {folder.name}` makes them")
    return files[-1]
