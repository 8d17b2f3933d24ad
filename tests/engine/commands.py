"""Starting the command in a process of its own, and waiting for what it writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo_cli.engine import checkpoints
from hpo_cli.record import ledger
from hpo_cli.record.metrics import read_metrics

if TYPE_CHECKING:
    import signal

ROOT = Path(__file__).parents[2]
LIMIT_S = 180


@dataclass
class Command:
    """A training command that was started."""

    process: subprocess.Popen[bytes]
    folder: Path

    def wait_for_rows(self, num_rows: int = 1) -> None:
        """Return when training has written this many rows."""
        until = time.monotonic() + LIMIT_S
        while not (self.folder / "metrics.jsonl").exists() or len(self.rows) < num_rows:
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < until
            time.sleep(0.05)

    def signal(self, number: signal.Signals) -> int:
        """Send a signal; the exit code that follows."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """The exit code."""
        return self.process.wait(timeout=LIMIT_S)

    def output(self) -> str:
        """What it printed so far."""
        return (self.folder.parent / f"{self.folder.name}.out").read_text()

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of metrics.jsonl."""
        return read_metrics(self.folder / "metrics.jsonl")

    @property
    def result(self) -> dict[str, Any]:
        """result.json."""
        return dict(json.loads((self.folder / "result.json").read_text()))

    @property
    def events(self) -> list[dict[str, Any]]:
        """The ledger."""
        return list(ledger.read_ledger(self.folder).events)

    def state(self) -> dict[str, Any]:
        """The newest checkpoint."""
        return checkpoints.load(max((self.folder / "checkpoints").glob("step-*.pt")))


def start_command(folder: Path, *words: str) -> Command:
    """Start `hpo-run` with these words; the run is in `folder`, which must not exist."""
    command = [sys.executable, "-m", "hpo_cli.cli", *words, "trainer.threads=1", f"hydra.run.dir={folder}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HPO_RUN_OUTPUTS": str(folder.parent)}
    with (folder.parent / f"{folder.name}.out").open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    return Command(process, folder)


def group_is_empty(group: int) -> bool:
    """Whether no process of this group or session is left."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if fields[0] != "Z" and group in (int(fields[2]), int(fields[3])):
                return False
    return True
