"""Writes a run's metrics.jsonl, across kills, resumes and rollbacks, without a gap or a double row."""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Self

from hpo_cli.record import jsonl
from hpo_cli.record.links import NO_FOLLOW, refuse_link
from hpo_cli.record.living import living_rows, marker

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from hpo_cli.record.jsonl import Row

_BUFFER_BYTES = 1 << 16


class MetricsWriter:
    """Appends rows to a file: into memory at once, to the file on `flush`, to the disk on `sync` and `close`.

    after: the step of the state that a process goes on from. The living rows beyond it are *known*: a row that equals
    the next known one is not written twice, so that the file of a run that was killed and went on has the bytes of
    one that was not. The first row that differs, or that passes over a known one, abandons the known by a marker.
    since: `size` as it was when that state was saved. Where the rows up to `after` are no longer those of then, the
    process before was killed between going over to that state's line and its marker, which is written now.
    A last line that an earlier process left torn is cut off, one that lacks its newline alone is ended.
    Full buffers are flushed by themselves. Each method may be called from any thread; a sync holds up no append.
    """

    def __init__(self, path: Path | str, *, after: int | None = None, since: int | None = None) -> None:
        self._path = Path(path)
        self._descriptor = _open_mended(self._path)
        self._written = os.fstat(self._descriptor).st_size
        self._buffer = bytearray()
        self._rows = threading.RLock()  # the buffer, the known rows, writing
        self._disk = threading.Lock()  # the descriptor's life: it is not closed under a sync
        self._known: deque[Row] = deque()
        self._last: float = math.inf if self._written else -math.inf  # no living row lies beyond this step
        if after is not None:
            self._meet(after, since)

    @property
    def size(self) -> int:
        """Bytes written so far, those in memory included: the offset that `abandon(since=...)` takes."""
        with self._rows:
            return self._written + len(self._buffer)

    def append(self, row: Mapping[str, object]) -> None:
        """Takes one row; numbers that are not finite are written as null. Raises OSError with the row kept."""
        line = jsonl.encode(dict(row))
        with self._rows:
            if self._known and line == jsonl.encode(self._known[0]):
                self._known.popleft()
                return
            if self._known:
                self._forget_known(row["step"])
            self._buffer += line
            self._last = max(self._last, _step_of(row))
            if len(self._buffer) >= _BUFFER_BYTES:
                self.flush()

    def abandon(self, *, after: int, known_after: int | None = None, since: int | None = None) -> None:
        """Goes back to step `after`: the living rows beyond it are abandoned, by a marker where there are any.

        since: `size` as it was when the state on another line was saved; the rows of that line live again.
        known_after: the step of the state that training goes on from, to meet the rows up to `after` again.
        A run that ends at a step says abandon(after=step), for the rows that it did not come to again.
        """
        with self._rows:
            if not self._known and known_after is None and since is None and self._last <= after:
                return
            left = self._go_back(after, since)
            known = self._known if known_after is None else _between(left, known_after, after)
            self._known = deque(_between(known, None, after))

    def discard(self) -> None:
        """Closes without writing: what is in memory is lost. For who must not write here any more."""
        with self._rows:
            self._buffer.clear()
            with self._disk:
                if self._descriptor >= 0:
                    os.close(self._descriptor)
                    self._descriptor = -1

    def flush(self) -> None:
        """Hands the rows to the operating system. What a full disk refuses stays here for the next flush."""
        with self._rows:
            while self._buffer:
                count = os.write(self._descriptor, self._buffer)
                del self._buffer[:count]
                self._written += count

    def sync(self) -> None:
        """Returns when all rows that were appended before are on disk; nothing to do once closed."""
        if self._descriptor < 0:
            return
        self.flush()
        with self._disk:
            if self._descriptor >= 0:
                os.fsync(self._descriptor)

    def close(self) -> None:
        """Syncs and closes; closing twice is harmless."""
        try:
            self.sync()
        finally:
            with self._rows, self._disk:
                if self._descriptor >= 0:
                    os.close(self._descriptor)
                    self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _meet(self, after: int, since: int | None) -> None:
        content = self._content()
        rows = living_rows(content)
        if since is not None and _between(rows, None, after) != _between(living_rows(content[:since]), None, after):
            rows = self._go_back(after, since)
        self._known = deque(_between(rows, after, None))
        self._last = _last_step(rows, after)

    def _go_back(self, after: int, since: int | None) -> list[Row]:
        """Writes a marker where it changes anything. The rows that live then."""
        content = self._content()
        rows = living_rows(content)
        line = marker(to=after, come_from=_last_step(rows, after), since=since)
        left = living_rows(content + line)
        if left != rows:
            self._buffer += line
        self._last = _last_step(left, after)
        return left

    def _forget_known(self, step: object) -> None:
        first, last = self._known[0]["step"], self._known[-1]["step"]
        to = min(first, step if isinstance(step, int) else first) - 1
        self._buffer += marker(to=to, come_from=last, since=None)
        self._known.clear()
        self._last = to

    def _content(self) -> bytes:
        return self._path.read_bytes()[: self._written] + bytes(self._buffer)


def _between(rows: Iterable[Row], above: int | None, upto: int | None) -> list[Row]:
    beyond = (row for row in rows if above is None or row["step"] > above)
    return [row for row in beyond if upto is None or row["step"] <= upto]


def _last_step(rows: list[Row], otherwise: int) -> int:
    step: int = rows[-1]["step"] if rows else otherwise
    return step


def _step_of(row: Mapping[str, object]) -> float:
    """Whatever has no step counts as beyond any: who asks has to look."""
    step = row.get("step")
    return step if isinstance(step, int) else math.inf


def _open_mended(path: Path) -> int:
    refuse_link(path)
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | NO_FOLLOW | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o666)
    try:
        _mend_tail(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _mend_tail(path: Path, descriptor: int) -> None:
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(descriptor).st_size - 1))
        if file.read(1) in (b"", b"\n"):
            return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if jsonl.parse(content[whole:]) is None:
        os.ftruncate(descriptor, whole)
    else:
        jsonl.write_whole(descriptor, b"\n")
