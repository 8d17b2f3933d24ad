"""A sweep by hand: each order is carried out as a driver would, and each ending is told in the order of the test."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from hpo_cli.sweep.fold import SweepState, settings_from
from hpo_cli.sweep.orders import Exploit, New, Order
from hpo_cli.sweep.schedulers.contract import Scheduler
from hpo_cli.sweep.schedulers.make import make_scheduler
from hpo_cli.sweep.search.contract import Aim
from hpo_cli.sweep.settings import SweepSettings
from hpo_cli.sweep.space import Dimension, Space
from tests.sweep.settings import sweep_settings_json

LOSS = (Aim("loss", "min"),)
ACCURACY = (Aim("accuracy", "max"),)
SPACE = Space((Dimension("lr", ("lr",), low=1e-4, high=1.0, scale="log"),))


def settings(**changes: Any) -> SweepSettings:
    return settings_from(sweep_settings_json(**changes))


def scheduler(name: str, *, epochs: int, aims: Sequence[Aim] = LOSS, space: Space = SPACE, **changes: Any) -> Scheduler:
    return make_scheduler(settings(scheduler=name, **changes), epochs=epochs, aims=aims, space=space, base={})


class Desk:
    """may_begin: what the scheduler is told.   settings: of the trials, by number; else empty."""

    def __init__(
        self, scheduler: Scheduler, *, epochs: int, settings: Sequence[Mapping[str, Any]] = (), inner: int = 1
    ) -> None:
        self.scheduler, self.epochs, self.settings = scheduler, epochs, settings
        self.may_begin = True
        self.events: list[dict[str, Any]] = []
        self.state = SweepState(Path("desk"), hears=scheduler.heard)
        begun = {"event": "began", "aims": [], "settings": sweep_settings_json(), "space": [], "epochs": epochs}
        self.tell({**begun, "aims": [{"name": "x", "mode": "min"}], "inner": [{}] * inner})

    def tell(self, *events: dict[str, Any]) -> None:
        self.events += events
        self.state.replay(events)

    def next(self) -> Order | None:
        return self.scheduler.next(self.state.trials, may_begin=self.may_begin)

    def fill(self) -> Order | None:
        """The next order, carried out: the trial trains."""
        order = self.next()
        if isinstance(order, New):
            number = len(self.state.trials) + 1
            setting = dict(self.settings[number - 1]) if self.settings else {}
            more = {"setting": setting, "plan_id": str(number), "notes": dict(order.notes), "until": order.until}
            self.tell({"event": "proposed", "trial": number, **more})
        elif order is not None:
            event = {"event": "ordered", "trial": (number := order.trial), "until": order.until}
            if isinstance(order, Exploit):
                event |= {"event": "adopting", "source": order.source, "changes": dict(order.changes), "files": ["f"]}
            self.tell(event)
        if order is not None:
            for run in self.state.trial(number).runs:
                self.tell({"event": "started", "trial": number, "run": run.index})
        return order

    def end(
        self, number: int, value: float | None, *, status: str = "", epoch: int | None = None, run: int = 0
    ) -> None:
        """A trial has come to its rung, or to its end, with this value."""
        trial = self.state.trial(number)
        until = self.epochs if trial.until is None else trial.until
        epoch = until if epoch is None else epoch
        status = status or ("finished" if until == self.epochs else "paused")
        kept = [[e, list(v)] for e, v in trial.runs[run].reports.items() if e < epoch]
        ended = {"epoch": epoch, "status": status, "values": [value], "reports": [*kept, [epoch, [value]]]}
        self.tell({"event": "ended", "trial": number, "run": run, **ended})

    def report(self, number: int, *values: float | None) -> str | None:
        """A running trial's values of epoch 1, 2, ...; the verdict."""
        trial = self.state.trial(number)
        trial.runs[0].live = {epoch: (value,) for epoch, value in enumerate(values, start=1)}
        self.scheduler.heard(trial)
        return self.scheduler.verdict(trial, self.state.trials)


def promotions(events: Sequence[Mapping[str, Any]]) -> list[tuple[int, int | None]]:
    """(trial, until) of every promotion in a log."""
    return [(event["trial"], event["until"]) for event in events if event["event"] == "ordered"]


def wrong_promotions(
    events: Sequence[Mapping[str, Any]], rungs: Sequence[int], eta: int, *, mode: Literal["min", "max"] = "min"
) -> list[str]:
    """What breaks the rule of successive halving in a log, read without any scheduler's own books.

    A promotion must be of a trial that waits at its rung, was never promoted from there, and is among the best
    floor(n / eta) of the n that had reached the rung by then; those that failed on their way there are the worst of n.
    """
    sign = -1.0 if mode == "max" else 1.0
    reached: dict[int, dict[int, float]] = {rung: {} for rung in rungs}
    heading: dict[int, int] = {}
    gone: set[tuple[int, int]] = set()
    wrong = []
    for event in events:
        kind, trial = event["event"], event.get("trial", 0)
        if kind == "proposed":
            heading[trial] = event["until"] or rungs[-1]
        if kind == "ended" and event["status"] in ("paused", "finished"):
            if event["epoch"] not in reached:
                wrong.append(f"trial {trial} ended at epoch {event['epoch']}")
            else:
                value = event["values"][0]
                reached[event["epoch"]][trial] = math.inf if value is None else sign * value
        if kind == "ended" and event["status"] in ("failed", "stopped"):
            reached[heading[trial]][trial] = math.inf
        if kind != "ordered":
            continue
        heading[trial] = event["until"] or rungs[-1]
        at = max((rung for rung in rungs if trial in reached[rung]), default=0)
        known = reached.get(at, {})
        rank = sum(value < known[trial] for value in known.values()) if trial in known else len(known)
        if (trial, at) in gone:
            wrong.append(f"trial {trial} is promoted from {at} twice")
        if rank >= len(known) // eta:
            wrong.append(f"trial {trial} is number {rank + 1} of {len(known)} at {at}")
        gone.add((trial, at))
    return wrong


def replayed(make: Callable[[], Scheduler], events: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where a scheduler that was made anew and heard the log until a decision decides otherwise than the log says."""
    decisions = [place for place, event in enumerate(events) if event["event"] in ("proposed", "ordered", "adopting")]
    last = max((place for place in decisions if events[place]["event"] == "proposed"), default=-1)
    wrong = []
    for place in decisions:
        again = make()
        state = SweepState(Path("desk"), hears=again.heard)
        state.replay([dict(event) for event in events[:place]])
        order = again.next(state.trials, may_begin=place <= last)
        if order_words(order) != event_words(events[place]):
            wrong.append(f"{place}: {order_words(order)} instead of {event_words(events[place])}")
    return wrong


def order_words(order: Order | None) -> tuple[Any, ...]:
    if isinstance(order, New):
        return ("proposed", order.until, dict(order.notes))
    if isinstance(order, Exploit):
        return ("adopting", order.until, order.trial, order.source, dict(order.changes))
    return ("nothing",) if order is None else ("ordered", order.until, order.trial)


def event_words(event: Mapping[str, Any]) -> tuple[Any, ...]:
    kind = event["event"]
    if kind == "proposed":
        return (kind, event["until"], event["notes"])
    if kind == "adopting":
        return (kind, event["until"], event["trial"], event["source"], event["changes"])
    return (kind, event["until"], event["trial"])
