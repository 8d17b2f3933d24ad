"""The sweep's log: everything that happens to it, one JSON object a line, held by one process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from hpo_cli.record import jsonl
from hpo_cli.record.atomic import sync_folder
from hpo_cli.record.ledger import now

Event = dict[str, Any]
SWEEP = "sweep.jsonl"
LOCK = "sweep.lock"


class Log(Protocol):
    """Where a driver reads what happened, and writes what it decides."""

    def locked(self) -> Any:
        """A context in which no other process reads or writes."""

    def news(self) -> list[Event]:
        """What others have written since the last call. Only inside `locked`."""

    def append(self, *events: Event) -> list[Event]:
        """Write events, on disk when this returns, and give them back as written. Only inside `locked`."""


class FolderLog:
    """The log in a sweep's folder. The lock is the kernel's: it ends with its process, also over NFS."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / SWEEP
        self._offset = 0
        self._held = False

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Wait until no other process holds the log, and hold it."""
        descriptor = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._held = True
            yield
        finally:
            self._held = False
            os.close(descriptor)

    def news(self) -> list[Event]:
        """What others have written since the last call; torn lines are passed over."""
        events, self._offset = read_from(self._path, self._offset)
        return events

    def append(self, *events: Event) -> list[Event]:
        """Write events, on disk when this returns. The caller must have taken the news before, in the same `locked`."""
        if not self._held:
            raise RuntimeError("the log is written by whoever holds its lock")
        lines = b"".join(jsonl.encode({"at": now(), **event}) for event in events)
        is_new = not self._path.exists()
        descriptor = jsonl.open_lines(self._path)
        try:
            jsonl.write_whole(descriptor, lines)
            os.fsync(descriptor)
            self._offset = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
        if is_new:
            sync_folder(self.folder)
        return list(jsonl.decode(lines).rows)


def read_from(path: Path, offset: int) -> tuple[list[Event], int]:
    """The events after a byte offset of a log, and the offset behind them."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            content = file.read()
    except FileNotFoundError:
        return [], 0
    whole = content.rfind(b"\n") + 1
    rows = jsonl.decode(content[:whole]).rows
    return [row for row in rows if isinstance(row.get("event"), str)], offset + whole


class MemoryLog:
    """A log without a folder, for sweeps in virtual time."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else can hold it."""
        yield

    def news(self) -> list[Event]:
        """Nobody else writes."""
        return []

    def append(self, *events: Event) -> list[Event]:
        """Keep the events."""
        self.events += events
        return list(events)
