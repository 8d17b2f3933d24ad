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
from hpo_cli.validate import RESERVED_AT_TOP, known_for, unknown_key

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
    def overrides_yaml(self) -> str:
        """The override words as `.hydra/overrides.yaml` lists them."""
        return cast("str", OmegaConf.to_yaml(list(self.overrides)))


def compose(words: Sequence[str], *, config_dir: Path | None = None, config_name: str = "config") -> Composition:
    """Compose the config that the override `words` name.

    config_dir: a folder of further options, searched after ours. Raises ConfigError with every wrong word at once.
    """
    search = [f"hydra.searchpath=[file://{config_dir.resolve()}]"] if config_dir else []
    try:
        with initialize_config_dir(config_dir=str(conf_folder()), version_base="1.3", job_name="hpo-run"):
            composed = hydra_compose(config_name, overrides=[*words, *search], return_hydra_config=True)
        return _composition(composed, tuple(words))
    except (HydraException, OmegaConfBaseException) as error:
        problems = diagnose(words, config_dir=config_dir) or [_unexplained(error)]
        raise ConfigError.of(problems) from error


def _composition(composed: DictConfig, words: tuple[str, ...]) -> Composition:
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


def diagnose(words: Sequence[str], *, config_dir: Path | None) -> list[Problem]:
    """Everything that is wrong with the words one by one, where Hydra would stop at the first."""
    problems: list[Problem] = []
    choices: dict[str, str] = {}
    keys: list[Override] = []
    groups = list_groups(config_dir=config_dir)
    for word in words:
        override, problem = _parsed(word)
        if problem is not None:
            problems.append(problem)
        elif override is not None and override.key_or_group in groups:
            problems.extend(_group_problems(override, choices, config_dir))
        elif override is not None:
            keys.append(override)
    return problems + _key_problems(keys, choices, config_dir)


def _parsed(word: str) -> tuple[Override | None, Problem | None]:
    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException as error:
        text = str(error).splitlines()[0]
        fix = "write key=value, and quote values with blanks, commas or brackets"
        return None, Problem(word, f"is no override ({text})", fix)
    if override.is_sweep_override():
        fix = "give one value, or a list as [a,b]"
        return None, Problem(word, "several values make a sweep, and a run takes one", fix)
    return override, None


def _group_problems(override: Override, choices: dict[str, str], config_dir: Path | None) -> list[Problem]:
    group, value = override.key_or_group, override.value()
    options = list_options(group, config_dir=config_dir)
    if override.is_delete() or value is None:
        return [] if group == "experiment" else [Problem(group, "every run needs one", f"one of {', '.join(options)}")]
    if str(value) in options:
        choices[group] = str(value)
        return []
    if isinstance(value, dict):
        return [Problem(group, "is a group: name one of its options", f"one of {', '.join(options)}", value)]
    near = did_you_mean(str(value), options)
    return [Problem(group, f"must be one of {', '.join(options) or '(no options)'}", near, value)]


def _key_problems(overrides: list[Override], choices: dict[str, str], config_dir: Path | None) -> list[Problem]:
    known = known_for({**_default_choices(), **choices}, config_dir=config_dir)
    groups = list_groups(config_dir=config_dir)
    sections = {*groups, *(key for key, value in known.main.defaults.items() if isinstance(value, dict))}
    problems = []
    for override in overrides:
        head, _, rest = override.key_or_group.partition(".")
        if override.is_add() or override.is_force_add() or head == "hydra" or head in RESERVED_AT_TOP:
            continue
        if head in sections and rest and rest.split(".")[0] not in (*known.keys(head), "_target_"):
            problems.append(unknown_key(head, rest, known))
        elif head not in sections and override.key_or_group not in known.main.defaults:
            words = [word for word in known.main.defaults if word not in RESERVED_AT_TOP]
            dotted = [f"{section}.{key}" for section in sections for key in known.keys(section)]
            near = did_you_mean(override.key_or_group, [*words, *groups, *dotted])
            problems.append(Problem(override.key_or_group, "is no key of the config", near or "see hpo-run --help"))
    return problems


def _default_choices() -> dict[str, str]:
    with (conf_folder() / "config.yaml").open(encoding="utf-8") as stream:
        entries = OmegaConf.to_container(OmegaConf.load(stream))["defaults"]  # type: ignore[index, call-overload]
    return {k: v for entry in entries if isinstance(entry, dict) for k, v in entry.items() if v is not None}


def _unexplained(error: Exception) -> Problem:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return Problem("config", " ".join(lines[:2]) or type(error).__name__, "see hpo-run --help")
