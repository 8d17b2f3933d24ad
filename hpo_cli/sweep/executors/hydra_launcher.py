"""Trains by any launcher that Hydra finds (basic, joblib, submitit, ...): in batches, for that is what launchers take.

A batch begins when the one before it has ended; the jobs of a batch are told as they end, where the launcher's
processes share this folder. `jobs/` in the sweep's folder has a file for each job, and what Hydra writes.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Self

from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode
from omegaconf.errors import OmegaConfBaseException

from hpo_cli.errors import ConfigError
from hpo_cli.sweep.executors.contract import Ended, Job, Row
from hpo_cli.sweep.executors.folder_rows import FolderRows
from hpo_cli.sweep.executors.hydra_job import DoJob, close_here, write_job

JOBS = "jobs"
CLOSE_S = 60.0
"""How long `close` lets jobs save before it ends them."""
_POLL_S = 0.05
_FIX = "see hydra.launcher.* in the launcher's own documentation, or leave hydra/launcher out"


class HydraExecutor:
    """See contract.Executor. words: `hydra/launcher=joblib hydra.launcher.n_jobs=2`.   folder: the sweep's.

    cores: to be shared by the slots; None: all of this machine. Raises ConfigError for a launcher that cannot be made.
    """

    def __init__(self, words: Sequence[str], *, folder: Path, slots: int, cores: int | None = None) -> None:
        self.slots = max(1, slots)
        self._cores = cores or os.cpu_count() or 1
        self._folder = folder.absolute() / JOBS
        self._folder.mkdir(parents=True, exist_ok=True)
        self._launcher = make_launcher(words, self._folder)
        self._numbers = itertools.count(1 + max(map(_number_of, self._folder.glob("*.json")), default=-1))
        self._queued: dict[int, Job] = {}
        self._running: dict[int, Job] = {}
        self._ended: list[Ended] = []
        self._rows = FolderRows()
        self._batches: queue.SimpleQueue[list[int] | None] = queue.SimpleQueue()
        self._returned: queue.SimpleQueue[tuple[list[int], Sequence[JobReturn] | Exception]] = queue.SimpleQueue()
        self._is_busy = False
        self._thread = threading.Thread(target=self._serve, name="launcher", daemon=True)
        self._thread.start()

    def start(self, job: Job) -> None:
        """See contract.Executor. It begins with the next batch."""
        number = next(self._numbers)
        write_job(self._folder, number, job, cores=max(1, self._cores // self.slots))
        self._rows.forget(job.folder)
        self._queued[number] = job

    def wait(self, timeout_s: float) -> Sequence[Ended]:
        """See contract.Executor."""
        until = time.monotonic() + timeout_s
        while True:
            self._hear()
            self._launch()
            left = until - time.monotonic()
            if self._ended or left <= 0:
                ended, self._ended = self._ended, []
                return ended
            time.sleep(min(_POLL_S, left))

    def rows(self, job: Job) -> Sequence[Row]:
        """See contract.Executor."""
        return self._rows.new(job.folder)

    def end(self, job: Job, how: Literal["save", "kill"]) -> None:
        """See contract.Executor. The job's own process obeys, within half a second where it sees this folder."""
        for number, other in list(self._queued.items()):
            if other is job:
                del self._queued[number]
                self._ended.append(Ended(job, "interrupted", "had not begun", "asked"))
        for number, other in self._running.items():
            if other is job:
                with suppress(OSError):
                    (self._folder / f"{number}.end").write_text(how)

    def close(self) -> None:
        """See contract.Executor. Returns when the launcher has given back its batch."""
        for how in ("save", "kill"):
            for job in [*self._queued.values(), *self._running.values()]:
                self.end(job, "save" if how == "save" else "kill")
            until = time.monotonic() + CLOSE_S
            while self._is_busy and time.monotonic() < until:
                self._hear()
                time.sleep(_POLL_S)
        self._batches.put(None)
        self._thread.join(timeout=CLOSE_S)
        close_here()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # the launcher's thread: one for all batches, for what it starts may end with the thread that started it -----------

    def _serve(self) -> None:
        while (numbers := self._batches.get()) is not None:
            words = [[f"+job={number}"] for number in numbers]
            try:
                self._returned.put((numbers, self._launcher.launch(words, initial_job_idx=numbers[0])))
            except Exception as error:  # noqa: BLE001 - whatever somebody else's launcher raises
                self._returned.put((numbers, error))

    def _launch(self) -> None:
        """Give the launcher what is queued, once it has nothing else to do."""
        if self._is_busy or not self._queued:
            return
        numbers = sorted(self._queued)[: self.slots]
        self._running = {number: self._queued.pop(number) for number in numbers}
        self._is_busy = True
        self._batches.put(numbers)

    # what is heard ---------------------------------------------------------------------------------------------------

    def _hear(self) -> None:
        """Take in the ends of jobs, by their files, and the end of the batch."""
        is_over = not self._returned.empty()  # looked at first: the files are all there by then
        for number in list(self._running):
            answer = self._answer(number)
            if answer is not None:
                self._finish(number, answer)
        if is_over:
            numbers, returns = self._returned.get()
            self._is_busy = False
            for index, number in enumerate(numbers):
                if number in self._running:
                    self._finish(number, _outcome(returns, index))

    def _finish(self, number: int, answer: dict[str, Any]) -> None:
        job = self._running.pop(number)
        self._ended.append(Ended(job, answer["status"], answer["reason"], answer["cause"]))

    def _answer(self, number: int) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads((self._folder / f"{number}.answer.json").read_text())
        except (OSError, ValueError):
            return None
        return found


def make_launcher(words: Sequence[str], folder: Path) -> Launcher:
    """The launcher that the words name, with a task function that does the jobs in `folder`. Raises ConfigError."""
    loader = ConfigLoaderImpl(config_search_path=create_config_search_path(None))
    place = QuotedString(str(folder / "hydra"), Quote.single).with_quotes()
    own = [f"hydra.sweep.dir={place}", "hydra.sweep.subdir=${hydra.job.num}", "hydra.output_subdir=null"]
    quiet = ["hydra/job_logging=none", "hydra/hydra_logging=none", "hydra.job.chdir=false"]
    try:
        config = Hydra("hpo-run", loader).compose_config(
            config_name=None, overrides=[*words, *quiet, *own], run_mode=RunMode.MULTIRUN, with_log_configuration=False
        )
        context = HydraContext(config_loader=loader, callbacks=Callbacks(config))
        return Plugins.instance().instantiate_launcher(
            hydra_context=context, task_function=DoJob(folder), config=config
        )
    except (HydraException, OmegaConfBaseException, ImportError, RuntimeError) as error:
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ConfigError("hydra/launcher", rule=f"cannot be made from {' '.join(words)} ({said})", fix=_FIX) from error


def _outcome(returns: Sequence[JobReturn] | Exception, index: int) -> dict[str, Any]:
    """How a job ended that has left no answer where this process sees it."""
    if isinstance(returns, Exception):
        return _failure(f"the launcher gave up: {type(returns).__name__}: {returns}")
    job = returns[index] if index < len(returns) else JobReturn()
    found = job._return_value  # noqa: SLF001 - the property raises what the job raised
    if job.status == JobStatus.COMPLETED and isinstance(found, dict):
        return found
    return _failure(f"{type(found).__name__}: {found}" if isinstance(found, Exception) else "the launcher lost it")


def _failure(reason: str) -> dict[str, Any]:
    return {"status": "failed", "reason": reason.splitlines()[0], "cause": "machine"}


def _number_of(path: Path) -> int:
    name = path.name.split(".")[0]
    return int(name) if name.isdigit() else -1
