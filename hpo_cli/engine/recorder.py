"""Writes what the loop finds into the run's folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hpo_cli.engine import checkpoints
from hpo_cli.plan import CheckpointPlan
from hpo_cli.record import ledger
from hpo_cli.record.folder import CHECKPOINTS, LEDGER, METRICS
from hpo_cli.record.metrics import MetricsWriter

Row = Mapping[str, Any]
KEEP_IN_MEMORY = 256 << 20
"""Best weights up to this size wait in memory for the next checkpoint; larger ones are written at once."""


class FolderRecorder:
    """Rows go to metrics.jsonl, checkpoints to `checkpoints/`, both with a line in the ledger where one is due.

    The best weights are copied in memory when they improve and written with the next checkpoint: a run that is
    killed in between goes on from an earlier checkpoint and finds them again.
    """

    def __init__(self, folder: Path, plan: CheckpointPlan, *, mirror: Callable[[Row], None] | None = None) -> None:
        self._folder, self._plan, self._mirror = folder, plan, mirror
        self._metrics = MetricsWriter(folder / METRICS)
        self._best: dict[int, Mapping[str, Any]] = {}

    def row(self, row: Row) -> None:
        """See loop.Recorder."""
        self._metrics.append(row)
        if any(name.startswith("val/") for name in row):
            self._metrics.flush()
        if self._mirror is not None:
            self._mirror(row)

    def improved(self, step: int, state: Mapping[str, Any]) -> None:
        """See loop.Recorder."""
        if not self._plan.keep_best:
            return
        self._best[step] = checkpoints.snapshot(dict(state))
        for old in sorted(self._best)[: -self._plan.keep_best]:
            del self._best[old]
        if sum(tensor.nbytes for tensor in state["model"].values()) > KEEP_IN_MEMORY:
            self._write_best()

    def checkpoint(self, state: Mapping[str, Any], *, step: int, epoch: int) -> None:
        """See loop.Recorder."""
        self._metrics.sync()
        self._write_best()
        recorded = {file: (self._folder / file).stat().st_size for file in (LEDGER, METRICS)}
        self._write(checkpoints.last_name(step), {**state, "recorded_bytes": recorded}, step=step, epoch=epoch)
        checkpoints.prune(self._folder / CHECKPOINTS, prefix="step-", keep=self._plan.keep_last)

    def _write_best(self) -> None:
        for step, state in sorted(self._best.items()):
            name = checkpoints.best_name(step)
            if not (self._folder / CHECKPOINTS / name).exists():
                self._write(name, {**state, "step": step}, step=step)
        checkpoints.prune(self._folder / CHECKPOINTS, prefix="best-", keep=self._plan.keep_best)
        self._best.clear()

    def _write(self, name: str, state: Mapping[str, Any], *, step: int, **fields: int) -> None:
        path = self._folder / CHECKPOINTS / name
        checkpoints.save(path, dict(state))
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        ledger.append(self._folder, "checkpointed", step=step, file=f"{CHECKPOINTS}/{name}", sha256=digest, **fields)

    def close(self) -> None:
        """Bring what is in memory to disk; after a failure that is the best weights too."""
        try:
            self._write_best()
        finally:
            self._metrics.close()


class NullRecorder:
    """For processes that do not write: all but the first of several."""

    def row(self, row: Row) -> None:
        """See loop.Recorder."""

    def improved(self, step: int, state: Mapping[str, Any]) -> None:
        """See loop.Recorder."""

    def checkpoint(self, state: Mapping[str, Any], *, step: int, epoch: int) -> None:
        """See loop.Recorder."""

    def close(self) -> None:
        """See FolderRecorder."""
