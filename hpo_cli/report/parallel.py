"""Parallel coordinates: a line a trial through one axis a dimension."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpo_cli.report.curves import thinned
from hpo_cli.report.dimensions import Axis, Stretch, axis_of, drawn_dimensions, present, value_of

if TYPE_CHECKING:
    from hpo_cli.sweep.fold import SweepState


@dataclass(frozen=True)
class Line:
    """One trial. places: on each axis, 0 .. 1; None where that dimension is not active.   value: of the first aim."""

    trial: int
    places: tuple[float | None, ...]
    value: float


@dataclass(frozen=True)
class Parallel:
    """names, axes: of the dimensions.   lines: the worst first, so that the best lie on top.   total: trials.

    present: of each axis, the parts that are searched still, where an edit has narrowed it.
    """

    names: tuple[str, ...]
    axes: tuple[Axis, ...]
    lines: tuple[Line, ...]
    total: int
    present: tuple[tuple[Stretch, ...], ...] = ()


def parallel(state: SweepState, values: Mapping[int, float], *, most: int = 400) -> Parallel:
    """The lines of at most `most` trials. values: number of a trial -> its value, the best first."""
    space = drawn_dimensions(state)
    now = {one.name: one for one in state.space.dimensions}
    axes = tuple(map(axis_of, space))
    lines = [
        Line(
            number,
            tuple(
                axis.place(value_of(one, state.trial(number).setting)) for one, axis in zip(space, axes, strict=True)
            ),
            values[number],
        )
        for number in reversed(thinned(list(values), most=most))
    ]
    kept = tuple(present(now.get(one.name, one), axis) for one, axis in zip(space, axes, strict=True))
    return Parallel(tuple(one.name for one in space), axes, tuple(lines), len(values), kept)
