"""Words on the command line and YAML files -> a plain dict, by Hydra and OmegaConf."""

from __future__ import annotations

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import yaml
from hydra import __version__ as hydra_version
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from hpo_cli.diagnose import diagnose, dotted_keys, refused
from hpo_cli.errors import ConfigError, Problem
from hpo_cli.options import GROUPS, RESERVED, conf_folder
from hpo_cli.steer.hot import TWINS
from hpo_cli.validate import plan_from_config


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

    @property
    def hydra_files(self) -> dict[str, str]:
        """Name -> text of the files in `.hydra/`."""
        return {"config.yaml": self.job_yaml, "hydra.yaml": self.hydra_yaml, "overrides.yaml": self.overrides_yaml}


def compose(words: Sequence[str], *, config_dir: Path | None = None, config_name: str = "config") -> Composition:
    """Compose the config that the override `words` name.

    config_dir: a folder of further options, which win over ours of the same name. Raises ConfigError with every
    wrong word at once.
    """
    try:
        return _composition(_composed(words, config_dir, config_name), tuple(words))
    except (ConfigError, *_HYDRA_ERRORS) as error:
        diagnosis = diagnose(words, config_dir=config_dir)
        problems = [*diagnosis.problems, *_value_problems(diagnosis.sound, config_dir, config_name)]
        raise ConfigError.of(problems or [_unexplained(error)]) from error


def parsed_value(key: str, text: str) -> Any:
    """The value that the word `key=text` gives, by Hydra's grammar. Raises ConfigError."""
    try:
        override = OverridesParser.create().parse_override(f"value={text}")
        value = None if override.is_sweep_override() else override.value()
    except (HydraException, ValueError, RecursionError) as error:
        fix = "quote values with blanks, commas or brackets"
        raise ConfigError(key, text, rule="is no value", fix=fix) from error
    if override.is_sweep_override():
        rule = "several values make a sweep, and a run takes one"
        raise ConfigError(key, text, rule=rule, fix="give one value, or a list as [a,b]")
    if "${" in text:
        raise ConfigError(key, text, rule="a reference to another key has no meaning here", fix="give the value")
    return value


_HYDRA_ERRORS = (
    HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError, OSError,
    RecursionError,
)  # fmt: skip
"""What Hydra and OmegaConf raise for wrong words and files."""


class _OwnFolder(SearchPathPlugin):
    """Puts the folder of `--config-dir` in front of ours. Hydra makes a new object for each composition."""

    folder: Path | None = None

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        if self.folder is not None:
            search_path.prepend("hpo-run", f"file://{self.folder.resolve()}", "main")


_VERSION_BASE = {"version_base": "1.3"} if hydra_version.startswith("1.3") else {}
"""Hydra 1.3 warns when it is left out, 1.4 when it is given."""


def _composed(words: Sequence[str], config_dir: Path | None, config_name: str) -> DictConfig:
    Plugins.instance().register(_OwnFolder)
    _OwnFolder.folder = config_dir
    with initialize_config_dir(config_dir=str(conf_folder()), job_name="hpo-run", **_VERSION_BASE):
        return hydra_compose(config_name, overrides=list(words), return_hydra_config=True)


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


@dataclass(frozen=True)
class Template:
    """A composed config before its twins agree, with its interpolations and without them.

    given: the keys that the words set.   hydra: what Hydra says about itself.
    """

    raw: dict[str, Any]
    resolved: dict[str, Any]
    hydra: dict[str, Any]
    choices: dict[str, str]
    given: frozenset[str]


def template(words: Sequence[str], *, config_dir: Path | None = None, config_name: str = "config") -> Template:
    """The config that `words` name, for a Composer to set values in. Raises ConfigError as `compose` does."""
    try:
        raw, hydra, choices, given, _ = _parts(_composed(words, config_dir, config_name), tuple(words))
        resolved = OmegaConf.to_container(raw, resolve=True)
    except (ConfigError, *_HYDRA_ERRORS):
        compose(words, config_dir=config_dir, config_name=config_name)  # says what is wrong
        raise
    plain = [OmegaConf.to_container(part, resolve=False) for part in (raw, hydra)]
    raw_job, of_hydra = cast("list[dict[str, Any]]", plain)
    return Template(raw_job, cast("dict[str, Any]", resolved), of_hydra, choices, frozenset(given))


def _composition(composed: DictConfig, words: tuple[str, ...]) -> Composition:
    raw, hydra, choices, given, run_dir = _parts(composed, words)
    job_yaml = OmegaConf.to_yaml(raw)
    job = cast("dict[str, Any]", OmegaConf.to_container(raw, resolve=True))
    agree_on_twins(job, given)
    return Composition(job, choices, words, job_yaml, OmegaConf.to_yaml(hydra), run_dir)


class _Parts(NamedTuple):
    """A composed config, taken apart. run_dir: what `hydra.run.dir` asks for."""

    raw: DictConfig
    hydra: DictConfig
    choices: dict[str, str]
    given: set[str]
    run_dir: str | None


def _parts(composed: DictConfig, words: tuple[str, ...]) -> _Parts:
    overrides = [OverridesParser.create().parse_override(word) for word in words]
    if problems := [problem for override in overrides if (problem := refused(override))]:
        raise ConfigError.of(problems)
    given = {key for override in overrides for key in dotted_keys(override.key_or_group, override.value())}
    chosen = composed.hydra.runtime.choices
    choices = {group: _name(chosen[group]) for group in (*GROUPS, *chosen) if chosen.get(group) and "/" not in group}
    run_dir = str(composed.hydra.run.dir) if "hydra.run.dir" in given else None
    hydra_config = OmegaConf.masked_copy(composed, ["hydra"])
    with open_dict(composed):
        del composed["hydra"]
        for section in (composed, *(node for node in composed.values() if isinstance(node, DictConfig))):
            for key in RESERVED:
                section.pop(key, None)
        if composed.get("name", "") is None:
            composed.name = choices["data"]
    return _Parts(composed, hydra_config, choices, given, run_dir)


def _name(choice: str | Sequence[str]) -> str:
    return choice if isinstance(choice, str) else ",".join(choice)


def agree_on_twins(job: dict[str, Any], given: AbstractSet[str]) -> None:
    """Carry a quantity that was set under one of its two names to the other; both at once are refused."""
    for copy, origin in TWINS.items():
        if {copy, origin} <= given:
            raise ConfigError(origin, rule=f"is the same quantity as {copy}", fix="give one of them")
        (to, to_key), (of, of_key) = _place(job, copy), _place(job, origin)
        if to_key in to and of_key in of:
            to[to_key] = of[of_key] = of[of_key] if origin in given else to[to_key]


def _place(job: dict[str, Any], dotted: str) -> tuple[dict[str, Any], str]:
    section, _, key = dotted.rpartition(".")
    holder = job.get(section) if section else job
    return (holder, key) if isinstance(holder, dict) else ({}, key)


def _unexplained(error: Exception) -> Problem:
    key = getattr(error, "full_key", None) or "config"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if found := re.match(r"Could not override '([\w.]+)'", lines[0] if lines else ""):
        group = found[1].split(".")[0]
        rule = f"no key of the {group} that these words choose (data may bring its own)"
        return Problem(found[1], rule, f"name the {group} as well: {group}=...")
    if isinstance(error, (RecursionError, KeyError)) or not lines:
        lines = [f"cannot be composed ({type(error).__name__} {error})"]
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        lines = [f"{error.problem_mark.name} is no valid YAML ({error.problem or lines[0]})"]
    return Problem(key, lines[0], "see hpo-run --help")
