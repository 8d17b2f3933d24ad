"""Words on the command line and YAML files -> a plain dict. The only room that knows Hydra and OmegaConf."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from hpo_cli.errors import ConfigError, Problem, did_you_mean
from hpo_cli.options import conf_folder, list_groups, list_options
from hpo_cli.validate import RESERVED_AT_TOP, Known, known_for, plan_from_config, unknown_key

_RESERVED = ("space", "rules")


@dataclass(frozen=True)
class Composition:
    """One composed config, resolved, and the three files that Hydra would write about it."""

    job: dict[str, Any]
    choices: dict[str, str]
    overrides: tuple[str, ...]
    job_yaml: str
    hydra_yaml: str
    run_dir: str | None

    @property
    def resolved_yaml(self) -> str:
        """The job config with every interpolation replaced by its value."""
        return OmegaConf.to_yaml(OmegaConf.create(self.job))

    @property
    def overrides_yaml(self) -> str:
        """The override words as `.hydra/overrides.yaml` lists them."""
        return OmegaConf.to_yaml(list(self.overrides))


def compose(words: Sequence[str], *, config_dir: Path | None = None, config_name: str = "config") -> Composition:
    """Compose the config that the override `words` name.

    config_dir: a folder of further options, searched after ours. Raises ConfigError with every wrong word at once.
    """
    try:
        return _composition(_composed(words, config_dir, config_name), tuple(words))
    except _HYDRA_ERRORS as error:
        diagnosis = diagnose(words, config_dir=config_dir)
        problems = [*diagnosis.problems, *_value_problems(diagnosis.sound, config_dir, config_name)]
        raise ConfigError.of(problems or [_unexplained(error)]) from error


_HYDRA_ERRORS = (HydraException, OmegaConfBaseException, ValueError, TypeError, KeyError, AttributeError)
"""What Hydra and OmegaConf raise for wrong words."""


def _composed(words: Sequence[str], config_dir: Path | None, config_name: str) -> DictConfig:
    search = [f"hydra.searchpath=[file://{config_dir.resolve()}]"] if config_dir else []
    with initialize_config_dir(config_dir=str(conf_folder()), version_base="1.3", job_name="hpo-run"):
        return hydra_compose(config_name, overrides=[*words, *search], return_hydra_config=True)


def _value_problems(words: Sequence[str], config_dir: Path | None, config_name: str) -> tuple[Problem, ...]:
    """What is wrong with the values of words whose keys are right."""
    try:
        composition = _composition(_composed(words, config_dir, config_name), tuple(words))
        plan_from_config(composition.job, choices=composition.choices, config_dir=config_dir)
    except ConfigError as error:
        return error.problems
    except _HYDRA_ERRORS as error:
        return (_unexplained(error),)
    return ()


def _composition(composed: DictConfig, words: tuple[str, ...]) -> Composition:
    strange = [
        _hydra_problem(word.lstrip("+~").split("=", 1)[0]) for word in words if word.lstrip("+~").startswith("hydra")
    ]
    if problems := [problem for problem in strange if problem]:
        raise ConfigError.of(problems)
    hydra_config = OmegaConf.masked_copy(composed, ["hydra"])
    choices = {key: value for key, value in composed.hydra.runtime.choices.items() if value and "/" not in key}
    run_dir = next((word.split("=", 1)[1] for word in words if word.startswith("hydra.run.dir=")), None)
    with open_dict(composed):
        del composed["hydra"]
        for section in (composed, *(node for node in composed.values() if isinstance(node, DictConfig))):
            for key in _RESERVED:
                section.pop(key, None)
        if composed.get("name", "") is None:
            composed.name = choices["data"]
    job_yaml = OmegaConf.to_yaml(composed)
    job = cast("dict[str, Any]", OmegaConf.to_container(composed, resolve=True))
    _apply_aliases(job, words)
    return Composition(job, choices, words, job_yaml, OmegaConf.to_yaml(hydra_config), run_dir)


_ALIASES = {"lr": ("optimizer", "lr"), "regularization.weight_decay": ("optimizer", "weight_decay")}
"""Words that name the same quantity as a key of the optimizer, which brings its default."""


def _apply_aliases(job: dict[str, Any], words: tuple[str, ...]) -> None:
    """Carry a quantity that was set under one of its two names to the other; both at once are refused."""
    given = {word.lstrip("+").split("=", 1)[0] for word in words}
    for alias, (group, key) in _ALIASES.items():
        if {alias, f"{group}.{key}"} <= given:
            raise ConfigError(f"{group}.{key}", rule=f"is the same quantity as {alias}", fix="give one of them")
        *sections, last = alias.split(".")
        holder = job
        for section in sections:
            holder = holder[section]
        if isinstance(job.get(group), dict) and key in job[group] and last in holder:
            job[group][key] = holder[last]


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with single words, and the words with which nothing is."""

    problems: tuple[Problem, ...]
    sound: tuple[str, ...]


def diagnose(words: Sequence[str], *, config_dir: Path | None) -> Diagnosis:
    """Everything that is wrong with the words one by one, where Hydra would stop at the first."""
    parsed = {word: _parsed(word) for word in words}
    overrides = {word: found for word, found in parsed.items() if isinstance(found, Override)}
    groups = list_groups(config_dir=config_dir)
    choices = _default_choices()
    found: dict[str, Problem | None] = {word: found for word, found in parsed.items() if isinstance(found, Problem)}
    for word, override in overrides.items():
        if override.key_or_group in groups:
            found[word] = _group_problem(override, config_dir)
            if found[word] is None and override.value() is not None:
                choices[override.key_or_group] = str(override.value())
    known = known_for(choices, config_dir=config_dir)
    for word, override in overrides.items():
        if word not in found:
            found[word] = _key_problem(override, known, groups)
    problems = tuple(problem for word in words if (problem := found[word]) is not None)
    return Diagnosis(problems, tuple(word for word in words if found[word] is None))


def _parsed(word: str) -> Override | Problem:
    try:
        override: Override = OverridesParser.create().parse_override(word)
    except HydraException as error:
        text = str(error).splitlines()[0]
        fix = "write key=value, and quote values with blanks, commas or brackets"
        return Problem(word, f"is no override ({text})", fix)
    if override.is_sweep_override():
        fix = "give one value, or a list as [a,b]"
        return Problem(word, "several values make a sweep, and a run takes one", fix)
    return override


def _group_problem(override: Override, config_dir: Path | None) -> Problem | None:
    group, value = override.key_or_group, override.value()
    options = list_options(group, config_dir=config_dir)
    names = ", ".join(options) or "(no options)"
    if override.is_delete() or value is None:
        return None if group == "experiment" else Problem(group, "every run needs one", f"choose one of {names}")
    if isinstance(value, dict):
        return Problem(group, "is a group: name one of its options", f"one of {names}", value)
    if str(value) in options:
        return None
    return Problem(group, f"must be one of {names}", did_you_mean(str(value), options), value)


def _key_problem(override: Override, known: Known, groups: Sequence[str]) -> Problem | None:
    key = override.key_or_group
    head, _, rest = key.partition(".")
    sections = [
        *dict.fromkeys([*groups, *(name for name, value in known.main.defaults.items() if isinstance(value, dict))])
    ]
    if head == "hydra":
        return _hydra_problem(key)
    if override.is_add() or override.is_force_add() or head in RESERVED_AT_TOP:
        return None
    if head in sections and rest and rest.split(".")[0] not in (*known.keys(head), "_target_"):
        return unknown_key(head, rest, known)
    if head in sections or key in known.main.defaults:
        return None
    words = [word for word in known.main.defaults if word not in RESERVED_AT_TOP]
    dotted = [f"{section}.{name}" for section in sections for name in known.keys(section)]
    near = did_you_mean(key, [*words, *groups, *dotted])
    return Problem(key, "is no key of the config", near or "see hpo-run --help")


def _hydra_problem(key: str) -> Problem | None:
    if key in HYDRA_KEYS:
        return None
    return Problem(key, f"has no effect here; of Hydra's own keys a run uses {', '.join(HYDRA_KEYS)}", "leave it out")


HYDRA_KEYS = ("hydra.run.dir", "hydra.searchpath")


def _default_choices() -> dict[str, str]:
    with (conf_folder() / "config.yaml").open(encoding="utf-8") as stream:
        entries = OmegaConf.to_container(OmegaConf.load(stream))["defaults"]  # type: ignore[index, call-overload]
    return {k: v for entry in entries if isinstance(entry, dict) for k, v in entry.items() if v is not None}


def _unexplained(error: Exception) -> Problem:
    key = getattr(error, "full_key", None) or "config"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return Problem(key, lines[0] if lines else type(error).__name__, "see hpo-run --help")
