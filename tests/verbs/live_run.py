"""A live run for the steering verbs: a real folder and lease, and a thread that answers as the engine would."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import yaml

from hpo_cli.record.lease import Lease
from hpo_cli.record.ledger import append
from hpo_cli.steer.commands import Command, Inbox, acknowledge
from tests.command_line import compose_and_check
from tests.run_folders import Run, make_run

Answer = Callable[[Command], dict[str, Any] | None]


@functools.cache
def config_of(*words: str) -> dict[str, Any]:
    """The content of the plan's file of a run with these words."""
    return compose_and_check(*words).plan.to_dict()


def run_folder(outputs: Path, *words: str, status: str = "running", run_id: str = "3f9c12") -> Path:
    """A run's folder with a plan that can be checked."""
    folder = make_run(outputs, Run(id=run_id, status=status, overrides=words))
    (folder / "plan.yaml").write_text(yaml.safe_dump(config_of(*words)))
    return folder


class LiveRun:
    """Answers each command as `answer` says while the block runs; no answer where that is None."""

    def __init__(self, folder: Path, answer: Answer | None = None) -> None:
        self.folder, self.seen = folder, list[Command]()
        self.answer: Answer = answer or (lambda command: {"ok": True, "step": 40, "said": [f"{command.verb} done"]})
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True)

    def __enter__(self) -> Self:
        self._lease = Lease.acquire(self.folder)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._lease.release()

    def pause(self) -> None:
        """Say in the lease that the run waits."""
        self._lease.beat(status="paused")

    def beat(self, **fields: object) -> None:
        """Say something in the lease."""
        self._lease.beat(**fields)

    def end(self) -> None:
        """Give the lease up and answer nobody any more."""
        self._over.set()
        self._lease.release()

    def _live(self) -> None:
        inbox, known = Inbox(self.folder), set[str]()
        while not self._over.wait(0.01):
            for command in inbox.read().commands:
                if command.id in known:
                    continue
                known.add(command.id)
                self.seen.append(command)
                if (found := self.answer(command)) is not None:
                    acknowledge(self.folder, command.id, **found)


def nudged(folder: Path, **knobs: Any) -> None:
    """An event of the ledger as a nudge leaves it. knobs: new values; `__` stands for a dot."""
    changes = {key.replace("__", "."): {"old": None, "new": value} for key, value in knobs.items()}
    append(folder, "nudged", step=20, id=f"{20:020d}-00000000", knobs=changes, who="ada@laptop", why="")
