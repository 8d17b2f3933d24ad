"""The commands that lie in a run's folder, read with distrust: anyone may have put anything there."""

from __future__ import annotations

import errno
import heapq
import json
import os
import secrets
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hpo_cli.record.folder import CONTROL
from hpo_cli.record.links import refuse_link
from hpo_cli.steer.shapes import ID, VERBS, Command, NoCommandError, Verbs, command_from

INBOX = "inbox"
ACKS = "acks"
SET_ASIDE = "set-aside"
ENDING = ".json"
LARGEST_FILE = 64 << 10
MOST_AT_ONCE = 256
"""Files that one reading takes on: a flood must not hold a training step up for long."""
_OPEN = (
    os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
)  # a link is not followed, a pipe does not hold the reader
_PASSING = {
    errno.ENOENT, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN,
}  # fmt: skip
"""Errors that are no fault of the file's."""


@dataclass(frozen=True)
class Reject:
    """A file that is no command, and why. file: its name, in ASCII."""

    file: str
    reason: str


@dataclass(frozen=True)
class Found:
    """What one reading found. commands: in the order of their names, oldest first."""

    commands: tuple[Command, ...] = ()
    rejects: tuple[Reject, ...] = ()


class Inbox:
    """The commands of one run. What is none is moved to `control/set-aside/`, and never reported twice.

    verbs: those that are known, default a run's.
    Raises UserError where one of the folders that it works in is a symbolic link.
    """

    def __init__(self, folder: Path | str, *, verbs: Verbs = VERBS) -> None:
        self._folder, self._verbs = Path(folder), verbs
        control = self._folder / CONTROL
        refuse_link(control, *(control / name for name in (INBOX, ACKS, SET_ASIDE)))
        self._inbox = self._folder / CONTROL / INBOX
        self._listed = os.fspath(self._inbox)
        self._stuck: set[str] = set()  # rejects that could not be moved

    def pending(self) -> bool:
        """Whether there is something to read. Cheap: one listing of a folder, which may be missing."""
        try:
            with os.scandir(self._listed) as entries:
                return any(entry.name[0] != "." and entry.name not in self._stuck for entry in entries)
        except OSError:
            return False

    def read(self) -> Found:
        """The commands there are; they stay until they are acknowledged. Never raises for what it finds."""
        commands, rejects = [], []
        for name in self._names():
            try:
                command = self._command(name)
            except NoCommandError as error:
                self._set_aside(name)
                rejects.append(Reject(ascii(name)[1:-1], str(error)))
            else:
                commands += [command] if command else []
        return Found(tuple(commands), tuple(rejects))

    def _names(self) -> list[str]:
        try:
            with os.scandir(self._listed) as entries:
                names = [entry.name for entry in entries if entry.name[0] != "." and entry.name not in self._stuck]
        except OSError:
            return []
        return heapq.nsmallest(MOST_AT_ONCE, names)

    def _command(self, name: str) -> Command | None:
        """The command in a file, None where the file has gone or cannot be read just now. Raises NoCommandError."""
        stem = name.removesuffix(ENDING)
        if stem == name or not ID.fullmatch(stem):
            raise NoCommandError("its name is no command's")
        try:
            content = self._content(self._inbox / name)
        except OSError as error:
            if error.errno in _PASSING:
                return None
            raise NoCommandError(f"it cannot be read ({error.strerror})") from error
        return command_from(_parsed(content), id=stem, verbs=self._verbs)

    def _content(self, path: Path) -> bytes:
        _check_kind(path.lstat())  # before it is opened: to open a device can do something
        with os.fdopen(os.open(path, _OPEN), "rb") as file:
            found = os.fstat(file.fileno())
            _check_kind(found)
            if found.st_uid not in self._trusted():
                raise NoCommandError(f"it belongs to another user ({found.st_uid})")
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise NoCommandError(f"it is larger than {LARGEST_FILE >> 10} KiB")
        return content

    def _trusted(self) -> tuple[int, ...]:
        """The users whose commands are obeyed: who trains, root, and who owns the run's folder."""
        return own_user(), 0, self._folder.stat().st_uid

    def _set_aside(self, name: str) -> None:
        place = self._folder / CONTROL / SET_ASIDE
        goal = place / name
        try:
            place.mkdir(exist_ok=True)
            if os.path.lexists(goal):
                goal = place / f"{time.time_ns():020d}-{secrets.token_hex(4)}"
            (self._inbox / name).rename(goal)
        except (OSError, ValueError):
            self._stuck.add(name)


def own_user() -> int:
    """The user of this process; 0 where the system has no such numbers."""
    return os.geteuid() if hasattr(os, "geteuid") else 0


def read_inbox(folder: Path | str) -> Found:
    """The commands that a run's folder has now; what is none is set aside."""
    return Inbox(folder).read()


def _check_kind(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise NoCommandError("it is no plain file")


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content.decode(), parse_constant=_no_number, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise NoCommandError("it is no strict JSON") from error


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands there twice")
    return found
