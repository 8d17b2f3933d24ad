"""The option files in `conf/` and in a user's `--config-dir`, read without Hydra.

Help, completion, did-you-mean and the rules for values all come from here, so none of them composes anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from hpo_cli.errors import ConfigError
from hpo_cli.rules import broken_rule

RESERVED = ("space", "rules")
"""Keys of an option file that describe its other keys and are no arguments."""

GROUPS = (
    "model", "init", "loss", "optimizer", "schedule", "regularization", "batch", "augment", "trainer", "logger", "data",
    "experiment",
)  # fmt: skip
SWEEP = "sweep"
"""The folder of the ways to sweep: chosen as an option of a group is, and no part of any run."""
COMPONENT_GROUPS = ("model", "init", "loss", "optimizer", "schedule", "augment", "logger", "data")
"""Groups whose options name a `_target_` that is built with the option's keys."""


@dataclass(frozen=True)
class Option:
    """One option file: its own keys with their defaults, and what it says about them."""

    group: str
    name: str
    path: Path
    description: str
    defaults: dict[str, Any] = field(default_factory=dict)
    rules: dict[str, Any] = field(default_factory=dict)
    space: dict[str, Any] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    choices: dict[str, str] = field(default_factory=dict)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that a user may set, without `_target_`."""
        return tuple(key for key in self.defaults if not key.startswith("_"))


def conf_folder() -> Path:
    """The folder of the shipped option files: inside the installed package, or beside it in a checkout."""
    inside = Path(__file__).parent / "conf"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "conf"


def main_config() -> Option:
    """`conf/config.yaml`: the top-level words and the keys that all options of a group share."""
    return _read(conf_folder() / "config.yaml", group="", folders=(conf_folder(),))


def list_options(group: str, *, config_dir: Path | None = None) -> dict[str, Option]:
    """The options of `group` by name, the user's own replacing shipped ones of the same name."""
    folders = (config_dir, conf_folder()) if config_dir else (conf_folder(),)
    found: dict[str, Option] = {}
    for folder in reversed(folders):
        for path in sorted((folder / group).glob("*.yaml")):
            found[path.stem] = _read(path, group=group, folders=folders)
    return found


def find_option(group: str, name: str, *, config_dir: Path | None = None) -> Option | None:
    """One option of `group`, None where there is none of that name."""
    folders = (config_dir, conf_folder()) if config_dir else (conf_folder(),)
    path = next((place for folder in folders if (place := folder / group / f"{name}.yaml").is_file()), None)
    return None if path is None else _read(path, group=group, folders=folders)


def list_groups(*, config_dir: Path | None = None) -> tuple[str, ...]:
    """Our groups in the order of a config, then those that only the user's folder has."""
    if config_dir is None:
        return GROUPS
    own = sorted(path.name for path in config_dir.iterdir() if path.is_dir() and any(path.glob("*.yaml")))
    return GROUPS + tuple(name for name in own if name not in (*GROUPS, SWEEP, "hydra"))


@cache
def _read(path: Path, *, group: str, folders: tuple[Path, ...], heirs: tuple[Path, ...] = ()) -> Option:
    """The option in a file. folders: where what it inherits from is looked for; heirs: the files that asked for it."""
    text = _text(path)
    content = _content(text, path)
    own = {key: value for key, value in content.items() if key not in ("defaults", "hydra", *RESERVED)}
    option = Option(
        group=group,
        name=path.stem,
        path=path,
        description=_description(text),
        defaults=own,
        rules=_described(content, "rules", path),
        space=_described(content, "space", path),
        comments=_comments(text),
        choices=_choices(content),
    )
    for key, rule in option.rules.items():
        if problem := broken_rule(rule):
            raise ConfigError(str(path), rule=f"the rule of {key} {problem}", fix="mend the file")
    parents = _parents(content, path, group=group, folders=folders, heirs=(*heirs, path))
    return _merged(option, parents) if parents else option


def _content(text: str, path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(text, Loader=_Loader) or {}  # noqa: S506 - a subclass of the safe loader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = str(error).splitlines()[0]
        raise ConfigError(str(path), rule=f"is no valid YAML ({line})", fix="mend or remove the file") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigError(str(path), rule="must hold `key: value` lines", fix="mend or remove the file")
    return content


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), rule=f"cannot be read ({error})", fix="mend or remove the file") from None


def _choices(content: dict[str, Any]) -> dict[str, str]:
    """The options of other groups that the file chooses (`- override /model: cnn`), by group."""
    listed = content.get("defaults")
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    named = {str(key): str(value) for entry in entries for key, value in entry.items()}
    marks = {key: key.removeprefix("override ").strip() for key in named if key.startswith("override ")}
    return {mark.lstrip("/").partition("@")[0]: named[key] for key, mark in marks.items()}


def _described(content: dict[str, Any], word: str, path: Path) -> dict[str, Any]:
    found = content.get(word) or {}
    if isinstance(found, dict):
        return found
    raise ConfigError(str(path), rule=f"{word} must be a mapping from key to {word}", fix="mend the file")


def _parents(
    content: dict[str, Any], path: Path, *, group: str, folders: tuple[Path, ...], heirs: tuple[Path, ...]
) -> list[Option]:
    """The options of the same group that the defaults list names (`- default`), which the file adds its own keys to."""
    entries = content.get("defaults") or []
    if not isinstance(entries, list):
        raise ConfigError(str(path), rule="defaults must be a list", fix="mend the file")
    names = [entry for entry in entries if group and isinstance(entry, str) and entry != "_self_"]
    places = [
        next((p for folder in folders if (p := folder / group / f"{name}.yaml").is_file()), None) for name in names
    ]
    for place in places:
        if place in heirs:
            raise ConfigError(str(path), rule=f"inherits from itself by way of {place}", fix="mend its defaults list")
    return [_read(place, group=group, folders=folders, heirs=heirs) for place in places if place]


def _merged(option: Option, parents: list[Option]) -> Option:
    """`option` with what its parents say where it says nothing itself; of two parents the later one counts."""
    family = [*parents, option]

    def of_all(part: str) -> dict[str, Any]:
        return {key: value for member in family for key, value in getattr(member, part).items()}

    return replace(
        option,
        defaults=of_all("defaults"),
        rules=of_all("rules"),
        space=of_all("space"),
        comments=of_all("comments"),
    )


_COMMENTED = re.compile(r"^(?P<indent> *)(?P<key>\w+):(?:\s+(?P<value>[^#]*?))?(?:\s+# (?P<comment>.*))?$")


def _comments(text: str) -> dict[str, str]:
    """What stands behind a key, by key; `section.key` for keys of a section."""
    found: dict[str, str] = {}
    section = ""
    for line in text.splitlines():
        match = _COMMENTED.match(line)
        if match is None:
            continue
        if not match["indent"]:
            section = "" if match["value"] else f"{match['key']}."
        if match["comment"]:
            found[(section if match["indent"] else "") + match["key"]] = match["comment"]
    return found


def _description(text: str) -> str:
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            return line.lstrip("# ").strip()
    return ""


class _Loader(yaml.CSafeLoader):
    """YAML as OmegaConf reads it: `1e-3` is a number, a date is a text, a key stands once in its mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        """The mapping of a node. Raises YAMLError for a key that stands there twice."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise yaml.constructor.ConstructorError(None, None, f"{twice[0]} stands there twice", node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^(?:[-+]?[0-9]+(?:_[0-9]+)*(?:\.[0-9_]*)?[eE][-+]?[0-9]+|\.[0-9]+(?:_[0-9]+)*(?:[eE][-+][0-9]+)?)$"),
    list("-+0123456789."),
)
_Loader.yaml_implicit_resolvers = {
    letter: [(tag, form) for tag, form in resolvers if not tag.endswith(":timestamp")]
    for letter, resolvers in _Loader.yaml_implicit_resolvers.items()
}
