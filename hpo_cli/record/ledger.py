"""The ledger: everything that happens to a run, one JSON object a line, appended and synced to disk.

State is what replaying the ledger gives. A torn last line is recognised and set aside, never fatal.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hpo_cli.record import jsonl
from hpo_cli.record.atomic import sync_folder
from hpo_cli.record.folder import LEDGER

if TYPE_CHECKING:
    from collections.abc import Iterable

Event = dict[str, Any]
Status = Literal["unstarted", "started", "finished", "failed", "interrupted", "stopped"]
_APPENDING = threading.Lock()  # of several threads of a process; several processes append whole lines anyway


@dataclass(frozen=True)
class Ledger:
    """A ledger read back. events: in the order written; set_aside: lines that are torn or no event."""

    events: tuple[Event, ...]
    set_aside: tuple[str, ...]


@dataclass(frozen=True)
class State:
    """Where a run stands, from its events alone. step: the last optimizer step that an event names.

    After a rollback that is the step it went back to. paused: whether it was last heard to wait; has_begun: whether
    anybody trained it.
    """

    status: Status = "unstarted"
    step: int = 0
    paused: bool = False
    has_begun: bool = False
    started: Event | None = None
    data: Event | None = None
    ended: Event | None = None
    checkpoints: tuple[Event, ...] = ()
    warnings: tuple[Event, ...] = ()
    tests: tuple[Event, ...] = ()


def append(where: Path | str, event: str, *, step: int, **fields: object) -> Event:
    """Writes one event, on disk when this returns, and gives it back as written.

    where: the run's folder or the ledger itself. step: optimizer steps done. `at` (UTC) is added here. A last
    line that was cut short is ended first, so that the two are never merged.
    """
    if "at" in fields:
        raise ValueError("the time of an event is the time of writing it: leave `at` out")
    path = ledger_path(where)
    line = jsonl.encode({"at": now(), "event": event, "step": step, **fields})
    with _APPENDING:
        _write_line(path, line)
    return jsonl.parse(line) or {}


def read_ledger(where: Path | str) -> Ledger:
    """The events of a ledger. where: the run's folder or the ledger itself. Raises OSError."""
    return decode_ledger(ledger_path(where).read_bytes())


def decode_ledger(content: bytes) -> Ledger:
    """The events in the bytes of a ledger or of any beginning of one."""
    lines = jsonl.decode(content)
    events = tuple(row for row in lines.rows if isinstance(row.get("event"), str))
    strange = tuple(str(row) for row in lines.rows if not isinstance(row.get("event"), str))
    return Ledger(events, lines.set_aside + strange)


def fold(events: Iterable[Event]) -> State:
    """Replays events into the state they leave. Events of unknown kinds count for their step alone."""
    found: dict[str, list[Event]] = {}
    status: Status = "unstarted"
    step = 0
    paused = False
    ended: Event | None = None
    for event in events:
        found.setdefault(event["event"], []).append(event)
        step = _step_after(event, step)
        match event["event"]:
            case "started" | "resumed":
                status, ended, paused = "started", None, False
            case "paused" | "unpaused" as kind:
                paused = kind == "paused"
            case "finished" | "failed" | "interrupted" | "stopped" as end:
                status, ended, paused = end, event, False
    return State(
        status=status,
        step=step,
        paused=paused,
        has_begun=not {"data", "resumed", "checkpointed"}.isdisjoint(found),
        started=found.get("started", [None])[0],
        data=found.get("data", [None])[-1],
        ended=ended,
        checkpoints=tuple(found.get("checkpointed", ())),
        warnings=tuple(found.get("warned", ())),
        tests=tuple(found.get("tested", ())),
    )


def ledger_path(where: Path | str) -> Path:
    """The ledger of a run's folder, or `where` itself when it is a ledger's file."""
    path = Path(where)
    return path / LEDGER if path.is_dir() else path


def now() -> str:
    """The time now in UTC, ISO 8601 with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _write_line(path: Path, line: bytes) -> None:
    is_new = not path.exists()
    descriptor = jsonl.open_lines(path)
    try:
        jsonl.write_whole(descriptor, line)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        sync_folder(path.parent)


def _step_after(event: Event, step: int) -> int:
    value = event.get("to" if event["event"] == "rolled_back" else "step")
    return value if type(value) is int else step
