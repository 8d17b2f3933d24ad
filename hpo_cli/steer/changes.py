"""Changes of hot knobs, {key: [op, value]}, applied to a resolved config: all problems at once, or the new config."""

from __future__ import annotations

import math
import operator
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hpo_cli.errors import ConfigError, Problem, did_you_mean, shown
from hpo_cli.options import list_options
from hpo_cli.steer.hot import WHOLE, canonical, is_hot, schedule_key, term_of
from hpo_cli.steer.settings import Config, Setting, copied, has, hot_keys, is_schedule, put, settled, value_of

__all__ = [
    "OPERATIONS", "Change", "Changes", "Setting", "has", "hot_keys", "partly_revised", "revised", "settled", "value_of",
]  # fmt: skip

Change = Sequence[Any]
"""[op, value]."""
Changes = Mapping[str, Change]

OPERATIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": lambda _, value: value,
    "*=": operator.mul,
    "/=": operator.truediv,
    "+=": operator.add,
    "-=": operator.sub,
}
"""Op -> new value from the old one and the one given."""


def revised(config: Mapping[str, Any], choices: Mapping[str, str], changes: Changes, *, run: str = "RUN") -> Setting:
    """A copy of a resolved config with the changes applied; keys that name one quantity stay equal.

    run: how the user names the run, for the command that is proposed. The new values are not checked against the
    rules of their keys (`validate.plan_from_config` does that). Raises ConfigError naming every problem.
    """
    setting, problems = partly_revised(config, choices, changes, run=run)
    if problems:
        raise ConfigError.of(problems)
    return setting


def partly_revised(
    config: Mapping[str, Any], choices: Mapping[str, str], changes: Changes, *, run: str = "RUN"
) -> tuple[Setting, list[Problem]]:
    """The same with those of the changes that can be made, and what is wrong with the others."""
    setting = copied(config, choices)
    problems = _doubled(changes)
    for key in sorted(changes, key=lambda key: key != "schedule"):  # its keys act on the new one
        problems.extend(_applied(setting, key, changes[key], run=run))
    return setting, problems


def _doubled(changes: Changes) -> list[Problem]:
    """Keys that change one quantity twice."""
    return [
        Problem(key, f"is the same quantity as {canonical(key)}", "give one of them")
        for key in changes
        if canonical(key) != key and canonical(key) in changes
    ]


def _applied(setting: Setting, key: str, change: Change, *, run: str) -> list[Problem]:
    op, given = change
    if op not in OPERATIONS:
        return [Problem(key, f"{op} is no way to change a value", f"use {' '.join(OPERATIONS)}")]
    if not has(setting.config, key):
        return [_refused(setting, key, change, run=run)]
    try:
        put(setting, canonical(key), _result(key, value_of(*setting, key), op, given))
    except ConfigError as error:
        return list(error.problems)
    return []


def _result(key: str, old: Any, op: str, given: Any) -> Any:
    """The new value. Raises ConfigError."""
    if key == "schedule":
        return _whole_schedule(op, given)
    new = given if op == "=" else _computed(key, old, op, given)
    if isinstance(new, float) and not math.isfinite(new):
        raise ConfigError(key, new, rule="must be a finite number")
    if term_of(key) is not None and not (_is_number(new) and new >= 0):
        raise ConfigError(key, new, rule="must be a number, 0 or more")
    counts = key in WHOLE or (op != "=" and type(old) is int)
    if not (counts and _is_number(new)):
        return new
    if new != int(new):
        raise ConfigError(key, new, rule="must be a whole number", fix=f"its value is {shown(old)}")
    return int(new)


def _whole_schedule(op: str, given: Any) -> Any:
    if op == "=" and is_schedule(given):
        return given
    fix = "write schedule=cosine schedule.floor=0.1"
    raise ConfigError("schedule", rule="is a group: name one of its options", fix=fix)


def _computed(key: str, old: Any, op: str, given: Any) -> Any:
    fix = f"write {key}=..."
    if not _is_number(given):
        raise ConfigError(key, given, rule=f"{op} needs a number", fix=fix)
    if not _is_number(old):
        raise ConfigError(key, rule=f"{op} needs a number to act on, and its value is {shown(old)}", fix=fix)
    try:
        return OPERATIONS[op](old, given)
    except (ZeroDivisionError, OverflowError):
        raise ConfigError(key, rule=f"{shown(old)} {op[0]} {shown(given)} has no value", fix=fix) from None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _refused(setting: Setting, key: str, change: Change, *, run: str) -> Problem:
    """Why a key is no knob of this run: the network is built round it, this run has none, or nothing is called so."""
    near = _near(key, setting.config)
    if is_hot(key):
        section = key.partition(".")[0]
        option = f" ({section}={setting.choices[section]})" if section in setting.choices else ""
        return Problem(key, f"this run has none{option}", _with_schedule(key, change) or near)
    section, _, last = key.rpartition(".")
    holder: Any = setting.config.get(section) if section else setting.config
    if not isinstance(holder, Mapping) or last not in holder:
        return Problem(key, "is no key of this run", near or "`hpo-run nudge --help` lists what can be nudged")
    word = shlex.quote(_cold_word(key, holder[last], change))
    fix = f"a child can have another: hpo-run branch {run} {word}"
    if section == "model":
        fix = f"a child can have another, with the weights that fit: hpo-run branch {run} {word} --partial"
    return Problem(key, "cannot change while a run trains", fix)


def _with_schedule(key: str, change: Change) -> str:
    """The words that change to a schedule with this key; empty for a key that none has."""
    name = schedule_key(key)
    known = [option.name for option in list_options("schedule").values() if name in option.keys]
    if not known or change[0] != "=":
        return ""
    return f"write schedule={'cosine' if 'cosine' in known else known[0]} {key}={shown(change[1])}"


def _cold_word(key: str, old: Any, change: Change) -> str:
    try:
        value = shown(change[1] if isinstance(old, Mapping) else _result(key, old, *change))
    except ConfigError:
        value = "..."
    return f"{key}={value}"


def _near(key: str, config: Config) -> str:
    known = hot_keys(config)
    ends = [name for name in known if name.rpartition(".")[2] == key.rpartition(".")[2]]
    of_end = f"did you mean {ends[0]}?" if ends else ""
    return did_you_mean(key, known) or of_end if "." in key else of_end or did_you_mean(key, known)
