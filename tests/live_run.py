"""A run's folder that lives: a process holds its lease, writes rows and answers commands, and trains nothing.

`python -m tests.live_run FOLDER` does so until it is stopped by a command or a signal.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpo_cli.compose import compose
from hpo_cli.record import ledger
from hpo_cli.record.lease import Lease
from hpo_cli.steer.commands import Command, acknowledge, read_inbox
from hpo_cli.validate import plan_from_config
from tests.run_folders import Run, make_run

TOTAL, PER_EPOCH = 4000, 40


def make_live_run(root: Path, run: Run | None = None, *words: str) -> Path:
    """The folder of a run that has just begun, with the whole plan that `words` make."""
    composition = compose(["lr=0.001", *words])
    plan = plan_from_config(composition.job, choices=composition.choices).to_dict()
    run = run or Run(status="running", epochs=0)
    return make_run(root, replace(run, plan=tuple(plan.items())))


def row_at(step: int, *, lr: float = 0.001) -> dict[str, Any]:
    """One row of metrics of a run that goes well."""
    share = step / 1000
    row = {
        "step": step,
        "epoch": step // PER_EPOCH,
        "train/loss": 2.3 * math.exp(-2 * share) * (1 + 0.1 * math.sin(step)),
        "lr": lr,
        "train/grad_norm": 1.0 + 0.5 * math.sin(step / 7),
        "train/update_ratio": 8e-4,
    }
    is_epoch = step % PER_EPOCH == 0
    return row | (
        {"val/loss": 2.3 * math.exp(-1.8 * share) + 0.05, "val/accuracy": 1 - math.exp(-3 * share)} if is_epoch else {}
    )


def append_rows(folder: Path, rows: list[dict[str, Any]]) -> None:
    with (folder / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


@contextmanager
def held(folder: Path, **fields: object) -> Iterator[Lease]:
    """This process holds the run's lease, as training does."""
    with Lease.acquire(folder) as lease:
        lease.beat(status="running", step=0, total=TOTAL, epoch=0, epochs=100, steps_per_second=312.3, **fields)
        yield lease


class LiveRun:
    """State of the pretended training."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.step, self.lr, self.status = folder, 0, 0.001, "running"

    def advance(self, steps: int) -> None:
        append_rows(self.folder, [row_at(step, lr=self.lr) for step in range(self.step + 1, self.step + steps + 1)])
        self.step += steps

    def obey(self, command: Command) -> None:
        said, knobs = getattr(self, f"_{command.verb}")(command)
        acknowledge(self.folder, command.id, ok=True, step=self.step, said=said, knobs=knobs, lr=self.lr)

    def _nudge(self, command: Command) -> tuple[list[str], dict[str, Any]]:
        op, value = command.args["changes"]["lr"]
        old, self.lr = self.lr, {"=": value, "/=": self.lr / value, "*=": self.lr * value}[op]
        knobs = {"lr": {"old": old, "new": self.lr}}
        ledger.append(
            self.folder, "nudged", step=self.step, id=command.id, knobs=knobs, who=command.who, why=command.why
        )
        return [], knobs

    def _pause(self, _: Command) -> tuple[list[str], dict[str, Any]]:
        self.status = "paused"
        return [f"paused after step {self.step}"], {}

    def _unpause(self, _: Command) -> tuple[list[str], dict[str, Any]]:
        self.status = "running"
        return ["goes on"], {}

    def _checkpoint(self, command: Command) -> tuple[list[str], dict[str, Any]]:
        tag, file = command.args.get("tag", ""), f"checkpoints/kept-{self.step}.pt"
        ledger.append(self.folder, "checkpointed", step=self.step, file=file, tag=tag, kept=True, line=[])
        return [f"step {self.step}: saved as {file}"], {}

    def _rollback(self, command: Command) -> tuple[list[str], dict[str, Any]]:
        back = command.args["to"].get("back", 0)
        to = command.args["to"].get("step", self.step - back)
        chain = [event["id"] for event in ledger.read_ledger(self.folder).events if event["event"] == "nudged"]
        alive = [name for name in chain if self._step_of(name) < to]
        ledger.append(
            self.folder, "rolled_back", step=self.step, id=command.id, to=to, line=alive, who=command.who, why=""
        )
        marker = {"event": "rolled_back", "step": to, "from": self.step, "since": None}
        append_rows(self.folder, [marker])
        said, self.step = f"back from step {self.step} to step {to}", to
        return [said], {}

    def _step_of(self, name: str) -> int:
        events = ledger.read_ledger(self.folder).events
        return next(int(event["step"]) for event in events if event.get("id") == name)

    def _stop(self, _: Command) -> tuple[list[str], dict[str, Any]]:
        self.status = "stopped"
        return [f"stopped at step {self.step}, its state is saved"], {}


def main(folder: Path, *, per_tick: int = 5) -> None:
    run = LiveRun(folder)
    with held(folder) as lease:
        while run.status != "stopped" and run.step < TOTAL:
            if run.status == "running":
                run.advance(per_tick)
            for command in read_inbox(folder).commands:
                run.obey(command)
            lease.beat(step=run.step, epoch=run.step // PER_EPOCH, status=run.status)
            time.sleep(0.1)
    ledger.append(folder, "stopped" if run.status == "stopped" else "finished", step=run.step)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
