"""Errors that a user can act on: the config key, the value, the rule and the next step, on one line."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MISSING = object()


class UserError(Exception):
    """The command or its input was wrong; shown as plain lines without a traceback, exit code 2."""

    exit_code = 2


class RunFailedError(UserError):
    """The command was right but the run failed (a NaN loss, a full disk); exit code 1."""

    exit_code = 1


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a config. `str()` gives the line that the user sees."""

    key: str
    rule: str
    fix: str = ""
    value: object = _MISSING

    def __str__(self) -> str:
        what = shown(self.key) if self.value is _MISSING else f"{self.key}={shown(self.value)}"
        line = f"{what}: {self.rule}"
        return printable(f"{line}; {self.fix}" if self.fix else line).replace("\n", "\\n")


class ConfigError(UserError):
    """A config that cannot be run.

    ConfigError("lr", -1.0, rule="must be above 0", fix="try lr=1e-3") names one problem;
    `ConfigError.of(problems)` carries several, one line each.
    """

    def __init__(self, key: str, value: object = _MISSING, *, rule: str, fix: str = "") -> None:
        self.problems: tuple[Problem, ...] = (Problem(key, rule, fix, value),)
        super().__init__(str(self.problems[0]))

    @classmethod
    def of(cls, problems: Iterable[Problem]) -> ConfigError:
        """Several problems in one error. problems: at least one."""
        found = tuple(problems)
        error = cls(found[0].key, rule=found[0].rule)
        error.problems = found
        error.args = ("\n".join(str(problem) for problem in found),)
        return error


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean X?` for the known word nearest to `word`, or an empty string when none is near.

    A word that is no near miss of any may be the beginning of some.

    >>> did_you_mean("adm", ["adam", "sgd"])
    'did you mean adam?'
    >>> did_you_mean("he", ["he_normal", "he_uniform", "default"])
    'did you mean he_normal or he_uniform?'
    >>> did_you_mean("zzz", ["adam", "sgd"])
    ''
    """
    folded = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), list(folded), n=1, cutoff=0.6)
    if near:
        return f"did you mean {folded[near[0]]}?"
    longer = [name for short, name in folded.items() if len(word) > 1 and short.startswith(word.lower())]
    return f"did you mean {' or '.join(longer[:3])}?" if longer else ""


def printable(text: str) -> str:
    """`text` with everything escaped that a terminal would obey instead of showing it, line ends apart.

    >>> printable("a\\x1b[31m")
    'a\\\\x1b[31m'
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter == "\n" else repr(letter)[1:-1] for letter in text)


_LONGEST_SHOWN = 300


def shown(value: object) -> str:
    """A config value as a user types it; a long one is cut.

    >>> shown([1e-8, True, None])
    '[1e-08,true,null]'
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        text = "[" + ",".join(map(shown, value)) + "]"
    else:
        text = "null" if value is None else str(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}... ({len(text)} characters)"
