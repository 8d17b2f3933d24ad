"""Machines in virtual time: runs that are no processes but functions, on a clock that jumps to what happens next."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path
from typing import Any, Literal, Protocol

from hpo_cli.sweep.executors.contract import Ended, Job, Row
from hpo_cli.sweep.facts import Facts, reports_of
from hpo_cli.sweep.search.contract import Aim
from hpo_cli.sweep.space import Setting

STATE = "state"


class Learner(Protocol):
    """What is trained: a state that each epoch makes another one of. States are never changed in place."""

    def begin(self, setting: Setting, seed: int) -> Any:
        """The state before the first epoch."""

    def step(self, state: Any, setting: Setting) -> Any:
        """The state after one more epoch with these knobs. Raises anything for a run that fails."""

    def value(self, state: Any) -> float:
        """The objective of a state."""


@dataclass(frozen=True)
class Curves:
    """A learner whose values are those of a curve. A state that is taken over goes on on the taker's own curve.

    curve: (setting, seed) -> the value after each epoch, recorded or computed.
    """

    curve: Callable[[Setting, int], Sequence[float]]

    def begin(self, setting: Setting, seed: int) -> tuple[Setting, int, Sequence[float], int]:
        """(setting, seed, its curve, epochs done)."""
        return setting, seed, self.curve(setting, seed), 0

    def step(self, state: tuple[Setting, int, Sequence[float], int], setting: Setting) -> Any:
        """One epoch further on the curve of `setting`."""
        known, seed, values, epoch = state
        if known is not setting:
            values = self.curve(setting, seed)
        return setting, seed, values, epoch + 1

    def value(self, state: tuple[Setting, int, Sequence[float], int]) -> float:
        """The curve's value after the state's last epoch."""
        return state[2][state[3] - 1]


@dataclass
class VirtualRun:
    """One run. until: the epoch at which it stops.   why: why it was told to stop for good, empty while it was not."""

    setting: Setting
    state: Any
    epoch: int = 0
    until: int = 0
    rows: list[Row] = field(default_factory=list)
    seconds: float = 0.0
    job: Job | None = None
    unread: int = 0
    why: str = ""
    adopted: dict[str, tuple[int, Any]] = field(default_factory=dict)
    """File -> (epoch, state) that lie in its folder."""


class VirtualMachines:
    """An executor without processes, and what its runs leave behind.

    A job's plan is its setting, with `seed` among its keys.   wakes: whether `wait` jumps to the next end of a job,
    or of an epoch of any job, for those who read rows.
    """

    def __init__(
        self,
        learner: Learner,
        *,
        slots: int,
        epochs: int,
        aims: Sequence[Aim],
        reduce: Literal["best", "last"] = "last",
        wakes: Literal["jobs", "epochs"] = "epochs",
        seconds_per_epoch: Callable[[Setting, int], float],
    ) -> None:
        self.learner, self.slots, self.epochs, self.aims, self.reduce = learner, slots, epochs, aims, reduce
        self.wakes, self.seconds_per_epoch = wakes, seconds_per_epoch
        self.now = 0.0
        self.busy = 0.0
        """Seconds that all slots together have trained."""
        self.trained = 0
        """Epochs that all runs together have trained."""
        self.runs: dict[str, VirtualRun] = {}
        self._coming: list[tuple[float, int, VirtualRun, float]] = []
        """A heap of (when, order, run, how long that takes) of epochs that will end."""
        self._order = 0

    def seconds(self) -> float:
        """The virtual clock."""
        return self.now

    def start(self, job: Job) -> None:
        """Begin a job, or go on with its run."""
        run = self.runs.get(job.folder.name)
        if run is None:
            setting = dict(job.plan)
            run = self.runs[job.folder.name] = VirtualRun(setting, self.learner.begin(setting, setting.get("seed", 0)))
        if job.adopt is not None:
            run.epoch, run.state = run.adopted.pop(job.adopt.file)
            run.setting = {**run.setting, **job.adopt.changes}
            run.rows = [row for row in run.rows if row["epoch"] <= run.epoch]
        run.job, run.until = job, self.epochs if job.until is None else job.until
        run.unread = len(run.rows)
        self._plan_epoch(run, job)

    def wait(self, timeout_s: float) -> Sequence[Ended]:  # noqa: ARG002 - nothing else happens until then
        """The job that ended; none where an epoch did, or nothing runs."""
        while self._coming:
            ended = self._epoch()
            if ended is not None:
                return [ended]
            if self.wakes == "epochs":
                break
        return []

    def rows(self, job: Job) -> Sequence[Row]:
        """The rows that were not read yet."""
        run = self.runs[job.folder.name]
        fresh, run.unread = run.rows[run.unread :], len(run.rows)
        return fresh

    def end(self, job: Job, how: Literal["save", "kill"]) -> None:  # noqa: ARG002 - an epoch is never half done
        """The job ends with its epoch."""
        self.runs[job.folder.name].why = "asked to"

    def close(self) -> None:
        """Nothing to give back."""

    def prune(self, job: Job, why: str) -> None:
        """The run stops for good with the epoch that it is in."""
        self.runs[job.folder.name].why = why

    def facts(self, folder: Path) -> Facts:
        """What the run of that folder reached."""
        run = self.runs[folder.name]
        reports = reports_of(run.rows, self.aims, self.reduce)
        values = reports[max(reports)] if reports else None
        return Facts(run.epoch, reports, values, seconds=run.seconds, reason=run.why)

    def link(self, source: Path, target: Path) -> str | None:
        """The state of one run, kept in the folder of another one."""
        run = self.runs[source.name]
        self.runs[target.name].adopted[STATE] = (run.epoch, run.state)
        return STATE

    def _epoch(self) -> Ended | None:
        """The next end of an epoch; its job, if that has ended."""
        self.now, _, run, took = heappop(self._coming)
        if run.job is None:
            raise RuntimeError("an epoch of a run that has no job")
        self.busy += took
        run.seconds += took
        problem = "" if run.epoch >= run.until else self._train(run)
        ended = self._ended(run, run.job, problem)
        if ended is None:
            self._plan_epoch(run, run.job)
        else:
            run.job = None
        return ended

    def _plan_epoch(self, run: VirtualRun, job: Job) -> None:
        took = 0.0 if run.epoch >= run.until else self.seconds_per_epoch(run.setting, job.trial)
        self._order += 1
        heappush(self._coming, (self.now + took, self._order, run, took))

    def _train(self, run: VirtualRun) -> str:
        """One epoch; why it failed, else empty."""
        try:
            run.state = self.learner.step(run.state, run.setting)
            value = self.learner.value(run.state)
        except Exception as error:  # noqa: BLE001 - a run may raise anything, and the others go on
            return f"{type(error).__name__}: {error}"
        run.epoch += 1
        self.trained += 1
        run.rows.append({"epoch": run.epoch, "step": run.epoch, self.aims[0].name: value})
        return "" if math.isfinite(value) else f"its {self.aims[0].name} is not finite"

    def _ended(self, run: VirtualRun, job: Job, problem: str) -> Ended | None:
        if problem:
            return Ended(job, "failed", problem, "setting")
        if run.epoch >= self.epochs:
            return Ended(job, "finished")
        return Ended(job, "stopped", run.why) if run.why or run.epoch >= run.until else None
