"""The words of changes, taken apart: which key, what is done to it, which values they name."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hpo_cli.errors import ConfigError, did_you_mean
from hpo_cli.sweep.dimension import Dimension

EDITABLE = (
    "workers", "trials", "minutes", "epochs", "target", "timeout_minutes", "retries", "on_failure", "keep_best",
    "disk_gb",
)  # fmt: skip
"""Settings that mean the same whenever they change; the others make trials that cannot be compared."""
ACTS = ("pause", "unpause", "stop")
BAN = "ban:"
_WORD = re.compile(r"(?P<key>[^=]+?)(?P<op>[*/+-]?=)(?P<text>.*)", re.DOTALL)
_INTERVAL = re.compile(r"interval\(\s*([^,()]+?)\s*,\s*([^,()]+?)\s*\)")
_CHOICE = re.compile(r"choice\((.*)\)")
_NUMBER_WORDS = {"true": True, "false": False, "null": None, "none": None}
_USE = "write workers=4, trials+=20, lr=interval(1e-4,1e-2), ban:optimizer=sgd, pause, unpause or stop"


@dataclass(frozen=True)
class Edit:
    """One word, taken apart. op: `=`, `+=`, `-=`, `*=`, `/=`; `ban` for a value that is to go; empty for an act."""

    word: str
    key: str
    op: str = ""
    text: str = ""


def read_edit(word: str) -> Edit:
    """A word taken apart. Raises ConfigError.

    >>> read_edit("trials+=20")
    Edit(word='trials+=20', key='trials', op='+=', text='20')
    >>> read_edit("ban:optimizer=sgd").op
    'ban'
    """
    if word in ACTS:
        return Edit(word, word)
    if word.startswith(BAN):
        key, _, text = word.removeprefix(BAN).partition("=")
        if not key or not text.strip():
            raise ConfigError(word, rule="names no value that is to go", fix="write ban:optimizer=sgd")
        return Edit(word, key, "ban", text.strip())
    found = _WORD.fullmatch(word)
    if found is None:
        near = did_you_mean(word, [*ACTS, *(f"{key}=" for key in EDITABLE)])
        raise ConfigError(word, rule="is no change of a sweep", fix=near or _USE)
    return Edit(word, found["key"].strip().removeprefix("sweep."), found["op"], found["text"].strip())


def box_of(edit: Edit, one: Dimension) -> Sequence[Any]:
    """(low, high) of a range, or the values of a list that stay. Raises ConfigError."""
    interval = _INTERVAL.fullmatch(edit.text)
    if interval:
        low, high = (value_of(text) for text in interval.groups())
        if not (is_number(low) and is_number(high) and low < high):
            raise ConfigError(edit.word, rule="is no range", fix=f"write {edit.key}=interval(low,high), two numbers")
        if one.choices is None:
            return low, high
        return [value for value in one.choices if is_number(value) and low <= value <= high]
    if one.choices is None:
        rule = f"would make another list of the range {one}"
        raise ConfigError(edit.word, rule=rule, fix=f"narrow it: {edit.key}=interval(low,high)")
    values = _values(edit.text)
    if unknown := [value for value in values if not one.contains(value)]:
        raise ConfigError(
            one.name, unknown[0], rule=f"was never searched here ({one})", fix="a sweep can only be narrowed"
        )
    return values


def _values(text: str) -> list[Any]:
    choice = _CHOICE.fullmatch(text)
    inner = choice[1] if choice else text
    return [value_of(part) for part in _parts(inner)]


def _parts(text: str) -> list[str]:
    """The parts between commas outside of brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[({") - (letter in "])}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def value_of(text: str) -> Any:
    """A scalar or a list as people type it."""
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        return [value_of(part) for part in _parts(text[1:-1])]
    if text.lower() in _NUMBER_WORDS:
        return _NUMBER_WORDS[text.lower()]
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        return number if math.isfinite(number) else text
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def is_number(value: object) -> bool:
    """Whether a value is a number, and not true or false."""
    return isinstance(value, int | float) and not isinstance(value, bool)
