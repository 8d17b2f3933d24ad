"""A whole run in a folder of its own, and what it left."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any, TypeAlias

from hpo_cli.engine import checkpoints, orders, steering
from hpo_cli.engine.course import with_machine
from hpo_cli.engine.knobs import set_knobs
from hpo_cli.engine.progress import SilentReporter
from hpo_cli.engine.run import run
from hpo_cli.engine.stop import StopFlag
from hpo_cli.engine.train import Training
from hpo_cli.record import ledger
from hpo_cli.record.metrics import read_metrics
from hpo_cli.steer.commands import read_ack, send
from hpo_cli.validate import plan_from_config
from tests.engine.plans import SMALL, folder_for, new_loop, varied

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import pytest

    from hpo_cli.engine.loop import TrainingLoop
    from hpo_cli.engine.progress import Outcome
    from hpo_cli.plan import RunPlan

RICH = (
    *("model.norm=batch", "regularization.dropout=0.2", "regularization.clip_norm=1", "batch.accumulate=2"),
    *("schedule.warmup_steps=2", "batch_size=30", *SMALL),
)
"""Six steps in two epochs, with all that has a memory."""


class Watching(SilentReporter):
    """Does things at rows of metrics: what it sends then is read at the boundary of that step, once."""

    def __init__(self) -> None:
        self.at: dict[int, list[Callable[[], object]]] = {}
        self.notes: list[str] = []

    def noted(self, text: str) -> None:
        self.notes.append(text)

    def measured(self, row: Mapping[str, Any]) -> None:
        for action in self.at.pop(row["step"], ()):
            action()


class Ran:
    """A run that was started, and what it left."""

    def __init__(self, plan: RunPlan, tmp_path: Path, *, folder: Path | None = None) -> None:
        self.plan = varied(plan, "", outputs=str(tmp_path / "outputs"))
        self.stop, self.reporter = StopFlag(), Watching()
        events = ledger.read_ledger(folder).events if folder else ()
        self.training = Training(
            with_machine(self.plan, events), reporter=self.reporter, stop=self.stop, check=plan_from_config,
            folder=folder,
        )  # fmt: skip
        self.folder = folder or folder_for(self.plan)
        self.sent: list[str] = []

    def go(self) -> Outcome:
        return run(self.training, self.folder)

    def again(self) -> Ran:
        """The same run in another process: it goes on from what is in the folder."""
        return Ran(self.plan, self.folder.parents[2], folder=self.folder)

    def do(self, step: int, action: Callable[[], object]) -> None:
        """Call something after optimizer step `step`, before what happens at that boundary; 0: now."""
        if step == 0:
            action()
        else:
            self.reporter.at.setdefault(step, []).append(action)

    def send(self, step: int, verb: str, *, why: str = "", **args: Any) -> None:
        """Let somebody send a command that the run finds at the boundary after step `step`."""
        self.do(step, lambda: self.sent.append(send(self.folder, verb, args, who="ada@lab", why=why)))

    def nudge(self, step: int, **knobs: Any) -> None:
        """Let somebody set knobs there; `__` stands for a dot."""
        self.send(step, "nudge", changes={key.replace("__", "."): ["=", value] for key, value in knobs.items()})

    def kill(self, step: int, *, to: Path) -> None:
        """Keep what a kill at that moment would leave, in a folder `to`; this run goes on."""

        def copy() -> None:
            self.training._recorder.join()
            shutil.copytree(self.folder, to)
            for lease in (to / "control").glob("lease-*"):
                lease.unlink()

        self.do(step, copy)

    def answer(self, index: int = -1) -> dict[str, Any]:
        """What the sender of a command was told."""
        found = read_ack(self.folder, self.sent[index])
        assert found is not None, self.sent
        return found

    def told(self, kind: str) -> list[dict[str, Any]]:
        """The events of a kind."""
        return [event for event in self.events if event["event"] == kind]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return read_metrics(self.folder / "metrics.jsonl")

    @property
    def result(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "result.json").read_text()))

    @property
    def sha(self) -> str:
        return str(self.result["weights_sha256"])

    @property
    def events(self) -> list[dict[str, Any]]:
        return list(ledger.read_ledger(self.folder).events)

    def files(self, pattern: str) -> list[Path]:
        return sorted((self.folder / "checkpoints").glob(pattern))

    def saved(self, pattern: str) -> dict[str, Any]:
        return checkpoints.load(self.files(pattern)[-1])


def resumed(folder: Path, *, of: Ran) -> Ran:
    """Go on with what a kill left of a run."""
    ran = Ran(of.plan, of.folder.parents[2], folder=folder)
    ran.go()
    return ran


def poll_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs look for commands at every step boundary, not five times a second."""
    monkeypatch.setattr(steering, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(orders, "POLL_SECONDS", 0.01)


Start: TypeAlias = "Callable[[RunPlan], Ran]"
"""What the fixture `start` is."""


def knobs(**values: Any) -> Callable[[TrainingLoop], None]:
    """Set knobs of a loop by hand, no ledger asked; `__` stands for a dot."""
    given = {key.replace("__", "."): value for key, value in values.items()}

    def act(loop: TrainingLoop) -> None:
        set_knobs(loop.system, given)
        loop.retune()

    return act


def skip(num_batches: int) -> Callable[[TrainingLoop], None]:
    """Jump over batches by hand."""
    return lambda loop: loop.skip(num_batches)


def by_hand(
    plan: RunPlan, script: Mapping[int, list[Callable[[TrainingLoop], None]]], *, stop: int | None = None
) -> TrainingLoop:
    """A bare loop that nobody steers, trained from the seed while a hand does things at step boundaries."""
    loop = new_loop(plan)
    loop.begin()
    while True:
        for act in script.get(loop.position.step, ()):
            act(loop)
        if loop.finished or loop.position.step == stop:
            return loop
        loop.advance(1, StopFlag())
