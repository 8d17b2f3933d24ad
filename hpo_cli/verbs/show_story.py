"""What was done to a run, told line by line: nudges, rollbacks, pauses, branches, and how to go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from hpo_cli.console.happenings import value_of
from hpo_cli.console.waiting import asked_for, changes_typed
from hpo_cli.record.contents import Values, count, mapping, text
from hpo_cli.record.line import STEERING, Line
from hpo_cli.steer.story import taken_from

if TYPE_CHECKING:
    from hpo_cli.record.ledger import Event

TOLD = (
    *STEERING, "scheduled", "cancelled", "fulfilled", "resumed", "paused", "unpaused", "stopped", "interrupted",
    "failed", "set_aside", "warned",
)  # fmt: skip
"""The kinds of events that make a story; ends are part of it where the run went on after them."""
_SHOWN = 40
_GO_ON = ("died", "interrupted", "stopped", "failed", "not started")


def story(events: Sequence[Event]) -> tuple[Event, ...]:
    """The events worth telling, in the order in which they happened."""
    last = len(events) - 1
    return tuple(event for index, event in enumerate(events) if _is_told(event, is_last=index == last))


def story_lines(events: Sequence[Event], line: Line) -> list[str]:
    """A line for each event of the story, the last forty of them; what a rollback undid is marked."""
    asked = {text(event.get("id")): event for event in events if event["event"] == "scheduled"}
    fates = _fates(events, line)
    told = [
        f"step {event.get('step')}: {_said(event, asked)}{_undone(event, line)}{fates.get(id(event), '')}"
        for event in story(events)
    ]
    hidden = len(told) - _SHOWN
    return [*([f"{hidden} earlier ones"] if hidden > 0 else []), *told[-_SHOWN:]]


def origin(started: Values) -> Values:
    """`parent` or `replay_of` of a run that came from another one, else empty."""
    return mapping(started.get("parent")) or mapping(started.get("replay_of"))


def origin_line(started: Values) -> str:
    """Which run this one came from and where it left it."""
    found = origin(started)
    if not found:
        return ""
    name = f"{found.get('run')} ({found.get('path')})" if found.get("path") else str(found.get("run"))
    if not mapping(started.get("parent")):
        return f"a replay of {name}"
    partly = ", the weights that fit" if found.get("partial") else ""
    return f"branched from {name} at step {found.get('step')}{partly}"


def go_on(status: str, reference: str) -> str:
    """The command that lets a run go on; empty where it does, or has finished."""
    if status == "paused":
        return f"hpo-run unpause {reference}"
    return f"hpo-run resume={reference}" if status in _GO_ON else ""


def _is_told(event: Event, *, is_last: bool) -> bool:
    kind = event["event"]
    return kind in TOLD or (kind == "checkpointed" and bool(event.get("tag"))) or (kind == "finished" and not is_last)


def _undone(event: Event, line: Line) -> str:
    is_off = event["event"] in STEERING and event.get("id") not in line.ids
    is_abandoned = event["event"] == "checkpointed" and any(event is one for one in line.abandoned)
    return "  [abandoned]" if is_off or is_abandoned else ""


def _fates(events: Sequence[Event], line: Line) -> dict[int, str]:
    """What came of each order for later, by the identity of its event."""
    standing = {id(event) for event in line.standing}
    cancelled = {text(event.get("scheduled")) for event in events if event["event"] == "cancelled"}
    orders = [event for event in events if event["event"] == "scheduled" and isinstance(event.get("id"), str)]
    return {
        id(event): f"  [{'waits' if id(event) in standing else 'cancelled' if event['id'] in cancelled else 'done'}]"
        for event in orders
    }


def _said(event: Event, asked: Mapping[str, Event]) -> str:
    kind = event["event"]
    if kind in _OF_ORDERS:
        order = asked.get(text(event.get("scheduled")))
        which = asked_for(order) if order else event.get("scheduled")
        return f"{_OF_ORDERS[kind]}: {which}{_because(event)}{_by(event)}"
    return "".join(_PARTS[kind](event) if kind in _PARTS else [kind]) + _by(event)


def _changes(knobs: Values) -> str:
    changes = ((key, mapping(change)) for key, change in knobs.items())
    return ", ".join(f"{key} {value_of(change.get('old'))} -> {value_of(change.get('new'))}" for key, change in changes)


def _went_back(event: Event) -> Iterator[str]:
    if event.get("adopted"):
        yield f"took over the state of {taken_from(event)}, from step {event.get('step')} to {event.get('to')}"
        return
    yield f"rolled back from step {event.get('step')} to {event.get('to')}"
    if event.get("file"):
        yield f" ({event['file']})"
    if count(event.get("skip_batches")):
        yield f", {event['skip_batches']} batches skipped"
    yield _asked(mapping(event.get("changes")))


def _asked(changes: Values) -> str:
    return f", {changes_typed(changes)}" if changes else ""


def _because(event: Event) -> str:
    return f": {event['reason']}" if event.get("reason") else ""


def _by(event: Event) -> str:
    said = ": ".join(part for part in (text(event.get("who")), text(event.get("why"))) if part)
    return f"  ({said})" if said else ""


def _nudged(event: Event) -> Iterator[str]:
    yield _changes(mapping(event.get("knobs"))) or "nudged"


_OF_ORDERS = {"cancelled": "cancelled", "fulfilled": "done as asked"}
_PARTS: Mapping[str, Callable[[Event], Iterable[str]]] = {
    "nudged": _nudged,
    "rolled_back": _went_back,
    "scheduled": lambda event: [f"asked for: {asked_for(event)}"],
    "resumed": lambda event: [f"resumed from {event.get('file') or 'the start'}"],
    "checkpointed": lambda event: [f"tag {event.get('tag')}: {event.get('file')}"],
    "interrupted": lambda event: [f"interrupted by {event.get('signal')}"],
    "failed": lambda event: [f"failed: {event.get('reason')}"],
    "set_aside": lambda event: [f"set aside {event.get('file')}", _because(event)],
    "warned": lambda event: [str(event.get("what"))],
}
