"""Replays a sweep's log into the state it leaves. Every process that drives or reads a sweep sees it so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from hpo_cli.errors import UserError
from hpo_cli.sweep.leader import Leader
from hpo_cli.sweep.log import SWEEP, read_from
from hpo_cli.sweep.search.contract import Aim
from hpo_cli.sweep.search.memory import BatchSizes
from hpo_cli.sweep.settings import SweepSettings
from hpo_cli.sweep.space import Space
from hpo_cli.sweep.state import Event, Run, RunStatus, Trial, clean_values, run_name, seconds_between

Hears = Callable[[Trial], object]


def nobody(trial: Trial) -> None:
    """Who hears nothing."""


_LEADS_TO: Mapping[str, RunStatus] = {
    "finished": "finished",
    "paused": "paused",
    "stopped": "stopped",
    "failed": "failed",
    "lost": "waiting",
    "interrupted": "waiting",
}
"""How a run that ended so stands afterwards."""


_TAKES: Mapping[str, str] = {
    "began": "_begin",
    "joined": "_join",
    "left": "_leave",
    "proposed": "_propose",
    "refused": "_refuse",
    "ordered": "_order",
    "adopting": "_order",
    "started": "_start",
    "ended": "_end",
    "stopping": "_stop",
    "edited": "_edit",
    "held": "_hold",
    "unheld": "_hold",
    "cleaned": "_clean",
    "ended_sweep": "_conclude",
}
"""Event -> the method of SweepState that takes it in."""


class SweepState:
    """A sweep as its log tells it.

    trials: by number, from 1, in a list.   ready: (trial, run) of the runs that only lack a slot, in order.
    hears: is told of every trial that changed.
    """

    def __init__(self, folder: Path, *, hears: Hears = nobody) -> None:
        self.folder = folder
        self.hears = hears
        self.began: Event = {}
        self.trials: list[Trial] = []
        self.plan_ids: dict[str, int] = {}
        self.ready: dict[tuple[int, int], None] = {}
        self.running: dict[tuple[int, int], None] = {}
        self.over: dict[int, Trial] = {}
        """Trials that will not train again and still have their checkpoints."""
        self.refused: list[Event] = []
        self.joined: list[Event] = []
        self.edits: list[Event] = []
        self.cleaned: set[int] = set()
        self.is_held = False
        self.ended: Event | None = None
        self.trained_epochs = 0
        self.num_failed = 0
        self._leader, self._sizes = Leader(), BatchSizes()
        self.seconds_before = 0.0
        """How long at least one process has driven it, without those that do now."""
        self.driven_since = self.last_at = ""
        self.aims: tuple[Aim, ...] = ()
        self.settings: SweepSettings
        self.space: Space

    @property
    def id(self) -> str:
        """What it was called when it began; its runs are called after it, wherever its folder is now."""
        return str(self.began.get("id") or self.folder.name)

    @property
    def name(self) -> str:
        """What its runs are called."""
        return str(self.began.get("name", ""))

    @property
    def epochs(self) -> int:
        """The epochs of a trial that is trained to its end."""
        return int(self.began["epochs"])

    @property
    def total(self) -> int | None:
        """How many trials there will be, as far as that is known."""
        size: int | None = self.began.get("size")
        known = [number for number in (self.settings.trials, size) if number is not None]
        return max(min(known), len(self.trials)) if known else None

    @property
    def inner(self) -> list[Mapping[str, Any]]:
        """What each run of a trial has beside the setting, such as its seed."""
        return list(self.began["inner"])

    def trial(self, number: int) -> Trial:
        """The trial of that number, from 1."""
        return self.trials[number - 1]

    def best(self) -> Trial | None:
        """The trial with the best first objective, trained to its end or not, but not failed; None so far."""
        return self._leader.trial

    @property
    def memory_limit(self) -> float | None:
        """The smallest batch size that ran out of memory and that no larger or equal one survived; None: none did."""
        return self._sizes.limit

    def run_folder(self, trial: Trial, index: int) -> Path:
        """Where a run of a trial lies."""
        return self.folder / trial.runs[index].folder

    def replay(self, events: Iterable[Event]) -> None:
        """Take events in. Those of unknown kinds are passed over."""
        for event in events:
            self.last_at = event.get("at", self.last_at)
            if event["event"] in _TAKES:
                getattr(self, _TAKES[event["event"]])(event)

    def _begin(self, event: Event) -> None:
        self.began = event
        self.aims = tuple(Aim(**aim) for aim in event["aims"])
        self._configure(event)

    def _configure(self, event: Event) -> None:
        if "settings" in event:
            self.settings = settings_from(event["settings"])
        if "space" in event:
            self.space = Space.from_json(event["space"], self.began.get("space_base") or {})

    def _propose(self, event: Event) -> None:
        number = event["trial"]
        if number != len(self.trials) + 1:
            return
        runs = [Run(index, run_name(self.id, number, index, len(self.inner))) for index in range(len(self.inner))]
        trial = Trial(
            number, event["setting"], event["plan_id"], runs, event.get("notes") or {}, until=event.get("until"),
            proposed=event,
        )  # fmt: skip
        self.trials.append(trial)
        self.plan_ids.setdefault(trial.plan_id, number)
        self.ready.update({(number, run.index): None for run in runs})
        self.ended = None
        self.hears(trial)

    def _order(self, event: Event) -> None:
        trial = self.trial(event["trial"])
        trial.until = event.get("until")
        if event["event"] == "adopting":
            trial.adopt = event
            trial.num_adopted += 1
        for run in trial.runs:
            if run.status == "paused":
                run.status = "waiting"
                self.ready[trial.number, run.index] = None
        self.ended = None
        self.hears(trial)

    def _start(self, event: Event) -> None:
        trial = self.trial(event["trial"])
        run = trial.runs[event["run"]]
        run.status, run.started, run.attempts = "running", event, run.attempts + 1
        self.cleaned.discard(trial.number)
        self.over.pop(trial.number, None)
        self.ready.pop((trial.number, run.index), None)
        self.running[trial.number, run.index] = None
        self.hears(trial)

    def _end(self, event: Event) -> None:
        trial = self.trial(event["trial"])
        run = trial.runs[event["run"]]
        place = (trial.number, run.index)
        self.running.pop(place, None)
        epoch = event.get("epoch") or 0
        self.trained_epochs += max(0, epoch - run.epoch)
        run.status, run.epoch = _LEADS_TO.get(event["status"], "failed"), epoch
        run.reports = run.live = {epoch: clean_values(values) for epoch, values in event.get("reports") or ()}
        run.values = clean_values(event["values"]) if event.get("values") is not None else None
        run.seconds = event.get("seconds") or 0.0
        run.reason, run.cause = event.get("reason") or "", event.get("cause") or ""
        if event["status"] == "lost":
            run.lost += 1
        if trial.status in ("paused", "finished"):
            trial.adopt = None
        if run.status == "waiting":
            self.ready[place] = None
        if run.status == "failed":
            trial.why = run.reason
            self.num_failed += 1
        if run.status == "stopped" and not trial.why:
            trial.why = run.reason
        if trial.status in ("failed", "stopped"):
            for other in trial.runs:
                self.ready.pop((trial.number, other.index), None)
        self._sizes.note(trial, run)
        self._note_over(trial)
        self._leader.compare(trial, self.trials, mode=self.aims[0].mode)
        self.hears(trial)

    def _stop(self, event: Event) -> None:
        trial = self.trial(event["trial"])
        trial.stopping, trial.why = True, event.get("why") or ""
        for run in trial.runs:  # those that have no process to tell it to
            if run.status in ("waiting", "paused"):
                run.status = "stopped"
                self.ready.pop((trial.number, run.index), None)
        self._note_over(trial)
        self.hears(trial)

    def _edit(self, event: Event) -> None:
        self.edits.append(event)
        self._configure(event)
        self.ended = None

    def _note_over(self, trial: Trial) -> None:
        """Whether it is one of those that could give their checkpoints up; none while a process is at work in it."""
        if trial.is_over and not any(run.status == "running" for run in trial.runs):
            self.over[trial.number] = trial

    def _join(self, event: Event) -> None:
        if not self.joined:
            self.driven_since = event.get("at", "")
        self.joined.append(event)
        self.ended = None

    def _leave(self, event: Event) -> None:
        """seen: the last sign of a process that was killed, where another one says so."""
        left = [other for other in self.joined if other.get("who") != event.get("who")]
        if self.joined and not left:
            self.seconds_before += seconds_between(self.driven_since, event.get("seen") or event.get("at", ""))
        self.joined = left

    def _hold(self, event: Event) -> None:
        self.is_held = event["event"] == "held"

    def _clean(self, event: Event) -> None:
        self.cleaned.update(event["trials"])
        for number in event["trials"]:
            self.over.pop(number, None)

    def _refuse(self, event: Event) -> None:
        self.refused.append(event)

    def _conclude(self, event: Event) -> None:
        self.ended = event


def read_sweep(folder: Path) -> SweepState:
    """The state of the sweep in `folder`, by its log. Raises UserError where there is none."""
    state = SweepState(folder)
    state.replay(read_from(folder / SWEEP, 0)[0])
    if not state.began:
        raise UserError(f"{folder}: no sweep ({SWEEP} is missing or has no beginning); `hpo-run ls` lists sweeps")
    return state


def settings_from(saved: Mapping[str, Any]) -> SweepSettings:
    """Settings as JSON brought them back: lists are tuples again."""
    known = {field.name for field in fields(SweepSettings)}
    return SweepSettings(**{key: _tuples(value) for key, value in saved.items() if key in known})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
