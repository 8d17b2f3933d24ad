"""What is searched: dimensions with their scale and condition, and the settings that they allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Setting = Mapping[str, Any]
"""Override key -> value, of one trial: only what is varied, only what is active."""
Point = Mapping[str, Any]
"""Dimension's name -> value: a setting as the searches see it."""


@dataclass(frozen=True)
class Condition:
    """A dimension is active when the setting, or else the base config, has one of `values` under `key`."""

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Dimension:
    """One thing that is varied.

    name: unique in its space.   keys: the override keys that it sets, several when lists are zipped.
    choices: the values in order, tuples of one value a key when zipped; None for a range.
    low, high: both ends of a range, included.   step: of a range that has one.   when: all must hold.
    prior: where a good value is thought to lie.
    """

    name: str
    keys: tuple[str, ...]
    choices: tuple[Any, ...] | None = None
    low: float | None = None
    high: float | None = None
    scale: Literal["linear", "log"] = "linear"
    kind: Literal["float", "int"] = "float"
    step: float | None = None
    when: tuple[Condition, ...] = ()
    prior: Any = None
    confidence: Literal["low", "medium", "high"] = "medium"
