"""Drives a sweep: fills free slots with what the scheduler orders and the search proposes, and records how runs end.

All that is decided is an event in the log, written while its lock is held, and is taken into account by replaying it;
so a killed sweep goes on where it was, and several machines can drive one sweep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpo_cli.record.ledger import now
from hpo_cli.record.process import life_of
from hpo_cli.sweep.budget import is_reached, reached, why_no_new, why_over
from hpo_cli.sweep.endings import ended_event
from hpo_cli.sweep.executors.contract import Ended, Job
from hpo_cli.sweep.facts import reports_of
from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.jobs import Tools, adopting_event, job_of, started_event
from hpo_cli.sweep.log import Log
from hpo_cli.sweep.orders import Exploit, GoOn, New
from hpo_cli.sweep.proposing import next_proposal
from hpo_cli.sweep.reclaim import process_of
from hpo_cli.sweep.schedulers.contract import Scheduler
from hpo_cli.sweep.search.contract import Search
from hpo_cli.sweep.state import Event, Trial, seconds_between

POLL_S = 0.2


class Driver:
    """One process that drives a sweep.

    who: this process, as the log has it.   told: is told what happens, in lines.
    """

    def __init__(
        self,
        state: SweepState,
        log: Log,
        tools: Tools,
        *,
        search: Search,
        scheduler: Scheduler,
        who: Mapping[str, Any],
    ) -> None:
        self.state, self.log, self.tools, self.search, self.scheduler = state, log, tools, search, scheduler
        self.who = who
        self.jobs: dict[tuple[int, int], Job] = {}
        self.reported: dict[tuple[int, int], int] = {}
        """The newest epoch that each job has told."""
        self._told: set[tuple[int, int]] = set()
        """The jobs that were told to stop for good."""
        self.no_more = ""
        """Why no further trial begins; empty while one may."""
        self._seconds_before = state.seconds_before
        self.is_closing = False
        self._began = tools.seconds()
        self._exhausted = ""
        self._num_edits = len(state.edits)
        self.has_hit = False
        """Whether a trial that still trains is at the target of the sweep."""
        state.hears = scheduler.heard

    @property
    def seconds(self) -> float:
        """How long the sweep has been running, in all its sessions."""
        return self._seconds_before + self.tools.seconds() - self._began

    def join(self) -> None:
        """Say that this process drives the sweep, and which ones that did were killed. Only while the log is locked."""
        dead = [other for other in self.state.joined if life_of(process_of(other.get("who") or {})) == "dead"]
        self.write(*({"event": "left", "who": one["who"], "seen": self.state.last_at, "why": "killed"} for one in dead))
        since = seconds_between(self.state.driven_since, now()) if self.state.joined else 0.0
        self._seconds_before = self.state.seconds_before + since
        self.write({"event": "joined", "who": dict(self.who), "workers": self.tools.executor.slots})

    def write(self, *events: Event) -> list[Event]:
        """Append events to the log and take them in. Only while it is locked."""
        written = self.log.append(*events)
        self.state.replay(written)
        return written

    def step(self, ended: Sequence[Ended] = ()) -> list[Event]:
        """Record what ended, and begin what there is to begin; the events written. One turn of the driver."""
        with self.log.locked():
            self.state.replay(self.log.news())
            written = [event for end in ended for event in self._record(end)]
            jobs = self._next_jobs(written)
        for job in jobs:
            self.tools.executor.start(job)
        return written

    def watch(self) -> list[tuple[Trial, str]]:
        """Read the newest rows of all runs that train here; the trials that the scheduler wants stopped, and why."""
        verdicts = []
        for place, job in list(self.jobs.items()):
            trial = self.state.trial(job.trial)
            if trial.stopping and place not in self._told:  # by another driver, or before this one was called
                verdicts.append((trial, trial.why))
            rows = self.tools.executor.rows(job)
            if not rows:
                continue
            run = trial.runs[job.run]
            newest = self.reported.get(place, 0)
            is_again = any(0 < row.get("epoch", newest + 1) <= newest for row in rows)  # it went back
            after = None if is_again else run.live.get(newest)
            found = reports_of(rows, self.state.aims, self.state.settings.reduce, after=after)
            if found:
                run.live = {**run.live, **found} if newest else {**run.reports, **found}
                self.reported[place] = max(found)
            self._look_at_target(trial)
            self.scheduler.heard(trial)
            why = None if trial.stopping else self.scheduler.verdict(trial, self.state.trials)
            if why:
                verdicts.append((trial, why))
        return verdicts

    def _look_at_target(self, trial: Trial) -> None:
        target, live = self.state.settings.target, trial.live
        if target is not None and live and is_reached(live[max(live)][0], target, mode=self.state.aims[0].mode):
            self.has_hit = True

    def prune(self, trial: Trial, why: str) -> None:
        """Stop a trial for good: its runs are told, and end by themselves."""
        with self.log.locked():
            self.state.replay(self.log.news())
            if not trial.stopping and not trial.is_over:
                self.write({"event": "stopping", "trial": trial.number, "why": why})
        for place, job in self.jobs.items():
            if place[0] == trial.number and place not in self._told:
                self._told.add(place)
                self.tools.prune(job, why)

    @property
    def is_over(self) -> bool:
        """Whether nothing trains here any more, and nothing will."""
        if self.jobs:
            return False
        if self.is_closing:
            return True
        return not (self.state.is_held or self.state.running or (self.state.ready and self._may_begin))

    @property
    def _may_begin(self) -> bool:
        return not (self.is_closing or self.state.is_held or self._is_at_target)

    @property
    def _is_at_target(self) -> bool:
        target = self.state.settings.target
        return target is not None and (self.has_hit or reached(self.state, target))

    def _next_jobs(self, written: list[Event]) -> list[Job]:
        jobs: list[Job] = []
        if self._is_at_target:
            self.no_more = f"sweep.target={self.state.settings.target:g} is reached"
        while self._may_begin and len(self.jobs) < self.tools.executor.slots:
            place = next(iter(self.state.ready), None)
            if place is None:
                events = self._order()
                if not events:
                    break
                written += events
                continue
            job = job_of(self.state, self.tools, *place)
            written += self.write(started_event(job, self.who))
            self.jobs[place] = job
            jobs.append(job)
        return jobs

    def _order(self) -> list[Event]:
        """What the scheduler wants next, as events that are in the log; empty for nothing."""
        if self._num_edits != len(self.state.edits):  # there may be more settings now
            self._num_edits, self._exhausted = len(self.state.edits), ""
        end = why_over(self.state, seconds=self.seconds)
        self.no_more = end or self._exhausted or why_no_new(self.state)
        order = None if end else self.scheduler.next(self.state.trials, may_begin=not self.no_more)
        if isinstance(order, New):
            return self._propose(order)
        if isinstance(order, GoOn):
            return self.write({"event": "ordered", "trial": order.trial, "until": order.until, "why": order.why})
        if isinstance(order, Exploit):
            return self.write(adopting_event(self.state, self.tools, order))
        return []

    def _propose(self, order: New) -> list[Event]:
        """A new trial in the log; the scheduler is asked again when there is none."""
        state = self.state
        skips = state.settings.duplicates == "skip"
        found = next_proposal(
            self.search,
            state.trials,
            self.tools.make,
            inner=state.inner,
            known=lambda plan_id: skips and plan_id in state.plan_ids,
            limit=state.memory_limit,
        )
        said = [event for setting, reason in found.refused for event in self._refuse(setting, reason)]
        if found.setting is None or found.made is None:
            self._exhausted = self.no_more = self._why_exhausted()
            return [*said, *self._order()]
        proposed = {
            "event": "proposed",
            "trial": len(state.trials) + 1,
            "setting": dict(found.setting),
            "plan_id": found.made.plan.plan_id,
            "notes": dict(order.notes),
            "until": order.until,
            "words": list(found.made.words),
        }
        return [*said, *self.write(proposed)]

    def _why_exhausted(self) -> str:
        num, refused = len(self.state.trials), self.state.refused
        if not num and refused:
            return f"every setting was refused: {refused[0]['reason']}"
        return f"no further setting: {num} were tried" + (f", {len(refused)} refused" if refused else "")

    def _refuse(self, setting: Mapping[str, Any], reason: str) -> list[Event]:
        if any(event["setting"] == dict(setting) for event in self.state.refused):
            return []
        return self.write({"event": "refused", "setting": dict(setting), "reason": reason})

    def _record(self, end: Ended) -> list[Event]:
        """An ending in the log, unless another driver has taken the run over meanwhile."""
        job = end.job
        place = (job.trial, job.run)
        self.jobs.pop(place, None)
        self.reported.pop(place, None)
        self._told.discard(place)
        started = self.state.trial(job.trial).runs[job.run].started or {}
        if place not in self.state.running or started.get("attempt") != job.attempt or started["process"] != self.who:
            return []
        return self.write(self.ended(job.trial, job.run, end.status, reason=end.reason, cause=end.cause))

    def ended(self, number: int, index: int, status: str, *, reason: str = "", cause: str = "") -> Event:
        """How a run ended, by its executor's status and its files, as an event."""
        trial = self.state.trial(number)
        facts = self.tools.facts(self.state.run_folder(trial, index))
        retries = self.state.settings.retries
        return ended_event(trial, index, facts, status=status, reason=reason, cause=cause, retries=retries)
