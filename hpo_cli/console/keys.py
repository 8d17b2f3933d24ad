"""Bytes from a terminal as keys. Arrows and other long sequences are no keys here and are dropped."""

from __future__ import annotations

import re

_NAMED = {"\r": "enter", "\n": "enter", "\x7f": "backspace", "\x08": "backspace", "\x15": "clear", "\x1b": "esc"}
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[ -~])")


def keys_in(content: bytes) -> list[str]:
    """The keys in what one read of a terminal gave: characters, or `enter`, `backspace`, `clear`, `esc`.

    >>> keys_in(b"n\\x1b[Alr/=3\\r")
    ['n', 'l', 'r', '/', '=', '3', 'enter']
    """
    text = _SEQUENCE.sub("", content.decode("utf-8", "ignore"))
    return [_NAMED.get(letter, letter) for letter in text if letter in _NAMED or letter.isprintable()]
