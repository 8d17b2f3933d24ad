"""Our dimensions as Optuna's distributions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from hpo_cli.sweep.dimension import Dimension, same
from hpo_cli.sweep.space import Point, Space

Suggested = Any


def distribution_of(one: Dimension) -> BaseDistribution:
    """Where a sampler draws a dimension's value.

    Lists are drawn by place, since values may be of any type; so are linear ranges with steps. A range on a log scale
    that has steps is dense there: `value_of` takes the nearest.
    """
    if one.choices is not None:
        return CategoricalDistribution(tuple(range(len(one.choices))))
    if one.size is not None and one.scale == "linear":
        return IntDistribution(0, one.size - 1)
    low, high = one.ends
    if one.kind == "int" and one.step is None:
        return IntDistribution(int(low), int(high), log=True)
    return FloatDistribution(low, high, log=one.scale == "log")


def value_of(one: Dimension, suggested: Suggested) -> Any:
    """The dimension's value for what a sampler suggested."""
    if one.choices is not None:
        return one.choices[suggested]
    if one.size is not None and one.scale == "linear":
        return one.at((suggested + 0.5) / one.size)
    if one.kind == "int" and one.step is None:
        return int(suggested)
    return one.at(one.where(suggested)) if one.contains(suggested) else _nearest(one, suggested)


def suggested_of(one: Dimension, value: Any) -> Suggested:
    """What a sampler would have suggested for a value of the dimension."""
    if one.choices is not None:
        return next(place for place, choice in enumerate(one.choices) if same(choice, value))
    if one.size is not None and one.scale == "linear":
        return min(int(one.where(value) * one.size), one.size - 1)
    return value


def distributions_of(space: Space) -> dict[str, BaseDistribution]:
    """Name -> distribution."""
    return {one.name: distribution_of(one) for one in space.dimensions}


def suggestions_of(space: Space, point: Point) -> Mapping[str, Suggested]:
    """A point in a sampler's terms, in the order of the dimensions."""
    return {one.name: suggested_of(one, point[one.name]) for one in space.dimensions if one.name in point}


def _nearest(one: Dimension, value: float) -> Any:
    return min(one.values(), key=lambda rung: abs(rung - value))
