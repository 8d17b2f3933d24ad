"""Points as vectors of numbers, for models that need them: every dimension has its columns, active or not."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpo_cli.sweep.dimension import Dimension
from hpo_cli.sweep.space import Point, Space

Vector = NDArray[np.float64]
_MIDDLE = 0.5
_ONE_HOT = 0.5**0.5
"""So that two different choices are one apart."""


def is_ordered(one: Dimension) -> bool:
    """Whether the values have an order: a range, or a list of rising or falling numbers such as batch sizes."""
    if one.choices is None:
        return True
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in one.choices):
        return False
    return list(one.choices) in (sorted(one.choices), sorted(one.choices, reverse=True))


class Encoding:
    """Vectors for the points of a space, and points near others.

    An ordered dimension has one column, its share in its scale, 0 .. 1. Any other list has one column a choice. What is
    not active lies in the middle, or has no choice; the choice that lets it in is a column of its own already.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self._shares: dict[tuple[str, str], float] = {}
        self._ordered = {one.name: is_ordered(one) for one in space.dimensions}
        owners = [
            index
            for index, one in enumerate(space.dimensions)
            for _ in range(1 if self._ordered[one.name] else len(one.choices or ()))
        ]
        self.owners: NDArray[np.int64] = np.array(owners, dtype=np.int64)
        """Column -> the place of its dimension."""

    def vector(self, point: Point) -> list[float]:
        """The columns of a point."""
        row: list[float] = []
        for one in self.space.dimensions:
            if self._ordered[one.name]:
                row.append(self._share(one, point[one.name]) if one.name in point else _MIDDLE)
            else:
                hot = int(self._share(one, point[one.name]) * len(one.choices or ())) if one.name in point else -1
                row += [_ONE_HOT if place == hot else 0.0 for place in range(len(one.choices or ()))]
        return row

    def matrix(self, points: Sequence[Point]) -> Vector:
        """One row a point."""
        rows = [self.vector(point) for point in points]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.owners))

    def neighbour(self, point: Point, rng: random.Random, *, spread: float) -> dict[str, Any]:
        """A point near another one: some dimensions moved, each about `spread` of its range; lists drawn anew."""
        moved: dict[str, Any] = {}
        share = max(2.0 / max(len(point), 1), 0.3)
        for one in self.space.dimensions:
            if one.name not in point:
                moved[one.name] = one.draw(rng)
            elif rng.random() >= share:
                moved[one.name] = point[one.name]
            elif self._ordered[one.name]:
                moved[one.name] = one.at(self._share(one, point[one.name]) + rng.gauss(0.0, spread))
            else:
                moved[one.name] = one.at(rng.random())
        return {one.name: moved[one.name] for one in self.space.active(moved)}

    def _share(self, one: Dimension, value: Any) -> float:
        """As `one.where(value)`, which takes its time: thousands of candidates share their values."""
        key = (one.name, repr(value))
        if key not in self._shares:
            self._shares[key] = one.where(value)
        return self._shares[key]
