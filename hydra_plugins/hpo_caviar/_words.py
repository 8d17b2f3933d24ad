"""The words of a command: what each job has, and what is varied."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from hpo_cli.sweep.space import Setting, Space
from hydra_plugins.hpo_caviar._dimensions import dimension_of


@dataclass(frozen=True)
class Words:
    """The words in their order. fixed: key -> word.   base: what identifies the config that they change."""

    keys: tuple[str, ...]
    fixed: Mapping[str, str]
    space: Space
    base: str

    def job(self, setting: Setting) -> list[str]:
        """The override words of one job, in the order of the command's; inactive ones are left out."""
        varied = {key: f"{key}={written(value)}" for key, value in setting.items()}
        return [word for key in self.keys if (word := self.fixed.get(key) or varied.get(key))]

    def plan_id(self, setting: Setting) -> str:
        """The same for two jobs whose config comes out the same."""
        content = json.dumps([self.base, sorted(self.job(setting))])
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def read_words(arguments: Sequence[str], *, params: Mapping[str, Any], config: DictConfig, config_loader: Any) -> Words:
    """Parse by Hydra's grammar. A key that is given twice counts as it is given last, in its first place."""
    parser = OverridesParser.create(config_loader=config_loader)
    lines = [*(f"{key}={value}" for key, value in params.items()), *arguments]
    found = {override.get_key_element(): override for override in parser.parse_overrides(lines)}
    varied = [override for override in found.values() if override.is_sweep_override()]
    dimensions = tuple(map(dimension_of, varied))
    fixed = {key: _word(key, override) for key, override in found.items() if not override.is_sweep_override()}
    conditions = {condition.key for one in dimensions for condition in one.when}
    base = {key: _chosen(config, key) for key in conditions}
    return Words(tuple(found), fixed, Space(dimensions, base), _identity(config))


def written(value: Any) -> str:
    """A value of a setting as the override grammar reads it. Those of lists are kept as they were written."""
    return value if isinstance(value, str) else str(value)


def _word(key: str, override: Override) -> str:
    return key if override.is_delete() and override.value() is None else f"{key}={override.get_value_element_as_str()}"


def _chosen(config: DictConfig, key: str) -> str | None:
    """What the config has under a key, be it a group or a value."""
    choice = config.hydra.runtime.choices.get(key)
    value = choice if choice is not None else OmegaConf.select(config, key)
    return None if value is None else str(value)


def _identity(config: DictConfig) -> str:
    without = {key: value for key, value in OmegaConf.to_container(config, resolve=False).items() if key != "hydra"}  # type: ignore[union-attr]
    return hashlib.sha256(OmegaConf.to_yaml(OmegaConf.create(without)).encode()).hexdigest()[:16]
