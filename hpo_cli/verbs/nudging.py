"""Words such as `lr*=0.9 schedule=cosine` made into changes of hot knobs, and checked against the run as it is now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hpo_cli.errors import ConfigError, Problem, UserError, did_you_mean, shown
from hpo_cli.options import list_options
from hpo_cli.record.ledger import fold, read_ledger
from hpo_cli.steer.answers import shown_value
from hpo_cli.steer.changes import partly_revised, revised, value_of
from hpo_cli.steer.current import current_setting
from hpo_cli.steer.hot import knob_of
from hpo_cli.steer.settings import Setting
from hpo_cli.steer.words import split_word

Changes = dict[str, list[Any]]


def checked_changes(folder: Path, words: Sequence[str], *, ref: str) -> Changes:
    """The changes that `words` ask for, with which the run could go on. ref: the run as it was typed.

    What only the data or the network can tell is left to the run. Raises ConfigError naming every problem.
    """
    config_dir = options_of(folder)
    return checked_against(current_setting(folder), words, ref=ref, config_dir=config_dir)


def checked_against(setting: Setting, words: Sequence[str], *, ref: str, config_dir: Path | None) -> Changes:
    """The same for a run with the given config."""
    from hpo_cli.validate import plan_from_config

    changes, problems = _parsed(words, config_dir)
    after, refused = partly_revised(*setting, changes, run=ref)
    problems += refused
    try:
        plan_from_config(after.config, choices=after.choices, config_dir=config_dir)
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError.of(problems)
    return changes


def unchanged(folder: Path, changes: Changes) -> dict[str, str]:
    """The changes that would change nothing, and what is so already: `{"lr": "lr is 0.001 already"}`."""
    setting = current_setting(folder)
    found = {}
    for key in changes:
        with_it = {name: change for name, change in changes.items() if knob_of(name) == knob_of(key)}
        old, new = (value_of(*one, knob_of(key)) for one in (setting, revised(*setting, with_it)))
        if old == new:
            found[key] = f"{key} is {_said(value_of(*setting, key))} already"
    return found


def _said(value: object) -> str:
    return shown_value(value) if isinstance(value, dict) else shown(value)


def options_of(folder: Path) -> Path | None:
    """The folder of the user's own options that the run was started with, where it is still there."""
    from hpo_cli.verbs.inheriting import own_words

    try:
        return own_words(fold(read_ledger(folder).events).started or {}).config_dir
    except (OSError, UserError):
        return None


def _parsed(words: Sequence[str], config_dir: Path | None) -> tuple[Changes, list[Problem]]:
    changes: Changes = {}
    problems: list[Problem] = []
    for word in words:
        try:
            key, change = _change(word, config_dir)
        except ConfigError as error:
            problems.extend(error.problems)
            continue
        if key in changes:
            problems.append(Problem(word, "is given twice", "give it once"))
        changes[key] = change
    return changes, problems


def _change(word: str, config_dir: Path | None) -> tuple[str, list[Any]]:
    from hpo_cli.compose import parsed_value

    key, op, text = split_word(word)
    value = parsed_value(key, text)
    if key == "schedule" and op == "=":
        value = _schedule(value, config_dir)
    return key, [op, value]


def _schedule(name: object, config_dir: Path | None) -> dict[str, Any]:
    """An option of the schedule with its defaults."""
    options = list_options("schedule", config_dir=config_dir)
    if not isinstance(name, str) or name not in options:
        near = did_you_mean(str(name), options)
        raise ConfigError("schedule", name, rule=f"must be one of {', '.join(options)}", fix=near)
    option = options[name]
    own = {key: option.defaults[key] for key in option.keys}
    if missing := [key for key, value in own.items() if isinstance(value, str) and ("${" in value or value == "???")]:
        rule = f"{missing[0]} has no value of its own in {option.path}"
        raise ConfigError("schedule", name, rule=rule, fix="write the value into the file")
    return {"option": name, "_target_": option.defaults.get("_target_"), **own}
