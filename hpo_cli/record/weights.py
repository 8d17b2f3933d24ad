"""The files of a run's weights by their names alone, for who need not read them."""

from __future__ import annotations

import re
from pathlib import Path

from hpo_cli.errors import UserError
from hpo_cli.record.folder import CHECKPOINTS

AVERAGE = "average-"
"""File names of averaged weights begin so."""


def best_weights(folder: Path) -> Path | None:
    """The newest file of best weights, or of any weights when none are marked best; None where there are none."""
    files = numbered(folder / CHECKPOINTS, "best-") or numbered(folder / CHECKPOINTS, "step-")
    return files[-1] if files else None


def averaged_weights(folder: Path) -> Path:
    """The newest file of averaged weights. Raises UserError."""
    files = sorted((folder / CHECKPOINTS).glob(f"{AVERAGE}*.pt"))
    if not files:
        raise UserError(f"{folder}: no averaged weights; `hpo-run average {folder.name}` makes them")
    return files[-1]


def numbered(home: Path, prefix: str) -> list[Path]:
    """The run's own files of a kind: <prefix><step>.pt, and -2, -3, ... for more of one step. By step, then number.

    What somebody else put beside them under a name like theirs is not among them.
    """
    form = re.compile(re.escape(prefix) + r"[0-9]{8,}(-[0-9]+)?\.pt")
    return sorted((path for path in home.glob(f"{prefix}*.pt") if form.fullmatch(path.name)), key=order_of)


def order_of(path: Path) -> tuple[int, int]:
    """Step and number in the name of a file that `numbered` gave."""
    _, step, *number = path.stem.split("-")
    return int(step), int(number[0]) if number else 1
