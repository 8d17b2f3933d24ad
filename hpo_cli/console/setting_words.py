"""A trial's setting in few words: `optimizer=adam lr=0.00312`, the keys as short as they stay unique."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from hpo_cli.console.figures import figure
from hpo_cli.console.output import cells
from hpo_cli.console.tables import one_line, shorten
from hpo_cli.errors import shown
from hpo_cli.report.expected import TIERS, tier_of

_SHORTEST_KEY, _SHORTEST_WORD = 4, 6
_DIGITS = (4, 3, 2)
Pairs = list[tuple[str, str]]


def setting_words(setting: Mapping[str, Any], keys: Collection[str], *, room: int | None = None) -> str:
    """The setting as one line, what usually matters most first, as far as it is known.

    keys: all that the sweep varies, against which a short one must be unique.

    room: at most so many columns: first digits go, then ends of keys and of words, the longest first, then what
    comes last. A number is never cut in the middle.
    >>> setting_words({"optimizer.lr": 0.0031622, "loss": "mse"}, ["optimizer.lr", "loss"])
    'lr=0.003162 loss=mse'
    >>> setting_words({"regularization.dropout": 0.5, "optimizer": "momentum"}, [], room=20)
    'opt…=momen… dro…=0.5'
    >>> setting_words({"optimizer.lr": 0.0031622, "optimizer": "momentum"}, [], room=12)
    'opt…=momen… …'
    """
    if not setting:
        return "as it is"
    setting = dict(sorted(setting.items(), key=lambda pair: _weight(pair[0])))
    names = [short_key(key, keys) for key in setting]
    if room is None:
        return _joined(list(zip(names, map(value_words, setting.values()), strict=True)))
    for digits in _DIGITS:
        pairs = [(name, value_words(value, digits)) for name, value in zip(names, setting.values(), strict=True)]
        if _width(pairs) <= room:
            return _joined(pairs)
    return _begun(_fitted(pairs, list(setting.values()), room), room)


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


def value_words(value: object, digits: int = 4) -> str:
    """A value in so many significant digits."""
    if isinstance(value, float):
        return figure(value, digits=digits)
    if isinstance(value, list | tuple):
        return f"[{','.join(value_words(one, digits) for one in value)}]"
    return one_line(shown(value))


def _weight(key: str) -> int:
    """Less comes first: the optimizer, of which the rest depends, then the order of `report.expected`."""
    return 0 if key == "optimizer" else tier_of([key]) or len(TIERS) + 1


def _fitted(pairs: Pairs, values: Sequence[object], room: int) -> Pairs:
    """The pairs with keys, then words cut, the longest first, until they fit or are as short as can be."""
    key_room, word_room = (max(cells(pair[part]) for pair in pairs) for part in (0, 1))
    kept = pairs
    while _width(kept) > room and (key_room > _SHORTEST_KEY or word_room > _SHORTEST_WORD):
        key_room, word_room = (key_room - 1, word_room) if key_room > _SHORTEST_KEY else (key_room, word_room - 1)
        kept = [
            (shorten(key, key_room), text if isinstance(value, int | float) else shorten(text, word_room))
            for (key, text), value in zip(pairs, values, strict=True)
        ]
    return kept


def _begun(pairs: Pairs, room: int) -> str:
    """As many of the pairs as fit."""
    for count in range(len(pairs), 0, -1):
        text = _joined(pairs[:count]) + (" …" if count < len(pairs) else "")
        if cells(text) <= room:
            return text
    return shorten(_joined(pairs), max(1, room))


def _joined(pairs: Pairs) -> str:
    return " ".join(f"{key}={value}" for key, value in pairs)


def _width(pairs: Pairs) -> int:
    return cells(_joined(pairs))
