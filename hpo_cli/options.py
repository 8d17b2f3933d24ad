"""The option files in `conf/` and in a user's `--config-dir`, read without Hydra.

Help, completion, did-you-mean and the rules for values all come from here, so none of them composes anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from hpo_cli.errors import ConfigError

RESERVED = ("space", "rules")
"""Keys of an option file that describe its other keys and are no arguments."""

GROUPS = (
    "model", "init", "loss", "optimizer", "schedule", "regularization", "batch", "augment", "trainer", "logger", "data",
    "experiment",
)  # fmt: skip
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
    return _read(conf_folder() / "config.yaml", group="")


def list_options(group: str, *, config_dir: Path | None = None) -> dict[str, Option]:
    """The options of `group` by name, the user's own replacing shipped ones of the same name."""
    found: dict[str, Option] = {}
    for folder in filter(None, (conf_folder(), config_dir)):
        for path in sorted((folder / group).glob("*.yaml")):
            found[path.stem] = _read(path, group=group)
    return found


def list_groups(*, config_dir: Path | None = None) -> tuple[str, ...]:
    """Our groups in the order of a config, then those that only the user's folder has."""
    if config_dir is None:
        return GROUPS
    own = sorted(path.name for path in config_dir.iterdir() if path.is_dir() and any(path.glob("*.yaml")))
    return GROUPS + tuple(name for name in own if name not in GROUPS and name != "hydra")


@cache
def _read(path: Path, *, group: str) -> Option:
    text = _text(path)
    try:
        content = yaml.load(text, Loader=_Loader) or {}  # noqa: S506 - a subclass of the safe loader
    except yaml.YAMLError as error:
        line = str(error).splitlines()[0]
        raise ConfigError(str(path), rule=f"is no valid YAML ({line})", fix="mend or remove the file") from None
    if not isinstance(content, dict):
        raise ConfigError(str(path), rule="must hold `key: value` lines", fix="mend or remove the file")
    inherited = _inherited(content, path, group)
    body = {**inherited, **_own(content)}
    return Option(
        group=group,
        name=path.stem,
        path=path,
        description=_description(text),
        defaults={key: value for key, value in body.items() if key not in (*RESERVED, "comments")},
        rules={**inherited.get("rules", {}), **(content.get("rules") or {})},
        space={**inherited.get("space", {}), **(content.get("space") or {})},
        comments={**inherited.get("comments", {}), **_comments(text)},
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), rule=f"cannot be read ({error})", fix="mend or remove the file") from None


def _own(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key not in ("defaults", "hydra")}


def _inherited(content: dict[str, Any], path: Path, group: str) -> dict[str, Any]:
    """Keys of the sibling options that the defaults list names (`- default`)."""
    merged: dict[str, Any] = {}
    for entry in content.get("defaults") or []:
        if not group or not isinstance(entry, str) or entry == "_self_":
            continue
        sibling = path.with_name(f"{entry}.yaml")
        if sibling.is_file():
            parent = _read(sibling, group=group)
            merged |= {**parent.defaults, "rules": parent.rules, "space": parent.space, "comments": parent.comments}
    return merged


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
    """YAML as OmegaConf reads it: `1e-3` is a number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+|\.[0-9_]+(?:[eE][-+]?[0-9]+)?)$"),
    list("-+0123456789."),
)
