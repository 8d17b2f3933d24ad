"""A sweep's record in its folder: the log that hpo-run's own sweeps have, so that its commands can read it."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hydra.errors import HydraException

from hpo_cli.options import conf_folder
from hpo_cli.sweep.begin import open_sweep
from hpo_cli.sweep.fold import SweepState, settings_from
from hpo_cli.sweep.log import Log, MemoryLog
from hpo_cli.sweep.search.contract import Aim
from hpo_cli.sweep.settings import SweepSettings
from hpo_cli.sweep.state import Trial, Values
from hydra_plugins.hpo_caviar._job import JOBS, Answer, read_answer
from hydra_plugins.hpo_caviar._search import search_name

if TYPE_CHECKING:
    from hydra_plugins.hpo_caviar._words import Words
    from hydra_plugins.hpo_caviar.caviar_sweeper import CaviarSweeperConf

_LOG = logging.getLogger(__name__)


class Record:
    """What is known of a sweep's trials. A trial's job number is that of its newest job; no number is used twice."""

    def __init__(self, folder: Path, state: SweepState, log: Log) -> None:
        self.folder, self.state, self._log = folder, state, log
        started = [trial.runs[0].started for trial in state.trials]
        self.next_job = 1 + max((event["job"] for event in started if event), default=-1)

    def propose(self, setting: dict[str, Any], words: Sequence[str], plan_id: str) -> Trial:
        """A new trial of a setting."""
        number = len(self.state.trials) + 1
        self._write(event="proposed", trial=number, setting=setting, plan_id=plan_id, words=list(words))
        return self.state.trial(number)

    def start(self, trials: Sequence[Trial]) -> int:
        """Each trial gets a job, with numbers in a row; the first of them."""
        first = self.next_job
        rows = [
            {"event": "started", "trial": trial.number, "run": 0, "job": first + index, "folder": str(first + index)}
            for index, trial in enumerate(trials)
        ]
        self._append(*rows)
        self.next_job += len(trials)
        return first

    def end(self, trial: Trial, status: str, *, values: Values | None = None, reason: str = "") -> None:
        """How a trial's job ended: finished, failed, lost (its process died) or interrupted (the sweep itself)."""
        answer = self.answer(trial)
        done = status == "finished"
        self._write(
            event="ended", trial=trial.number, run=0, status=status, epoch=int(done), values=values, reason=reason,
            reports=[[1, list(values)]] if done and values else [], seconds=answer.seconds if answer else 0.0,
        )  # fmt: skip

    def answer(self, trial: Trial) -> Answer | None:
        """What the trial's newest job has left."""
        started = trial.runs[0].started
        return read_answer(self.folder / JOBS, started["job"]) if started else None

    def forget_answers(self) -> None:
        """Remove what an unrecorded sweep of old has left for the numbers to come."""
        for path in (self.folder / JOBS).glob("*.json"):
            if path.stem.isdigit() and int(path.stem) >= self.next_job:
                path.unlink()

    def _write(self, **event: Any) -> None:
        self._append(event)

    def _append(self, *events: dict[str, Any]) -> None:
        with self._log.locked():
            self.state.replay(self._log.append(*events))


@contextmanager
def held_record(folder: Path, words: Words, options: CaviarSweeperConf, aims: Sequence[Aim]) -> Iterator[Record]:
    """The record in `folder`, begun where there is none, for this process alone. Raises HydraException if it is taken.

    A job of which nothing is varied is no sweep: Hydra runs it each time, in the same folder, and so do we.
    """
    (folder / JOBS).mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / JOBS / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _lock(descriptor, folder)
        begin = partial(_beginning, words=words, options=options, aims=aims)
        state, log = open_sweep(folder, begin) if words.space.dimensions else _unrecorded(folder, begin)
        _note_changes(state, log, words, options)
        yield Record(folder, state, log)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise HydraException(
            f"another process sweeps in {folder}: wait for it, or give another hydra.sweep.dir"
        ) from error


def _unrecorded(folder: Path, begin: Callable[[Path], dict[str, Any]]) -> tuple[SweepState, Log]:
    state, log = SweepState(folder), MemoryLog()
    state.replay(log.append({"event": "began", **begin(folder)}))
    return state, log


def _note_changes(state: SweepState, log: Log, words: Words, options: CaviarSweeperConf) -> None:
    """A later call may search otherwise: the trials of earlier ones inform it."""
    lines = words.space.differences(state.space)
    settings = _settings(words, options)
    if not lines and settings_from(settings) == state.settings:
        return
    for line in lines:
        _LOG.info("searched otherwise than before: %s", line)
    edit = {"event": "edited", "changes": lines, "who": "hydra", "space": words.space.to_json(), "settings": settings}
    with log.locked():
        state.replay(log.append(edit))


def _settings(words: Words, options: CaviarSweeperConf) -> dict[str, Any]:
    defaults = yaml.safe_load((conf_folder() / "sweep" / "default.yaml").read_text())
    own = {
        "option": "hydra", "search": search_name(options.search, words.space), "trials": options.trials,
        "seed": options.seed, "startup": options.startup, "duplicates": options.duplicates, "reduce": "last",
        "retries": options.retries,
    }  # fmt: skip
    return {field.name: {**defaults, **own}.get(field.name) for field in fields(SweepSettings)}


def _beginning(folder: Path, words: Words, options: CaviarSweeperConf, aims: Sequence[Aim]) -> dict[str, Any]:
    return {
        "name": folder.name,
        "words": list(words.fixed.values()),
        "space": words.space.to_json(),
        "settings": _settings(words, options),
        "aims": [vars(aim) for aim in aims],
        "inner": [{}],
        "size": words.space.size,
        "epochs": 1,
        "base": {"choices": {}, "config": {}},
    }
