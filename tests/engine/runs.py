"""A whole run in a folder of its own, and what it left."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hpo_cli.engine import checkpoints
from hpo_cli.engine.progress import SilentReporter
from hpo_cli.engine.run import run
from hpo_cli.engine.stop import StopFlag
from hpo_cli.engine.train import Training
from hpo_cli.record import ledger
from hpo_cli.record.metrics import read_metrics
from tests.engine.plans import SMALL, folder_for, varied

if TYPE_CHECKING:
    from pathlib import Path

    from hpo_cli.engine.progress import Outcome
    from hpo_cli.plan import RunPlan

RICH = (
    *("model.norm=batch", "regularization.dropout=0.2", "regularization.clip_norm=1", "batch.accumulate=2"),
    *("schedule.warmup_steps=2", "batch_size=30", *SMALL),
)
"""Six steps in two epochs, with all that has a memory."""


class Ran:
    """A run that was started, and what it left."""

    def __init__(self, plan: RunPlan, tmp_path: Path) -> None:
        self.plan = varied(plan, "", outputs=str(tmp_path / "outputs"))
        self.stop = StopFlag()
        self.training = Training(self.plan, reporter=SilentReporter(), stop=self.stop)
        self.folder = folder_for(self.plan)

    def go(self) -> Outcome:
        return run(self.training, self.folder)

    @property
    def rows(self) -> list[dict[str, Any]]:
        return read_metrics(self.folder / "metrics.jsonl")

    @property
    def result(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "result.json").read_text()))

    @property
    def events(self) -> list[dict[str, Any]]:
        return list(ledger.read_ledger(self.folder).events)

    def files(self, pattern: str) -> list[Path]:
        return sorted((self.folder / "checkpoints").glob(pattern))

    def saved(self, pattern: str) -> dict[str, Any]:
        return checkpoints.load(self.files(pattern)[-1])


Start = "Callable[[RunPlan], Ran]"
"""What the fixture `start` is."""
