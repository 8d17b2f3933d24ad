"""Plans of a sweep's trials: Hydra composes once a choice of options, values are set in what it gave.

A composition takes Hydra 70 to 290 ms; setting a trial's values in one and checking the plan takes about a millisecond.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import OmegaConf

from hpo_cli.compose import Template, agree_on_twins, template
from hpo_cli.errors import ConfigError
from hpo_cli.options import RESERVED, conf_folder, list_groups
from hpo_cli.plan import RunPlan
from hpo_cli.record.atomic import write_text
from hpo_cli.validate import Known, known_for, plan_from_config

_KEPT = 64
"""Compositions that are kept; more choices of options than that are composed again when they come back."""
_PLAIN_KEY = re.compile(r"[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*")
_FOLLOWED = re.compile(r"\$\{(?:oc\.select:)?([\w.]+)(?:,[^${}]*)?\}")
"""An interpolation that is another key's value and nothing else: `${a.b}`, `${oc.select:a.b,0.0}`."""
_ONE_WORD = ("loss.head", "schedule.nudges", "name")
"""Keys for which composing does more than to set them."""
_HERE = "HERE"
"""Stands in hydra.yaml where the words of a trial come."""
Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Made:
    """The plan of one setting. words: overrides that compose it again, those of every trial first."""

    plan: RunPlan
    words: tuple[str, ...]
    describe: Callable[[tuple[str, ...]], dict[str, str]]

    @cached_property
    def hydra_files(self) -> dict[str, str]:
        """Name -> text of the files in `.hydra/`, as Hydra would write them for these words; made when asked for."""
        return self.describe(self.words)


class Composer:
    """Makes the plans of settings on top of the words that all of them share.

    config_dir: the user's own options.   freeze_to: a folder that takes a copy of all option files as they are now, or
    has one already; every composition then reads that copy, and files that are edited later change nothing.
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        config_dir: Path | None = None,
        config_name: str = "config",
        freeze_to: Path | None = None,
    ) -> None:
        if freeze_to is not None:
            freeze(config_dir, freeze_to)
        self.words = tuple(words)
        self.config_dir = config_dir if freeze_to is None else freeze_to
        self._config_name = config_name
        self._groups = frozenset(list_groups(config_dir=self.config_dir))
        self._drafts: OrderedDict[str, _Draft] = OrderedDict()

    def made(self, setting: Mapping[str, Any]) -> Made:
        """The plan of a setting. Raises ConfigError with everything that is wrong with it."""
        composed = {key: value for key, value in setting.items() if self._is_choice(key, value)}
        draft = self._draft(composed)
        if unsettable := [key for key in setting if key not in composed and not draft.can_set(key)]:
            composed = {key: setting[key] for key in setting if key in composed or key in unsettable}
            draft = self._draft(composed)
        values = {key: value for key, value in setting.items() if key not in composed}
        job = draft.job(values)
        if job.get("batch_size") == "auto":
            fix = "give sizes to try: batch_size=32,64,128"
            raise ConfigError("batch_size", "auto", rule="fits one run to the machine, and a sweep has many", fix=fix)
        plan = plan_from_config(job, choices=draft.choices, config_dir=self.config_dir, known=draft.known)
        words = (*self.words, *(word_of(key, value) for key, value in setting.items()))
        return Made(plan, words, lambda words: draft.hydra_files(values, words))

    def _is_choice(self, key: str, value: object) -> bool:
        """Whether Hydra itself must see the word: it chooses an option, or does more than to give a key its value."""
        return (
            key in self._groups
            or key in _ONE_WORD
            or _PLAIN_KEY.fullmatch(key) is None
            or any(part in RESERVED for part in key.split(".")[:2])
            or _has_reference(value)
        )

    def _draft(self, composed: Mapping[str, Any]) -> _Draft:
        name = json.dumps(composed, sort_keys=True, default=str)
        if name in self._drafts:
            self._drafts.move_to_end(name)
            return self._drafts[name]
        words = (*self.words, *(word_of(key, value) for key, value in composed.items()))
        found = template(words, config_dir=self.config_dir, config_name=self._config_name)
        draft = self._drafts[name] = _Draft(found, known_for(found.choices, config_dir=self.config_dir))
        if len(self._drafts) > _KEPT:
            self._drafts.popitem(last=False)
        return draft


class _Draft:
    """A composition in which values can be set, with everything that follows them."""

    def __init__(self, found: Template, known: Known) -> None:
        self.choices, self.known = found.choices, known
        self._found = found
        self._followers: dict[str, list[Path_]] = {}
        self._opaque: set[str] = set()
        for path, text in _references(found.raw):
            if (match := _FOLLOWED.fullmatch(text)) and _has(found.raw, match[1]):
                self._followers.setdefault(match[1], []).append(path)
            else:
                self._opaque.update(re.findall(r"\w+", text))

    def can_set(self, key: str) -> bool:
        """Whether the key has one value here, which no interpolation reads in a way that cannot be followed."""
        section, _, last = key.rpartition(".")
        holder = _at(self._found.raw, section)
        return (
            isinstance(holder, dict)
            and last in holder
            and not isinstance(holder[last], dict)
            and last not in self._opaque
        )

    def job(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The resolved config with these values. Raises ConfigError for two names of one quantity."""
        job: dict[str, Any] = _copied(self._found.resolved)
        for key, value in values.items():
            _put(job, tuple(key.split(".")), value)
        for key in values:
            self._follow(job, key, values)
        agree_on_twins(job, self._found.given.union(values))
        return job

    def _follow(self, job: dict[str, Any], key: str, values: Mapping[str, Any]) -> None:
        for path in self._followers.get(key, ()):
            dotted = ".".join(map(str, path))
            if dotted not in values:
                _put(job, path, _at(job, key))
                self._follow(job, dotted, values)

    def hydra_files(self, values: Mapping[str, Any], words: tuple[str, ...]) -> dict[str, str]:
        """The three files of `.hydra/` for these values."""
        raw = _copied(self._found.raw)
        for key, value in values.items():
            _put(raw, tuple(key.split(".")), value)
        return {"config.yaml": _yaml(raw), "hydra.yaml": self._about(words), "overrides.yaml": _yaml(list(words))}

    def _about(self, words: tuple[str, ...]) -> str:
        """hydra.yaml, which differs from trial to trial in the words alone."""
        text = self._hydra_text.replace(f"    task:\n    - {_HERE}\n", _inner("overrides", "task", list(words)))
        return text.replace(
            f"    override_dirname: {_HERE}\n", _inner("job", "override_dirname", ",".join(sorted(words)))
        )

    @cached_property
    def _hydra_text(self) -> str:
        about = _copied(self._found.hydra["hydra"])
        about["overrides"] = {**about["overrides"], "task": [_HERE]}
        about["job"] = {**about["job"], "override_dirname": _HERE}
        return _yaml({"hydra": about})


def freeze(config_dir: Path | None, to: Path) -> None:
    """Copy every option file as it is now into the folder `to`, the user's own over ours.

    A folder that exists is left as it is: it was frozen when its sweep began.
    """
    if (to / "config.yaml").exists():
        return
    texts: dict[Path, str] = {}
    for folder in (conf_folder(), *([config_dir] if config_dir else [])):
        groups = [place for place in folder.iterdir() if place.is_dir() and any(place.glob("*.yaml"))]
        for path in [*folder.glob("*.yaml"), *(path for group in groups for path in group.rglob("*.yaml"))]:
            texts[path.relative_to(folder)] = path.read_text(encoding="utf-8")
    main = texts.pop(Path("config.yaml"))
    for path, text in {**texts, Path("config.yaml"): main}.items():  # the main one last: it says that all are there
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        write_text(to / path, text)


def word_of(key: str, value: Any) -> str:
    """The override word that gives `key` this value, by Hydra's grammar.

    >>> word_of("lr", 1e-05), word_of("optimizer.betas", [0.9, 0.99]), word_of("name", "a b")
    ('lr=1e-05', 'optimizer.betas=[0.9,0.99]', "name='a b'")
    """
    return f"{key}={_text_of(value)}"


def _text_of(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_text_of, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_text_of(one)}" for key, one in value.items()) + "}"
    if isinstance(value, str):
        return _quoted(value)
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)


@lru_cache(maxsize=4096)
def _quoted(text: str) -> str:
    """A text as it is typed: bare where that is read as the same text, else in quotes."""
    try:
        override = OverridesParser.create().parse_override(f"value={text}")
        if not override.is_sweep_override() and override.value() == text and isinstance(override.value(), str):
            return text
    except (HydraException, ValueError, RecursionError):
        pass
    return QuotedString(text, Quote.single).with_quotes()


def _has_reference(value: object) -> bool:
    if isinstance(value, str):
        return "${" in value or value == "???"
    if isinstance(value, Mapping):
        return True  # merged by Hydra into what is there
    return isinstance(value, list | tuple) and any(map(_has_reference, value))


def _references(node: Any, path: Path_ = ()) -> Iterator[tuple[Path_, str]]:
    """Every text with an interpolation, and where it stands."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield from _references(value, (*path, key))
    if isinstance(node, str) and "${" in node:
        yield path, node


def _has(node: dict[str, Any], dotted: str) -> bool:
    section, _, last = dotted.rpartition(".")
    holder = _at(node, section)
    return isinstance(holder, dict) and last in holder and not isinstance(holder[last], dict | list)


def _at(node: Any, dotted: str) -> Any:
    for part in dotted.split(".") if dotted else ():
        node = node.get(part) if isinstance(node, dict) else None
    return node


def _put(node: Any, path: Path_, value: Any) -> None:
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = list(value) if isinstance(value, tuple) else value


def _copied(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _copied(value) if isinstance(value, dict | list) else value for key, value in node.items()}
    return [_copied(value) if isinstance(value, dict | list) else value for value in node]


def _inner(section: str, key: str, value: Any) -> str:
    """The lines of a key two levels down, as they stand in a whole file."""
    return _yaml({"hydra": {section: {key: value}}}).split("\n", 2)[2]


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """YAML as OmegaConf writes it, by the C library where there is one: texts that look like numbers are quoted."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "'" if _looks_otherwise(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


@lru_cache(maxsize=4096)
def _looks_otherwise(text: str) -> bool:
    return "'" in OmegaConf.to_yaml([text]).removeprefix("- ")[:1]


_Dumper.add_representer(str, _represent_text)


def _yaml(content: Any) -> str:
    text: str = yaml.dump(content, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False)
    return text
