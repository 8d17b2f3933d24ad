"""The words `sweep=NAME` and `sweep.key=value`, as settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpo_cli.compose import parsed_value
from hpo_cli.errors import ConfigError, Problem
from hpo_cli.options import SWEEP
from hpo_cli.sweep.settings import SweepSettings, checked_settings


def sweep_settings(words: Sequence[str], *, config_dir: Path | None = None) -> SweepSettings:
    """The settings that `sweep=NAME` and `sweep.key=value` describe, on top of the option's own values.

    Raises ConfigError with every word that is wrong.
    """
    given, problems = _given(words)
    if problems:
        raise ConfigError.of([*problems, *_problems_of(given, config_dir)])
    return checked_settings(given, config_dir=config_dir)


def _problems_of(given: Mapping[str, Any], config_dir: Path | None) -> Sequence[Problem]:
    try:
        checked_settings(given, config_dir=config_dir)
    except ConfigError as error:
        return error.problems
    return ()


def _given(words: Sequence[str]) -> tuple[dict[str, Any], list[Problem]]:
    """Key -> value of the words, the option itself under an empty key; and what is no such word."""
    given: dict[str, Any] = {}
    problems = []
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or key.split(".")[0] != SWEEP:
            problems.append(Problem(word, "is no word of a sweep", "write sweep=tpe or sweep.trials=50"))
            continue
        try:
            given[key.removeprefix(SWEEP).removeprefix(".")] = parsed_value(key, text)
        except ConfigError as error:
            problems.extend(error.problems)
    return given, problems
