"""A recorder in an empty run folder, and states to give it, without any training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from hpo_cli.engine.patience import Patience
from hpo_cli.engine.recorder import FolderRecorder
from hpo_cli.plan import CheckpointPlan
from hpo_cli.record import ledger
from hpo_cli.record.line import Line, living_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpo_cli.record.ledger import Event


def state_of(step: int, *, size: int = 8) -> dict[str, Any]:
    """A state whose every number is its step."""
    weights = {"w": torch.full((size,), float(step))}
    return {"model": weights, "position": {"step": step, "epoch": 0, "sample": 0}, "rates": [1e-3, None]}


def empty_run(folder: Path) -> Path:
    """A run's folder with its first line."""
    (folder / "checkpoints").mkdir(parents=True)
    ledger.append(folder, "started", step=0)
    return folder


def recorder_in(
    folder: Path,
    *,
    patience: Patience | None = None,
    after: int | None = None,
    guard: Callable[[], None] | None = None,
    **keep: int,
) -> Any:
    """A FolderRecorder for `folder`. keep: keep_last, keep_best."""
    plan = CheckpointPlan(every_steps=None, every_minutes=None, **{"keep_last": 2, "keep_best": 1, **keep})
    return FolderRecorder(folder, plan, after=after, patience=patience, guard=guard)


def events_of(folder: Path, kind: str | None = None) -> list[Event]:
    """The ledger's events, or those of one kind."""
    return [event for event in ledger.read_ledger(folder).events if kind in (None, event["event"])]


def line_of(folder: Path) -> Line:
    """What of the ledger is in force."""
    return living_line(ledger.read_ledger(folder).events)


def names_in(folder: Path) -> list[str]:
    """The entries of `checkpoints/`, hidden ones too."""
    return sorted(path.name for path in (folder / "checkpoints").iterdir())
