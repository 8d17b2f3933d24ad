"""A trial's setting in few words: `optimizer=adam lr=0.00312`, the keys as short as they stay unique."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from hpo_cli.console.figures import figure
from hpo_cli.console.output import cells
from hpo_cli.console.tables import one_line, shorten
from hpo_cli.errors import shown

_SHORTEST_KEY, _SHORTEST_VALUE = 3, 6


def setting_words(setting: Mapping[str, Any], keys: Collection[str], *, room: int | None = None) -> str:
    """The setting as one line. keys: all that the sweep varies, against which a short one must be unique.

    room: at most so many columns; keys are cut before values, the longest first.
    >>> setting_words({"optimizer.lr": 0.0031622, "loss": "mse"}, ["optimizer.lr", "loss"])
    'lr=0.003162 loss=mse'
    >>> setting_words({"regularization.dropout": 0.5, "optimizer": "momentum"}, [], room=20)
    'dro…=0.5 opt…=mome…'
    """
    pairs = [(short_key(key, keys), one_line(value_words(value))) for key, value in setting.items()]
    if not pairs:
        return "as it is"
    if room is not None:
        pairs = _fitted(pairs, room)
    text = " ".join(f"{key}={value}" for key, value in pairs)
    return text if room is None else shorten(text, max(1, room))


def short_key(key: str, keys: Collection[str]) -> str:
    """The last part of a key, with the one before it where the sweep varies another of that name.

    >>> short_key("optimizer.lr", ["optimizer.lr"]), short_key("a.b.rate", ["a.b.rate", "a.c.rate"])
    ('lr', 'b.rate')
    """
    parts = key.split(".")
    for count in range(1, len(parts) + 1):
        short = ".".join(parts[-count:])
        if not any(other != key and (other == short or other.endswith(f".{short}")) for other in keys):
            return short
    return key


def value_words(value: object) -> str:
    """A value in four significant digits."""
    if isinstance(value, float):
        return figure(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(value_words(one) for one in value)}]"
    return shown(value)


def _fitted(pairs: list[tuple[str, str]], room: int) -> list[tuple[str, str]]:
    """The pairs with keys, then values cut, the longest first, until they fit or are as short as can be."""
    whole = pairs
    limits = {0: _longest(pairs, 0), 1: _longest(pairs, 1)}
    for part, shortest in ((0, _SHORTEST_KEY), (1, _SHORTEST_VALUE)):
        while _width(pairs) > room and limits[part] > shortest + 1:
            limits[part] -= 1
            pairs = [(shorten(key, limits[0]), shorten(value, limits[1])) for key, value in whole]
    return pairs


def _longest(pairs: list[tuple[str, str]], part: int) -> int:
    return max(cells(pair[part]) for pair in pairs)


def _width(pairs: list[tuple[str, str]]) -> int:
    return sum(cells(key) + cells(value) + 2 for key, value in pairs) - 1
