"""What a job leaves on disk as it goes, wherever its launcher runs it: a killed sweep or launcher loses no result."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

from hpo_cli.record.atomic import write_json

JOBS = ".caviar"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What is known of a job. status: began, finished, failed. value: what it returned, where JSON knows its type."""

    status: str
    value: Any = None
    reason: str = ""
    seconds: float = 0.0


class RecordedTask:
    """The app's function, with a file for every job in `folder`. Pickles when the function does."""

    def __init__(self, task: Callable[[Any], Any], folder: Path) -> None:
        self.task, self.folder = task, folder
        self.__name__ = getattr(task, "__name__", type(task).__name__)

    def __call__(self, config: Any) -> Any:
        """Run the app's function; an exit with a code is a failure of this job alone."""
        hydra = HydraConfig.get()
        number, words = hydra.job.num, " ".join(hydra.overrides.task)
        began = time.perf_counter()
        self._note(number, Answer("began"))
        try:
            value = _outcome(self.task, config)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            self._note(number, Answer("failed", None, reason, time.perf_counter() - began))
            log.exception("job %s failed (%s)", number, words)
            raise
        self._note(number, Answer("finished", _plain(value), "", time.perf_counter() - began))
        return value

    def _note(self, number: int, answer: Answer) -> None:
        with contextlib.suppress(OSError):  # a job on another machine may not reach the folder: its launcher tells
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(self.folder / f"{number}.json", vars(answer))


def read_answer(folder: Path, number: int) -> Answer | None:
    """What a job has left; None: it never began."""
    try:
        return Answer(**json.loads((folder / f"{number}.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _outcome(task: Callable[[Any], Any], config: Any) -> Any:
    try:
        return task(config)
    except SystemExit as stop:
        if stop.code in (None, 0):
            return None
        raise RuntimeError(f"exited with {stop.code}") from stop


def _plain(value: Any) -> Any:
    """The value where JSON gives it back, numbers of other kinds as floats, else None."""
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
