"""What the members of a population have now: whose state each one took over, when, and its knobs since then."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.log import SWEEP, read_from
from hpo_cli.sweep.space import Setting
from hpo_cli.sweep.state import Event

_TELLING = ("proposed", "ended", "adopting")


@dataclass(frozen=True)
class Phase:
    """A stretch of a member's training.

    epoch: at which it began, of the state that it went on from.   knobs: its whole setting since then.
    source: the member whose state that was; None at the beginning.   left: the epoch of its own that it gave up then.
    changes: the knobs that were set anew.
    """

    epoch: int
    knobs: Setting
    source: int | None = None
    left: int = 0
    changes: Setting = field(default_factory=dict)


Histories = Mapping[int, tuple[Phase, ...]]
"""Number of a trial -> its phases, the oldest first."""


def histories(events: Iterable[Event]) -> Histories:
    """The phases of every trial, by the events of a sweep's log.

    A member goes on from the epoch of the state that it took over, which may lie before or behind its own.
    """
    found: dict[int, list[Phase]] = {}
    epochs: dict[int, int] = {}
    for event in events:
        number = event.get("trial")
        if event["event"] == "proposed":
            found[event["trial"]] = [Phase(0, event["setting"])]
        elif event["event"] == "ended":
            epochs[event["trial"]] = event.get("epoch") or 0
        elif event["event"] == "adopting" and number in found:
            source, left = event["source"], epochs.get(event["trial"], 0)
            epochs[event["trial"]] = epochs.get(source, 0)
            changes = event.get("changes") or {}
            knobs = {**found[event["trial"]][-1].knobs, **changes}
            found[event["trial"]].append(Phase(epochs[event["trial"]], knobs, source, left, changes))
    return {number: tuple(phases) for number, phases in found.items()}


def read_histories(state: SweepState) -> Histories:
    """The phases of all trials of a population; empty for a sweep in which nobody took anything over."""
    if not any(trial.num_adopted for trial in state.trials):
        return {}
    return histories(read_from(state.folder / SWEEP, 0)[0])


def with_knobs(state: SweepState, found: Histories) -> SweepState:
    """The sweep with the settings that its trials have now, in a copy; itself where they are those of the beginning."""
    changed = {number: phases[-1].knobs for number, phases in found.items() if len(phases) > 1}
    if not changed:
        return state
    shown = copy.copy(state)
    shown.trials = [
        replace(trial, setting=changed[trial.number]) if trial.number in changed else trial for trial in state.trials
    ]
    return shown


def as_it_is(state: SweepState) -> SweepState:
    """`with_knobs`, by the sweep's log."""
    return with_knobs(state, read_histories(state))


@dataclass
class Members:
    """The histories of a sweep that goes on, kept up by `take`. found: as far as they were taken."""

    found: Histories = field(default_factory=dict)
    _events: list[Event] = field(default_factory=list)
    _offset: int = 0
    _told: int = 0

    def take(self, state: SweepState) -> list[tuple[int, Phase]]:
        """Who took a state over since the last call: trial and phase, in the order in which it happened."""
        if state.settings.scheduler != "pbt" or sum(trial.num_adopted for trial in state.trials) <= self._told:
            return []
        events, self._offset = read_from(state.folder / SWEEP, self._offset)
        self._events += [event for event in events if event["event"] in _TELLING]
        self.found = histories(self._events)
        order = [event["trial"] for event in self._events if event["event"] == "adopting"]
        news, at = [], dict.fromkeys(self.found, 0)
        for place, number in enumerate(order):
            at[number] += 1
            if place >= self._told:
                news.append((number, self.found[number][at[number]]))
        self._told = len(order)
        return news
