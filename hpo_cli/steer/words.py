"""Words of a nudge, taken apart before Hydra sees them: `lr=3e-4`, `lr*=0.9`, `epochs+=20`."""

from __future__ import annotations

import re
from typing import NamedTuple

from hpo_cli.errors import ConfigError

_WORD = re.compile(r"(?P<key>[^=]+?)(?P<op>[*/+-]?=)(?P<text>.*)", re.DOTALL)
_KEY = re.compile(r"[A-Za-z_][^\s=~@]*")


class Word(NamedTuple):
    """One word. text: its value as it was typed."""

    key: str
    op: str
    text: str


def split_word(word: str) -> Word:
    """The parts of a word. Raises ConfigError for what changes no value.

    >>> split_word("lr*=0.9"), split_word("schedule.floor=-1")
    (Word(key='lr', op='*=', text='0.9'), Word(key='schedule.floor', op='=', text='-1'))
    """
    found = _WORD.fullmatch(word)
    if found is None or not _KEY.fullmatch(found["key"]):
        rule = "is no change of a knob"
        raise ConfigError(word, rule=rule, fix="write key=value, or key*=0.9, key/=3, key+=20, key-=1")
    return Word(found["key"], found["op"], found["text"].strip())
