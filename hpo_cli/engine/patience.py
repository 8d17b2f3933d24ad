"""A full disk does not end a run: whoever writes says so once, waits for room, and goes on."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from hpo_cli.errors import RunFailedError
from hpo_cli.record import jsonl, ledger

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What a file system without room, or a user beyond the quota, gets for a write."""

WAIT_S = 5.0
LAST_WORDS_S = 3.0
"""How long a run that was asked to stop tries to write how it ended; schedulers kill after 30 s."""
_LOOK_S = 0.2  # how often a waiting writer looks whether it is asked to stop

Value = TypeVar("Value")
Say = Callable[[str], None]

_LEDGER = threading.Lock()  # an attempt that failed is taken back before the next one begins


class Asked(Protocol):
    """Knows whether somebody asked the run to stop: engine.stop.StopFlag."""

    signum: int | None


class NoRoomError(RunFailedError):
    """The disk stayed full until somebody asked the run to stop, or for too long. signum: of who asked, if anybody."""

    def __init__(self, where: Path | str, what: str, *, signum: int | None = None) -> None:
        super().__init__(f"disk full: {where}: {what}; what was saved before is intact")
        self.signum = signum


def to_stderr(line: str) -> None:
    """One line for whoever watches the run."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or what it came from, is a full disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


class Patience:
    """Repeats what a full disk refused until there is room. Threads share one: they say it once.

    say: gets one line when waiting begins and one when it is over.   stop: ends the wait, with NoRoomError; so does
    limit_s, after so many seconds.
    """

    def __init__(
        self,
        *,
        say: Say = to_stderr,
        stop: Asked | None = None,
        wait_s: float = WAIT_S,
        limit_s: float = math.inf,
    ) -> None:
        self._say, self._stop, self._wait_s, self._limit_s = say, stop, wait_s, limit_s
        self._num_waiting = 0
        self._count = threading.Lock()

    def last_words(self, limit_s: float = LAST_WORDS_S) -> Patience:
        """One for how a run ended, which must be written though somebody asked it to stop: it waits `limit_s` at most.

        Raises NoRoomError after that.
        """
        return Patience(say=self._say, wait_s=min(self._wait_s, _LOOK_S), limit_s=limit_s)

    def run(self, action: Callable[[], Value], *, where: Path | str) -> Value:
        """What `action` gives, once the disk has room for it. Every other error goes on at once.

        where: the file that is written, for the message. An action that failed must be fit to be repeated.
        """
        try:
            return action()
        except (OSError, RuntimeError) as error:
            if not is_full(error):
                raise
        self._begin(where)
        try:
            value = self._repeat(action, where)
        except BaseException:
            self._end()
            raise
        if self._end() == 0:
            self._say("the disk has room again: training goes on")
        return value

    def _repeat(self, action: Callable[[], Value], where: Path | str) -> Value:
        give_up = time.monotonic() + self._limit_s
        while True:
            self._wait(where, give_up)
            try:
                return action()
            except (OSError, RuntimeError) as error:
                if not is_full(error):
                    raise

    def _wait(self, where: Path | str, give_up: float) -> None:
        until = time.monotonic() + self._wait_s
        while True:
            if self._stop is not None and self._stop.signum is not None:
                raise NoRoomError(where, "asked to stop while waiting for room", signum=self._stop.signum)
            if time.monotonic() >= give_up:
                raise NoRoomError(where, f"no room for {self._limit_s:.0f} s")
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(_LOOK_S, left))

    def _begin(self, where: Path | str) -> None:
        with self._count:
            self._num_waiting += 1
            first = self._num_waiting == 1
        if first:
            self._say(f"disk full: {where}: training waits; free space and it goes on")

    def _end(self) -> int:
        """How many still wait."""
        with self._count:
            self._num_waiting -= 1
            return self._num_waiting


def append(where: Path | str, event: str, *, step: int, patience: Patience, **fields: object) -> ledger.Event:
    """`ledger.append` that waits for room. What an attempt left of its line is taken back: no torn or double line."""
    path = ledger.ledger_path(where)

    def attempt() -> ledger.Event:
        with _LEDGER:
            size = path.stat().st_size if path.exists() else 0
            try:
                return ledger.append(where, event, step=step, **fields)
            except OSError as error:
                if is_full(error):
                    _take_back(path, size, event)
                raise

    return patience.run(attempt, where=path)


def _take_back(path: Path, size: int, event: str) -> None:
    """Cut what a failed attempt wrote after `size`, unless it is more than that or another's."""
    with contextlib.suppress(OSError):
        tail = path.read_bytes()[size:].lstrip(b"\n")
        torn = b"\n" not in tail
        whole = tail.count(b"\n") == 1 and (jsonl.parse(tail) or {}).get("event") == event
        if torn or whole:
            os.truncate(path, size)
