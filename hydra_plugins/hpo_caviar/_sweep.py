"""The sweep: batches of jobs for the launcher, and what becomes of each of them in the record."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from omegaconf import OmegaConf

from hpo_cli.errors import UserError
from hpo_cli.sweep.search.contract import Aim, Search
from hpo_cli.sweep.state import Trial
from hydra_plugins.hpo_caviar._record import Record, held_record
from hydra_plugins.hpo_caviar._search import LEARNING, make_search, search_name
from hydra_plugins.hpo_caviar._values import aims_of, values_of, write_best
from hydra_plugins.hpo_caviar._words import Words, read_words

if TYPE_CHECKING:
    from hydra_plugins.hpo_caviar.caviar_sweeper import CaviarSweeper

DEFAULT_TRIALS = 20
"""How many there are in all when nobody says it; a grid has all its settings."""
MOST_ATTEMPTS = 100
"""Proposals in a row that are known already, before the search counts as exhausted."""
log = logging.getLogger(__name__)


def sweep(sweeper: CaviarSweeper, arguments: Sequence[str]) -> list[Sequence[JobReturn]]:
    """See `CaviarSweeper.sweep`."""
    options, config, context = sweeper.options, sweeper.config, sweeper.hydra_context
    assert config is not None  # noqa: S101 - setup has been called
    assert context is not None  # noqa: S101
    try:
        params = dict(options.params or {})
        words = read_words(arguments, params=params, config=config, config_loader=context.config_loader)
        aims = aims_of(options.direction)
        name = search_name(options.search, words.space)
        with held_record(sweeper.folder, words, options, aims) as record:
            OmegaConf.save(config, sweeper.folder / "multirun.yaml")
            search = make_search(name, words.space, aims, record.state.settings)
            returns = _Sweep(sweeper, words, record, aims, search, learns=name in LEARNING).run()
            write_best(sweeper.folder, record.state.trials, aims)
    except UserError as error:
        raise HydraException(str(error)) from error
    _report_failures(returns, on_failure=options.on_failure)
    return returns


class _Sweep:
    """One call of the sweeper."""

    def __init__(
        self,
        sweeper: CaviarSweeper,
        words: Words,
        record: Record,
        aims: Sequence[Aim],
        search: Search | None,
        *,
        learns: bool,
    ) -> None:
        self.sweeper, self.words, self.record, self.aims, self.search = sweeper, words, record, aims, search
        self.options = sweeper.options
        self.room = _room(self.options.batch, self.options.max_batch_size, default=1 if learns else None)
        self.warns_of_none = learns
        self.settings: Iterator[Mapping[str, Any]] = words.space.grid() if search is None else iter(())
        self.legal: set[tuple[tuple[str, str | None], ...]] = set()
        self.alone: deque[Trial] = deque()
        self.again: deque[Trial] = deque()

    def run(self) -> list[Sequence[JobReturn]]:
        """The returns of all batches."""
        self._settle_earlier()
        known = [self._known(trial) for trial in self._mine() if trial.status == "finished"]
        returns: list[Sequence[JobReturn]] = [known] if known else []
        if known:
            log.info("%d jobs have finished in an earlier call and are not run again", len(known))
        while batch := self._batch():
            returns.append(self._launch(batch))
            if self.options.on_failure == "stop" and any(_failed(one) for one in returns[-1]):
                break
        return returns

    def _settle_earlier(self) -> None:
        """Jobs that a killed call left running have ended: as their files say, or else they are run again."""
        self.record.forget_answers()
        for trial in self.record.state.trials:
            if trial.status == "running":
                self._settle(trial, otherwise="interrupted")
        self.again.extend(trial for trial in self._mine() if trial.status in ("waiting", "failed"))

    def _mine(self) -> list[Trial]:
        """The trials that this command would make itself."""
        space, plan_id = self.words.space, self.words.plan_id
        return [
            trial for trial in self.record.state.trials
            if space.contains(trial.setting) and plan_id(trial.setting) == trial.plan_id
        ]  # fmt: skip

    def _batch(self) -> list[Trial]:
        """What is launched next: one job whose process died, for itself; else as many as there is room for."""
        if self.alone:
            return [self.alone.popleft()]
        batch: list[Trial] = []
        while self.room is None or len(batch) < self.room:
            trial = self.again.popleft() if self.again else self._propose()
            if trial is None:
                break
            batch.append(trial)
        return batch

    def _propose(self) -> Trial | None:
        trials = self.record.state.trials
        total = self.options.trials or (None if self.search is None else DEFAULT_TRIALS)
        if total is not None and len(trials) >= total:
            return None
        for setting in self._proposals():
            words = self.words.job(setting)
            plan_id = self.words.plan_id(setting)
            if plan_id in self.record.state.plan_ids and self.options.duplicates == "skip":
                continue
            self._validate(setting, words)
            return self.record.propose(dict(setting), words, plan_id)
        return None

    def _validate(self, setting: Mapping[str, Any], words: Sequence[str]) -> None:
        """Compose a job once for its keys and the values that come from lists: a number of a range changes nothing."""
        shape = tuple((key, value if isinstance(value, str) else None) for key, value in setting.items())
        if shape not in self.legal:
            self.sweeper.validate_batch_is_legal([words])
            self.legal.add(shape)

    def _proposals(self) -> Iterator[Mapping[str, Any]]:
        if self.search is None:
            return self.settings  # one iterator for the whole sweep
        return self._asked(self.search)

    def _asked(self, search: Search) -> Iterator[Mapping[str, Any]]:
        trials = self.record.state.trials
        for attempt in range(max(MOST_ATTEMPTS, search.size or 0)):
            setting = search.propose(trials, len(trials) + 1, attempt=attempt)
            if setting is None:
                return
            yield setting

    def _launch(self, batch: list[Trial]) -> Sequence[JobReturn]:
        """The returns of the jobs that are settled by it; those that are to run again stand in a queue."""
        words = [self.words.job(trial.setting) for trial in batch]
        first = self.record.start(batch)
        try:
            returns = self.sweeper.launcher.launch(words, initial_job_idx=first)
        except Exception as error:
            if not any(self.record.answer(trial) for trial in batch):
                raise  # nothing ever ran: the launcher itself is at fault
            log.warning("the launcher gave up (%s: %s)", type(error).__name__, error)
            return [job for trial in batch if (job := self._settled_after(trial, error))]
        for trial, job in zip(batch, returns, strict=True):
            self._note(trial, job)
        return list(returns)

    def _note(self, trial: Trial, job: JobReturn) -> None:
        if _failed(job):
            self.record.end(trial, "failed", reason=_reason(job))
            log.error("%s failed: %s", _title(trial), _reason(job))
            return
        values = values_of(job.return_value, self.aims)
        if self.warns_of_none and None in values:
            log.warning(
                "%s returned %r, where the search needs %d numbers", _title(trial), job.return_value, len(values)
            )
        self.record.end(trial, "finished", values=values)

    def _settled_after(self, trial: Trial, error: Exception) -> JobReturn | None:
        """A trial's job after its launch has failed; None: it is run again, alone when it had begun."""
        answer = self.record.answer(trial)
        if answer is None:
            self.record.end(trial, "interrupted", reason="its launch failed before it began")
            self.again.append(trial)
            return None
        if answer.status == "began" and trial.runs[0].lost < self.options.retries:
            self.record.end(trial, "lost", reason=f"its process died ({type(error).__name__})")
            log.warning("%s: its process died; it is run again, alone", _title(trial))
            self.alone.append(trial)
            return None
        self._settle(trial, otherwise="failed")
        return self._known(trial)

    def _settle(self, trial: Trial, *, otherwise: str) -> None:
        """Record what a job's file says of it, `otherwise` where it ended without a word."""
        answer = self.record.answer(trial)
        if answer is not None and answer.status == "finished":
            self.record.end(trial, "finished", values=values_of(answer.value, self.aims))
        elif answer is not None and answer.status == "failed":
            self.record.end(trial, "failed", reason=answer.reason)
        else:
            self.record.end(trial, otherwise, reason="its process died")
            if otherwise == "failed":
                log.error("%s failed: its process died", _title(trial))

    def _known(self, trial: Trial) -> JobReturn:
        """The return of a job by its record: without its configs, its value as far as JSON could carry it."""
        job = JobReturn(overrides=self.words.job(trial.setting))
        job.working_dir = str(self.sweeper.folder / (trial.runs[0].started or {})["folder"])
        answer = self.record.answer(trial)
        if trial.status == "finished":
            job.status = JobStatus.COMPLETED
            job.return_value = answer.value if answer and answer.status == "finished" else _single(trial)
        else:
            job.status = JobStatus.FAILED
            job.return_value = RuntimeError(trial.why)
        return job


def _room(batch: int | None, most: int | None, *, default: int | None) -> int | None:
    """How many jobs a launch may have; None: any number."""
    found = [number for number in (default if batch is None else batch, most) if number is not None]
    if any(number < 1 for number in found):
        raise HydraException("hydra.sweeper.batch and hydra.sweeper.max_batch_size are 1 or more")
    return min(found, default=None)


def _single(trial: Trial) -> Any:
    values = trial.values or (None,)
    return values[0] if len(values) == 1 else list(values)


def _failed(job: JobReturn) -> bool:
    return job.status != JobStatus.COMPLETED


def _reason(job: JobReturn) -> str:
    error = job._return_value  # noqa: SLF001 - the property raises it
    return f"{type(error).__name__}: {error}" if isinstance(error, Exception) else "it did not end"


def _title(trial: Trial) -> str:
    started = trial.runs[0].started or {}
    words = " ".join((trial.proposed or {}).get("words") or [])
    return f"job {started.get('job', '-')} ({words or 'the config as it is'})"


def _report_failures(returns: Sequence[Sequence[JobReturn]], *, on_failure: str) -> None:
    """Raises the first failed job's own exception, with all failures listed before."""
    jobs = [job for batch in returns for job in batch]
    failed = [job for job in jobs if _failed(job)]
    if not failed:
        return
    log.error("%d of %d jobs failed:", len(failed), len(jobs))
    for job in failed:
        log.error("  %s: %s", " ".join(job.overrides or ()), _reason(job))
    if on_failure != "ignore":
        _ = failed[0].return_value
        raise HydraException(f"{len(failed)} of {len(jobs)} jobs failed")
