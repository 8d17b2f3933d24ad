"""Value against every dimension, one at a time; and two aims against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpo_cli.report.curves import thinned
from hpo_cli.report.dimensions import Axis, Stretch, axis_of, condition_of, drawn_dimensions, present, value_of
from hpo_cli.report.figures import figure

if TYPE_CHECKING:
    from hpo_cli.sweep.fold import SweepState
    from hpo_cli.sweep.space import Dimension


@dataclass(frozen=True)
class Dot:
    """One trial. x: place on the axis, 0 .. 1.   y: its value.   label: what it has there."""

    trial: int
    x: float
    y: float
    label: str


@dataclass(frozen=True)
class Slice:
    """One dimension. trials: in which it was active, of which `dots` may be a part.

    present: the parts of the axis that are searched still, where an edit has narrowed it.
    """

    name: str
    axis: Axis
    dots: tuple[Dot, ...]
    trials: int
    condition: str = ""
    present: tuple[Stretch, ...] = ()


def slices(state: SweepState, values: Mapping[int, float], *, most: int = 1000) -> list[Slice]:
    """A slice for every dimension. values: number of a trial -> its value, the best first."""
    return [_slice(state, one, values, most=most) for one in drawn_dimensions(state)]


def _slice(state: SweepState, dimension: Dimension, values: Mapping[int, float], *, most: int) -> Slice:
    axis = axis_of(dimension)
    found = {number: value_of(dimension, state.trial(number).setting) for number in values}
    known = {
        n: value for n, value in found.items() if value is not None or _takes_nothing(axis, state, n, dimension.keys)
    }
    dots = [
        Dot(number, x, values[number], figure(known[number]))
        for number in thinned(list(known), most=most)
        if (x := axis.place(known[number])) is not None
    ]
    now = next((one for one in state.space.dimensions if one.name == dimension.name), dimension)
    return Slice(dimension.name, axis, tuple(dots), len(known), condition_of(dimension), present(now, axis))


def _takes_nothing(axis: Axis, state: SweepState, number: int, keys: Sequence[str]) -> bool:
    """Whether `null` is one of the choices, and was taken."""
    setting = state.trial(number).setting
    return axis.place(None) is not None and all(key in setting for key in keys)
