"""What is wrong with override words, one by one and all of them, where Hydra would stop at the first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf

from hpo_cli.errors import Problem, did_you_mean
from hpo_cli.options import GROUPS, RESERVED, conf_folder, list_groups, list_options
from hpo_cli.validate import RESERVED_AT_TOP, Known, known_for, unknown_key

OF_TRAINING = ("resume", "branch", "watch")
"""Words that `hpo-run` itself takes when it trains, before anything is composed."""


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with single words, and the words with which nothing is."""

    problems: tuple[Problem, ...]
    sound: tuple[str, ...]


def diagnose(words: Sequence[str], *, config_dir: Path | None) -> Diagnosis:
    """Everything that is wrong with the words one by one, where Hydra would stop at the first."""
    read = {word: _of_one_run(parsed(word)) for word in words}
    overrides = {word: found for word, found in read.items() if isinstance(found, Override)}
    groups = list_groups(config_dir=config_dir)
    choices = default_choices()
    found: dict[str, Problem | None] = {word: found for word, found in read.items() if isinstance(found, Problem)}
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


def listed_options(group: str, listed: Mapping[str, Sequence[str]], *, config_dir: Path | None) -> tuple[str, ...]:
    """The options that a group may have when the words list none for it: its default, and what listed options bring.

    listed: group -> the options that the words list for it.   Data brings its loss, an experiment what it likes.
    """
    default = default_choices().get(group)
    brought = []
    for other, names in listed.items():
        options = list_options(other, config_dir=config_dir)
        found = (options[name].choices.get(group) for name in names if name in options)
        brought += [name for name in found if name is not None]
    known = list_options(group, config_dir=config_dir)
    return tuple(name for name in dict.fromkeys([default, *brought]) if name in known)


def parsed(word: str) -> Override | Problem:
    """A word by Hydra's grammar, or what is wrong with it."""
    try:
        override: Override = OverridesParser.create().parse_override(word)
    except (HydraException, ValueError, RecursionError) as error:
        text = str(error).splitlines()[0]
        fix = "write key=value, and quote values with blanks, commas or brackets"
        if groups := [group for group in GROUPS if word in list_options(group)]:
            return Problem(word, "is no override", f"did you mean {groups[0]}={word}?")
        if word.startswith("schedule.nudges="):
            return Problem(word, f"is no override ({text}); {_OF_NUDGES.rule}", _OF_NUDGES.fix)
        return Problem(word, f"is no override ({text})", fix)
    return override


def _of_one_run(override: Override | Problem) -> Override | Problem:
    """The override, or what is wrong with it where one run is asked for and no sweep."""
    if isinstance(override, Problem):
        return override
    if is_of_sweep(override):
        return Problem(str(override.input_line), "is a word of a sweep, and this is one run", "add -m")
    if override.is_sweep_override():
        fix = "give one value, or a list as [a,b]; add -m for a sweep"
        return Problem(str(override.input_line), "several values make a sweep, and a run takes one", fix)
    return override


def is_of_sweep(override: Override) -> bool:
    """Whether an override tells how to sweep (`sweep=tpe`, `sweep.trials=50`) and says nothing about a run."""
    return str(override.key_or_group).split(".")[0] == "sweep"


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
    if (problem := refused(override)) or head == "hydra":
        return problem
    if override.is_add() or override.is_force_add() or head in RESERVED_AT_TOP:
        return None
    if head in sections and rest and rest.split(".")[0] not in (*known.keys(head), "_target_"):
        return unknown_key(head, rest, known)
    if head in sections or key in known.main.defaults:
        return None
    if key in OF_TRAINING:
        return Problem(key, "is a word for training, and no key of the config", f"hpo-run {key}=... trains")
    words = [*OF_TRAINING, *(word for word in known.main.defaults if word not in RESERVED_AT_TOP)]
    dotted = [f"{section}.{name}" for section in sections for name in known.keys(section)]
    ends = [name for name in dotted if name.rpartition(".")[2] == key]
    shared = [name for name in ends if name.startswith("regularization.")] or ends
    near = f"did you mean {shared[0]}?" if shared else did_you_mean(key, [*words, *groups, *dotted])
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


def default_choices() -> dict[str, str]:
    """The option that each group starts with, of the groups that have one."""
    return dict(_read_default_choices())


@cache
def _read_default_choices() -> dict[str, str]:
    with (conf_folder() / "config.yaml").open(encoding="utf-8") as stream:
        entries = OmegaConf.to_container(OmegaConf.load(stream))["defaults"]  # type: ignore[index, call-overload]
    return {k: v for entry in entries if isinstance(entry, dict) for k, v in entry.items() if v is not None}


def refused(override: Override) -> Problem | None:
    """What is wrong with an override that Hydra takes and a run would not heed."""
    key, value = override.key_or_group, override.value()
    head = key.split(".")[0]
    if head.split("/")[0] == "hydra":
        return _hydra_problem(override)
    if (
        any(part in RESERVED for dotted in dotted_keys(key, value) for part in dotted.split(".")[:2])
        or key == "loss.head"
    ):
        return Problem(key, "describes other keys and belongs in a file", "write an option of your own: --config-dir")
    if isinstance(value, Mapping) and key in list_groups():
        return _not_a_name(key, value)
    if key == "schedule.nudges" and not isinstance(value, list) and not override.is_delete():
        return replace(_OF_NUDGES, value=value)
    if isinstance(value, list) and key in list_groups() and (key != "experiment" or not value):
        return Problem(key, "takes one option", f"write {key}={value[0] if value else 'OPTION'}", value)
    return None


_OF_NUDGES = Problem(
    "schedule.nudges",
    "must be a list of shares of training with new values, and not of relative ones such as lr/=3",
    "write schedule.nudges=[{at: 0.5, lr: 1e-4}]",
)


def _not_a_name(group: str, value: object) -> Problem:
    return Problem(group, "is a group: name one of its options", f"its keys are given as {group}.KEY=...", value)


def dotted_keys(key: str, value: object) -> Iterator[str]:
    """The keys that an override sets: itself, or those inside a mapping that it gives."""
    if isinstance(value, Mapping):
        for inner, item in value.items():
            yield from dotted_keys(f"{key}.{inner}", item)
    else:
        yield key
