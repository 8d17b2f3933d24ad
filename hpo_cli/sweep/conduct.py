"""The turns of a sweep's driver until it is over: what ended, what is lost, what people ask for, what is shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, Protocol

from hpo_cli.record.atomic import write_json
from hpo_cli.record.lease_file import read_lease
from hpo_cli.record.metrics import number
from hpo_cli.sweep import budget
from hpo_cli.sweep.drive import POLL_S, Driver
from hpo_cli.sweep.endings import status_left_behind
from hpo_cli.sweep.executors.contract import Ended, Job
from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.interrupts import Interrupts
from hpo_cli.sweep.live import LiveRun
from hpo_cli.sweep.reclaim import Watchman
from hpo_cli.sweep.state import Event

BEST = "best.json"
_LOOK_S = 1.0
"""How often runs are asked how far they are, and whether those of others still live."""
_CLEAN_EVERY = 20
"""Trials that end between two looks at the checkpoints."""


class View(Protocol):
    """Who is shown how the sweep goes."""

    def update(self, state: SweepState, live: Sequence[LiveRun]) -> None:
        """Where it stands, some times a second."""

    def said(self, line: str) -> None:
        """Something that happened, as it happens."""


class Mirror(Protocol):
    """Who copies trials to another store."""

    def heard(self, events: Sequence[Event], state: SweepState) -> None:
        """Events that this process wrote."""


@dataclass
class Session:
    """One process's part in a sweep.

    take_edits: what people ask of the sweep, carried out; lines to show.
    """

    driver: Driver
    view: View
    mirror: Mirror
    interrupts: Interrupts
    take_edits: Callable[[Driver], list[Event]]
    watchman: Watchman = field(default_factory=Watchman)
    _live: dict[tuple[int, int], LiveRun] = field(default_factory=dict)
    _looked: float = 0.0
    _cleaned_at: int = 0
    _num_ended: int = 0
    _best: tuple[int, float | None] | None = None
    _has_stopped: bool = False

    def run(self) -> str:
        """Drive until the sweep is over or is left; why it ended."""
        driver = self.driver
        self._join()
        try:
            self._reclaim()
            ended: Sequence[Ended] = ()
            while True:
                self._turn(ended)
                if driver.is_over:
                    break
                self._obey()
                self._stop_at_target()
                ended = driver.tools.executor.wait(POLL_S)
            return self._conclude()
        finally:
            self._leave()

    def _turn(self, ended: Sequence[Ended]) -> None:
        driver, now = self.driver, time.monotonic()
        looks = now - self._looked > _LOOK_S
        events = self.take_edits(driver) if looks else []
        events += driver.step(ended)
        for trial, why in driver.watch():
            driver.prune(trial, why)
        if looks:
            self._looked = now
            events += self._reclaim()
            self._look()
        self._note(events)
        self.view.update(driver.state, self._running())

    def _note(self, events: Sequence[Event]) -> None:
        """What follows from what happened: copies, best.json, room on the disk."""
        if not events:
            return
        self.mirror.heard(events, self.driver.state)
        for event in events:
            if event["event"] == "refused":
                setting = " ".join(f"{key}={value}" for key, value in event["setting"].items())
                self.view.said(f"refused  {setting}: {event['reason']}")
        self._num_ended += sum(event["event"] == "ended" for event in events)
        self._write_best()
        if self._num_ended - self._cleaned_at >= _CLEAN_EVERY:
            self._cleaned_at = self._num_ended
            self.clean()

    def _write_best(self) -> None:
        state = self.driver.state
        best = state.best()
        if best is None or (best.number, best.value) == self._best:
            return
        self._best = (best.number, best.value)
        with suppress(OSError):  # a full disk must not end the sweep; it is written at the next change
            write_json(state.folder / BEST, best_json(state))

    def clean(self, *, waiting: Literal["may go on", "are over"] = "may go on") -> None:
        """Remove the checkpoints that the budget gives up. waiting: what is true of the trials that wait at a rung."""
        driver = self.driver
        state = driver.state
        with driver.log.locked():  # no other process orders one of these trials meanwhile
            state.replay(driver.log.news())
            gone = budget.to_clean(state, disk=self._disk(), waiting=waiting)
            for trial in gone:
                budget.clean(state, trial)
            if gone:
                driver.write({"event": "cleaned", "trials": [trial.number for trial in gone]})

    def _disk(self) -> int:
        """Bytes of all checkpoints; 0 where nobody asks."""
        state = self.driver.state
        if state.settings.disk_gb is None:
            return 0
        return sum(budget.checkpoint_bytes(state, one) for one in state.trials if one.number not in state.cleaned)

    def _reclaim(self) -> list[Event]:
        """Take back the runs of processes that are no more."""
        driver = self.driver
        foreign = [place for place in driver.state.running if place not in driver.jobs]
        lost = [place for place in foreign if self._is_gone(place)]
        if not lost:
            return []
        written: list[Event] = []
        with driver.log.locked():
            driver.state.replay(driver.log.news())
            for trial, run in lost:
                if (trial, run) in driver.state.running:
                    one = driver.state.trial(trial)
                    status = status_left_behind(one, driver.tools.facts(driver.state.run_folder(one, run)))
                    reason = "" if status == "finished" else "its sweep was killed"
                    written += driver.write(driver.ended(trial, run, status, reason=reason))
        return written

    def _is_gone(self, place: tuple[int, int]) -> bool:
        state = self.driver.state
        trial = state.trial(place[0])
        started = trial.runs[place[1]].started or {}
        return self.watchman.is_gone(state.run_folder(trial, place[1]), started.get("process") or {})

    def _obey(self) -> None:
        """Ctrl-C: running trials save and end; a second time: they end now."""
        driver, asked = self.driver, self.interrupts.count
        if asked and not driver.is_closing:
            driver.is_closing = True
            rest = f"{len(driver.jobs)} running ones save their state (again: end now)"
            self.view.said(f"{self.interrupts.name}: no new trials; {rest}")
            for job in driver.jobs.values():
                driver.tools.executor.end(job, "save")
        if asked > 1:
            for job in driver.jobs.values():
                driver.tools.executor.end(job, "kill")

    def _stop_at_target(self) -> None:
        """The value that was looked for is there: the trials that still run save and end."""
        driver = self.driver
        if driver.has_hit and not self._has_stopped:
            self._has_stopped = True
            for job in driver.jobs.values():
                driver.tools.executor.end(job, "save")

    def _look(self) -> None:
        """How far the runs here are, by their heartbeats."""
        self._live = {place: live_run(self.driver, job) for place, job in self.driver.jobs.items()}

    def _running(self) -> list[LiveRun]:
        return [self._live.get(place) or live_run(self.driver, job) for place, job in self.driver.jobs.items()]

    def _join(self) -> None:
        driver = self.driver
        with driver.log.locked():
            driver.state.replay(driver.log.news())
            driver.join()

    def _leave(self) -> None:
        driver = self.driver
        with suppress(OSError), driver.log.locked():
            driver.state.replay(driver.log.news())
            seconds = driver.seconds - driver.state.seconds_before
            driver.write({"event": "left", "who": dict(driver.who), "seconds": round(seconds, 3)})

    def _conclude(self) -> str:
        driver = self.driver
        self._write_best()
        if driver.is_closing:
            return "interrupted"
        self.clean(waiting="are over")
        with driver.log.locked():
            driver.state.replay(driver.log.news())
            if driver.state.ended is None:
                driver.write({"event": "ended_sweep", "why": driver.no_more or "nothing is left to train"})
        return driver.no_more


def live_run(driver: Driver, job: Job) -> LiveRun:
    """How far a run here is, by its heartbeat."""
    trial = driver.state.trial(job.trial)
    lease = read_lease(job.folder)
    said = {} if lease is None else lease.fields
    return LiveRun(
        trial=job.trial,
        run=job.run,
        epoch=_whole(said.get("epoch")),
        epochs=_whole(said.get("epochs")) or driver.state.epochs,
        step=_whole(said.get("step")),
        total_steps=_whole(said.get("total")),
        reports=trial.runs[job.run].live,
        paused=said.get("status") == "paused",
    )


def _whole(value: object) -> int:
    return int(number(value) or 0)


def best_json(state: SweepState) -> dict[str, object]:
    """The content of best.json: which trial leads, and the best of its runs."""
    best = state.best()
    if best is None:
        return {}
    aim = state.aims[0]
    sign = -1.0 if aim.mode == "max" else 1.0
    runs = [run for run in best.runs if run.values is not None and run.values[0] is not None]
    run = min(runs, key=lambda run: sign * (run.values or (0.0,))[0])  # type: ignore[operator]
    return {
        "trial": best.number,
        "run": run.folder,
        "setting": dict(best.setting),
        "value": best.value,
        "objective": aim.name,
        "mode": aim.mode,
    }
