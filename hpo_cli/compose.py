"""Words on the command line and YAML files -> a plain dict. The only room that knows Hydra and OmegaConf."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from hydra import __version__ as hydra_version
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from hpo_cli.errors import ConfigError, Problem, did_you_mean
from hpo_cli.options import GROUPS, RESERVED, conf_folder, list_groups, list_options
from hpo_cli.validate import RESERVED_AT_TOP, Known, known_for, plan_from_config, unknown_key


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


def _composition(composed: DictConfig, words: tuple[str, ...]) -> Composition:
    overrides = [OverridesParser.create().parse_override(word) for word in words]
    if problems := [problem for override in overrides if (problem := _refused(override))]:
        raise ConfigError.of(problems)
    given = {key for override in overrides for key in _dotted(override.key_or_group, override.value())}
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
    job_yaml = OmegaConf.to_yaml(composed)
    job = cast("dict[str, Any]", OmegaConf.to_container(composed, resolve=True))
    _agree_on_twins(job, given)
    return Composition(job, choices, words, job_yaml, OmegaConf.to_yaml(hydra_config), run_dir)


def _name(choice: str | Sequence[str]) -> str:
    return choice if isinstance(choice, str) else ",".join(choice)


def _refused(override: Override) -> Problem | None:
    """What is wrong with an override that Hydra takes and a run would not heed."""
    key, value = override.key_or_group, override.value()
    head = key.split(".")[0]
    if head.split("/")[0] == "hydra":
        return _hydra_problem(override)
    if any(part in RESERVED for dotted in _dotted(key, value) for part in dotted.split(".")[:2]) or key == "loss.head":
        return Problem(key, "describes other keys and belongs in a file", "write an option of your own: --config-dir")
    if isinstance(value, Mapping) and key in list_groups():
        return _not_a_name(key, value)
    if isinstance(value, list) and key in list_groups() and key != "experiment":
        return Problem(key, "takes one option", f"write {key}={value[0] if value else 'OPTION'}", value)
    return None


def _not_a_name(group: str, value: object) -> Problem:
    return Problem(group, "is a group: name one of its options", f"its keys are given as {group}.KEY=...", value)


def _dotted(key: str, value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner, item in value.items():
            yield from _dotted(f"{key}.{inner}", item)
    else:
        yield key


_TWINS = {
    "lr": "optimizer.lr",
    "regularization.weight_decay": "optimizer.weight_decay",
    "model.dropout": "regularization.dropout",
    "loss.label_smoothing": "regularization.label_smoothing",
}
"""Keys that name one quantity: the first is an interpolation of the second until someone gives it a value."""


def _agree_on_twins(job: dict[str, Any], given: set[str]) -> None:
    """Carry a quantity that was set under one of its two names to the other; both at once are refused."""
    for copy, origin in _TWINS.items():
        if {copy, origin} <= given:
            raise ConfigError(origin, rule=f"is the same quantity as {copy}", fix="give one of them")
        (to, to_key), (of, of_key) = _place(job, copy), _place(job, origin)
        if to_key in to and of_key in of:
            to[to_key] = of[of_key] = of[of_key] if origin in given else to[to_key]


def _place(job: dict[str, Any], dotted: str) -> tuple[dict[str, Any], str]:
    section, _, key = dotted.rpartition(".")
    holder = job.get(section) if section else job
    return (holder, key) if isinstance(holder, dict) else ({}, key)


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
    except (HydraException, ValueError, RecursionError) as error:
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
    if group == "experiment" and value is None and not override.is_delete():
        return Problem(group, "a run has none unless you name one", "leave it out", value)
    if override.is_delete() or value is None:
        return None if group == "experiment" else Problem(group, "every run needs one", f"choose one of {names}")
    if group == "experiment" and isinstance(value, list) and all(str(name) in options for name in value):
        return None
    if isinstance(value, Mapping):
        return _not_a_name(group, value)
    if str(value) in options:
        return None
    return Problem(group, f"must be one of {names}", did_you_mean(str(value), options), value)


def _key_problem(override: Override, known: Known, groups: Sequence[str]) -> Problem | None:
    key = override.key_or_group
    head, _, rest = key.partition(".")
    sections = [
        *dict.fromkeys([*groups, *(name for name, value in known.main.defaults.items() if isinstance(value, dict))])
    ]
    if problem := _refused(override):
        return problem
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


def _hydra_problem(override: Override) -> Problem | None:
    if override.key_or_group == "hydra.searchpath":
        return Problem("hydra.searchpath", "has no effect here", "use --config-dir DIR")
    if override.key_or_group != "hydra.run.dir" or override.is_delete():
        rule = "has no effect here; of Hydra's own keys a run uses hydra.run.dir"
        return Problem(override.key_or_group, rule, "leave it out")
    if not str(override.value() or ""):
        return Problem("hydra.run.dir", "must be a folder", "give one, or leave it out", override.value())
    return None


def _default_choices() -> dict[str, str]:
    with (conf_folder() / "config.yaml").open(encoding="utf-8") as stream:
        entries = OmegaConf.to_container(OmegaConf.load(stream))["defaults"]  # type: ignore[index, call-overload]
    return {k: v for entry in entries if isinstance(entry, dict) for k, v in entry.items() if v is not None}


def _unexplained(error: Exception) -> Problem:
    key = getattr(error, "full_key", None) or "config"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, (RecursionError, KeyError)) or not lines:
        lines = [f"cannot be composed ({type(error).__name__} {error})"]
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        lines = [f"{error.problem_mark.name} is no valid YAML ({error.problem or lines[0]})"]
    return Problem(key, lines[0], "see hpo-run --help")
