"""The living line of a run: which of the things that happened to it are still in force after every rollback.

A run that went back has several pasts in its ledger. One of them is alive: a chain of nudges and rollbacks, in the
order in which training from the start would meet them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hpo_cli.record.contents import count, mapping, words
from hpo_cli.record.ledger import Event

STEERING = ("nudged", "rolled_back")
"""Events that training depends on. Each has an `id`."""


@dataclass(frozen=True)
class Line:
    """chain: the steering events in force, oldest first; checkpoints: the files of states that lie on this line.

    abandoned: checkpoint events that lie on another one.   standing: what was asked for later and is not yet done.
    done: the ids of what was asked for and is done, or cancelled.
    """

    chain: tuple[Event, ...] = ()
    checkpoints: tuple[Event, ...] = ()
    abandoned: tuple[Event, ...] = ()
    standing: tuple[Event, ...] = ()
    done: frozenset[str] = frozenset()

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the chain."""
        return tuple(event["id"] for event in self.chain)

    @property
    def floor_step(self) -> int:
        """How far back the run has a past of its own line: to where it took over another run's state, else 0."""
        return max((force_step(event) for event in self.chain if is_adoption(event)), default=0)

    def before(self, step: int) -> tuple[str, ...]:
        """The ids of what took force before the boundary after optimizer step `step`.

        A state that was taken over is where its line begins: it counts at its own boundary too.
        """
        return tuple(event["id"] for event in self.chain if force_step(event) < step + is_adoption(event))

    def carries(self, step: int, applied: Sequence[str]) -> bool:
        """Whether a state taken after `step` steps, with the events `applied` in force, lies on this line.

        No state from before the run took over another one's does.
        """
        unseen = self.chain[len(applied) :]
        if tuple(applied) != self.ids[: len(applied)] or any(map(is_adoption, unseen)):
            return False
        return not unseen or force_step(unseen[0]) >= step


def is_adoption(event: Event) -> bool:
    """Whether an event of the chain brought the state of another run."""
    return event["event"] == "rolled_back" and isinstance(event.get("adopted"), dict)


def force_step(event: Event) -> int:
    """The step boundary at which an event of the chain takes force."""
    step: int = event["to"] if event["event"] == "rolled_back" else event["step"]
    return step


def living_line(events: Iterable[Event]) -> Line:
    """What of a ledger is in force. Events that lack what their kind needs are passed over."""
    known: dict[str, Event] = {}
    chain: list[Event] = []
    saved: list[Event] = []
    asked: dict[str, Event] = {}
    done: set[str] = set()
    for event in events:
        kind = event["event"]
        if kind in STEERING and _is_whole(event):
            if event["id"] in known:  # written twice, when a disk was full in between
                continue
            if kind == "rolled_back":
                chain = [known[name] for name in words(event.get("line")) if name in known]
            known[event["id"]] = event
            chain.append(event)
        elif kind == "checkpointed":
            saved.append(event)
        elif kind == "scheduled" and isinstance(event.get("id"), str):
            asked[event["id"]] = event
        elif kind in ("cancelled", "fulfilled", "stopped"):
            done.add(str(event.get("scheduled")))
    done |= {str(event.get("scheduled")) for event in chain if event.get("scheduled")}
    done |= {name for event in chain if is_adoption(event) for name in words(event.get("done"))}
    line = Line(tuple(chain))
    alive = [_lies_on(line, event) for event in saved]
    return Line(
        chain=line.chain,
        checkpoints=tuple(event for event, lives in zip(saved, alive, strict=True) if lives),
        abandoned=tuple(event for event, lives in zip(saved, alive, strict=True) if not lives),
        standing=tuple(event for name, event in asked.items() if name not in done),
        done=frozenset(done),
    )


def _lies_on(line: Line, event: Event) -> bool:
    step = count(event.get("step"))
    return step is not None and line.carries(step, words(event.get("line")))


def _is_whole(event: Event) -> bool:
    if not isinstance(event.get("id"), str) or count(event.get("step")) is None:
        return False
    if event["event"] == "rolled_back":
        return count(event.get("to")) is not None
    return isinstance(event.get("knobs"), dict)


def settings_of(line: Line) -> dict[str, Any]:
    """The newest value of each knob that was nudged."""
    found: dict[str, Any] = {}
    for event in line.chain:
        knobs = mapping(event.get("knobs"))
        found.update({key: change["new"] for key, change in knobs.items() if "new" in mapping(change)})
    return found
