"""All words of a sweep at once: those of its runs, those of the sweep, those of Hydra, and what is wrong with any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hydra.core.override_parser.types import Override

from hpo_cli.compose import compose
from hpo_cli.diagnose import parsed
from hpo_cli.errors import ConfigError, Problem
from hpo_cli.grammar import SweepWords, tell_apart
from hpo_cli.grammar_refused import of_hydra
from hpo_cli.grammar_settings import sweep_settings
from hpo_cli.sweep.settings import SweepSettings
from hpo_cli.validate import plan_from_config


@dataclass(frozen=True)
class Read:
    """The words of a sweep, told apart, and what `sweep.*` says."""

    found: SweepWords
    settings: SweepSettings


def read_together(
    words: Sequence[str],
    *,
    config_dir: Path | None = None,
    config_name: str = "config",
    runs: Literal["new", "of_another"] = "new",
) -> Read:
    """Raises ConfigError with everything that is wrong with any word, its key or its value.

    runs: of_another, where they go on from a config that is not known here. New ones are composed only to tell what is
    wrong with their words, beside what is wrong with others.
    """
    told = tell_apart(words, config_dir=config_dir)
    problems = [*told.problems, *of_hydra(_overrides(told.words.launcher))]
    settings = None
    try:
        settings = sweep_settings(told.words.sweep, config_dir=config_dir)
    except ConfigError as error:
        problems.extend(error.problems)
    if problems or settings is None:
        problems.extend(_of_runs(told.words, config_dir, config_name) if runs == "new" else ())
        raise ConfigError.of({str(problem): problem for problem in problems}.values())
    return Read(told.words, settings)


def _overrides(words: Sequence[str]) -> Iterator[Override]:
    return (override for word in words if not isinstance(override := parsed(word), Problem))


def _of_runs(found: SweepWords, config_dir: Path | None, config_name: str) -> Sequence[Problem]:
    """What is wrong with the words that every run has, with the first of the listed options."""
    first = [f"{one.keys[0]}={one.choices[0]}" for one in found.dimensions if one.choices and one.name in found.groups]
    try:
        made = compose([*first, *found.base], config_dir=config_dir, config_name=config_name)
        plan_from_config(made.job, choices=made.choices, config_dir=config_dir)
    except ConfigError as error:
        return error.problems
    return ()
