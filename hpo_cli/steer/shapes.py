"""What a command looks like: its verbs, their arguments, and what is wrong with one that comes from outside."""

from __future__ import annotations

import math
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hpo_cli.steer.changes import OPERATIONS

ID = re.compile(r"[0-9]{20}-[0-9a-f]{8}")
"""A command's id: nanoseconds since 1970 and eight random digits. Its file is `<id>.json`."""
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}")
"""The name of a kept checkpoint: a part of a file's name."""
_END_OF_ID = re.compile(r"[0-9a-z-]{1,40}")
LARGEST = 2**63 - 1
_LONGEST = {"who": 200, "why": 2000, "sent": 64}
_LONGEST_KEY, _LONGEST_TEXT, _DEEPEST, _MOST_WORDS = 200, 1000, 4, 100


@dataclass(frozen=True)
class Command:
    """One command to a run. args: see `VERBS`; who: user@host; sent: UTC, ISO 8601."""

    id: str
    verb: str
    args: Mapping[str, Any] = field(default_factory=dict)
    who: str = ""
    why: str = ""
    sent: str = ""


class NoCommandError(Exception):
    """What was read is no command; the text says why."""


def new_id() -> str:
    """An id for a command or an event; later ones sort behind earlier ones."""
    return f"{time.time_ns():020d}-{secrets.token_hex(4)}"


def command_from(value: object, *, id: str, verbs: Verbs | None = None) -> Command:  # noqa: A002 - as in the file
    """The command in parsed JSON. id: what its file is named after; verbs: default a run's. Raises NoCommandError."""
    verbs = VERBS if verbs is None else verbs
    found = _mapping(value, "it", required={"id", "verb", "args"}, known={"who", "why", "sent"})
    if found["id"] != id:
        raise NoCommandError("its id is not the name of its file")
    verb = found["verb"]
    if not isinstance(verb, str) or verb not in verbs:
        raise NoCommandError(f"its verb is none of {', '.join(verbs)}")
    texts = {name: _text(found.get(name, ""), name, most=most) for name, most in _LONGEST.items()}
    required, known = verbs[verb]
    args = _mapping(found["args"], "args", required=set(required), known=set(known))
    for name, check in (required | known).items():
        if name in args:
            check(args[name])
    return Command(id, verb, args, **texts)


def _mapping(value: object, name: str, *, required: set[str], known: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise NoCommandError(f"{name} is no JSON object")
    if missing := required - value.keys():
        raise NoCommandError(f"{name} has no {min(missing)}")
    if value.keys() - required - known:
        raise NoCommandError(f"{name} has keys that no command has")
    return value


def _text(value: object, name: str, *, most: int) -> str:
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise NoCommandError(f"{name} is no printable text of at most {most} characters")
    return value


def _count(value: object, name: str, *, least: int = 0) -> None:
    if type(value) is not int or not least <= value <= LARGEST:
        raise NoCommandError(f"{name} is no whole number from {least} up")


def _changes(value: object) -> None:
    """{key: [op, value]}, at least one."""
    if not isinstance(value, dict) or not value:
        raise NoCommandError("changes is no object with changes")
    for key, change in value.items():
        if not _text(key, "a key of changes", most=_LONGEST_KEY):
            raise NoCommandError("a key of changes is empty")
        if not isinstance(change, list) or len(change) != len(("op", "value")) or not isinstance(change[0], str):
            raise NoCommandError("a change is not [op, value]")
        op, given = change
        if op not in OPERATIONS:
            raise NoCommandError(f"an op is none of {' '.join(OPERATIONS)}")
        _plain(given, depth=_DEEPEST if key == "schedule" else 2)


def _plain(value: object, *, depth: int) -> None:
    """Scalars, lists of them, and for a schedule mappings of them."""
    if isinstance(value, str):
        _text(value, "a value", most=_LONGEST_TEXT)
    elif isinstance(value, (dict, list)) and depth == 1:
        raise NoCommandError("a value is nested too deep")
    elif isinstance(value, dict):
        if depth < _DEEPEST - 1:
            raise NoCommandError("a value is an object")
        for key, item in value.items():
            _text(key, "a key of a value", most=_LONGEST_KEY)
            _plain(item, depth=depth - 1)
    elif isinstance(value, list):
        for item in value:
            _plain(item, depth=depth - 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise NoCommandError("a value is not finite")
    elif isinstance(value, int) and abs(value) > LARGEST:
        raise NoCommandError("a value is too large")


def _one_of(value: object, name: str, kinds: Mapping[str, Callable[[object], None]]) -> None:
    """An object with just one of the keys."""
    if not isinstance(value, dict) or len(value) != 1 or not value.keys() <= kinds.keys():
        raise NoCommandError(f"{name} is not one of {', '.join(kinds)}")
    ((kind, item),) = value.items()
    kinds[kind](item)


def _share(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise NoCommandError("progress is no number from 0 to 1")


def _tag(value: object) -> None:
    if not isinstance(value, str) or not TAG.fullmatch(value):
        raise NoCommandError("a tag is no plain name")


def _true(value: object) -> None:
    if value is not True:
        raise NoCommandError("best is not true")


def _id(value: object) -> None:
    if not isinstance(value, str) or not _END_OF_ID.fullmatch(value):
        raise NoCommandError("scheduled is no id and no end of one")


def _due(value: object) -> None:
    counts = {name: lambda item, name=name: _count(item, name) for name in ("step", "epoch")}
    _one_of(value, "due", {**counts, "progress": _share})


def _to(value: object) -> None:
    counts = {name: lambda item, name=name: _count(item, name) for name in ("step", "epoch", "back")}
    _one_of(value, "to", {**counts, "tag": _tag, "best": _true})


def _skip(value: object) -> None:
    _count(value, "skip_batches")


def _changes_or_none(value: object) -> None:
    if value != {}:
        _changes(value)


def _words(value: object) -> None:
    if not isinstance(value, list) or not 0 < len(value) <= _MOST_WORDS:
        raise NoCommandError(f"words is no list of 1 to {_MOST_WORDS} words")
    for word in value:
        _text(word, "a word", most=_LONGEST_TEXT)


Arguments = dict[str, Callable[[object], None]]
Verbs = Mapping[str, tuple[Arguments, Arguments]]

SWEEP_VERBS: Verbs = {"edit": ({"words": _words}, {})}
"""The same for a sweep."""
VERBS: dict[str, tuple[Arguments, Arguments]] = {
    "nudge": ({"changes": _changes}, {"due": _due}),
    "pause": ({}, {}),
    "unpause": ({}, {}),
    "stop": ({}, {"due": _due}),
    "checkpoint": ({}, {"tag": _tag}),
    "rollback": ({"to": _to}, {"skip_batches": _skip, "changes": _changes_or_none}),
    "cancel": ({"scheduled": _id}, {}),
}
"""Verb -> the arguments that it needs and those that it may have, each with what checks it."""
