"""What a trial has in each dimension of its sweep, and where that lies on an axis."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from hpo_cli.report.figures import figure

if TYPE_CHECKING:
    from hpo_cli.sweep.fold import SweepState
    from hpo_cli.sweep.space import Dimension, Space

_ROUND = (1.0, 2.0, 5.0, 10.0)
_SMALLEST = 1e-300
_MOST_TICKS = 20
_EDGE = 1e-9
_LARGEST = 1e300


@dataclass(frozen=True)
class Tick:
    """A mark of an axis. place: 0 .. 1."""

    label: str
    place: float


@dataclass(frozen=True)
class Stretch:
    """A part of an axis, between two places 0 .. 1."""

    low: float
    high: float


@dataclass(frozen=True)
class Axis:
    """Where values lie between 0 and 1. names: the values of an axis that has no order, each with its label."""

    kind: Literal["linear", "log", "named"]
    low: float = 0.0
    high: float = 1.0
    names: tuple[str, ...] = ()

    def place(self, value: Any) -> float | None:
        """0 .. 1; None for what lies nowhere on it."""
        if self.kind == "named":
            name = figure(value)
            return (self.names.index(name) + 0.5) / len(self.names) if name in self.names else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return None
        if self.kind == "log":
            if value <= 0:
                return None
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return min(1.0, max(0.0, share))

    def ticks(self, *, most: int = 5) -> list[Tick]:
        """Round numbers inside the range, or the names."""
        if self.kind == "named":
            return [Tick(name, (k + 0.5) / len(self.names)) for k, name in enumerate(self.names)]
        values = _log_ticks(self.low, self.high, most) if self.kind == "log" else _ticks(self.low, self.high, most)
        return [Tick(figure(value), self.place(value) or 0.0) for value in values]


def drawn_dimensions(state: SweepState) -> tuple[Dimension, ...]:
    """The dimensions as wide as whatever was searched and tried in them since the sweep began.

    Edits narrow a space, and what lies outside of it by now was tried all the same.
    """
    now = {one.name: one for one in state.space.dimensions}
    begun = {one.name: one for one in begun_space(state).dimensions}
    return tuple(
        _widened(now.get(name) or begun[name], begun.get(name), state) for name in dict.fromkeys([*begun, *now])
    )


def begun_space(state: SweepState) -> Space:
    """The space as it was before all edits."""
    rows = state.began.get("space")
    return state.space if rows is None else type(state.space).from_json(rows, state.space.base)


def present(dimension: Dimension, axis: Axis) -> tuple[Stretch, ...]:
    """The parts of an axis that are searched still; none for all of it. dimension: as it is now."""
    if dimension.choices is None:
        low, high = (axis.place(end) or 0.0 for end in dimension.ends)
        return () if axis.kind == "named" or (low <= _EDGE and high >= 1 - _EDGE) else (Stretch(low, high),)
    kept = {figure(choice) for choice in dimension.choices}
    if axis.kind != "named" or kept >= set(axis.names):
        return ()
    room = 1 / len(axis.names)
    return tuple(Stretch(k * room, (k + 1) * room) for k, name in enumerate(axis.names) if name in kept)


def _widened(one: Dimension, begun: Dimension | None, state: SweepState) -> Dimension:
    tried = [value for trial in state.trials if (value := value_of(one, trial.setting)) is not None]
    if one.choices is not None:
        first = begun.choices or () if begun is not None else ()
        found: dict[tuple[str, bool], Any] = {}
        for value in (*first, *one.choices, *tried):
            found.setdefault((figure(value), isinstance(value, str)), value)
        return replace(one, choices=tuple(found.values()), prior=None)
    numbers = [value for value in tried if isinstance(value, int | float) and not isinstance(value, bool)]
    ends = [*one.ends, *(begun.ends if begun is not None and begun.choices is None else ()), *numbers]
    low = min(ends)  # 0 where a sensitivity sweep begins at a weight decay of none, whatever the range
    return replace(one, low=low, high=max(ends), scale=one.scale if low > 0 else "linear", prior=None, step=None)


def value_of(dimension: Dimension, setting: Mapping[str, Any]) -> Any:
    """What a setting has in a dimension, a tuple where lists are zipped; None where the dimension is not active."""
    if any(key not in setting for key in dimension.keys):
        return None
    if any(one.key in setting and setting[one.key] not in one.values for one in dimension.when):
        return None
    values = tuple(setting[key] for key in dimension.keys)
    return values[0] if len(values) == 1 else values


def condition_of(dimension: Dimension) -> str:
    """When the dimension is active, in words; empty for always."""
    return " and ".join(f"{one.key}={figure(one.values)}" for one in dimension.when)


def axis_of(dimension: Dimension) -> Axis:
    """The axis of a dimension: as its space has it, numbers in their order."""
    if dimension.choices is not None:
        numbers = [one for one in dimension.choices if isinstance(one, int | float) and not isinstance(one, bool)]
        choices = sorted(numbers) if len(numbers) == len(dimension.choices) else dimension.choices
        return Axis("named", names=tuple(dict.fromkeys(map(figure, choices))))
    low, high = dimension.low or 0.0, dimension.high if dimension.high is not None else 1.0
    if low == high:
        return axis([low])
    return Axis("log" if dimension.scale == "log" and low > 0 else "linear", low, high)


def axis(values: Iterable[float | None], *, kind: Literal["linear", "log"] = "linear") -> Axis:
    """The axis that shows these values; a constant gets room around it."""
    found = [max(-_LARGEST, min(_LARGEST, value)) for value in values if value is not None and math.isfinite(value)]
    if not found:
        return Axis("linear")
    low, high = min(found), max(found)
    if high - low > 1e-12 * max(abs(low), abs(high), _SMALLEST):
        return Axis(kind if low > 0 else "linear", low, high)
    room = abs(low) / 10 or 1.0
    return Axis("linear", low - room, high + room)


def robust_axis(values: Sequence[float], *, mode: str, kept: float = 0.9) -> tuple[Axis, int]:
    """An axis that shows the better share `kept` of the values and the worse ones only while they are not far off.

    Gives it with the number of values beyond it: one diverged trial would else press all others into one line.
    """
    ordered = sorted(values, reverse=mode == "max")
    if len(ordered) < 2:  # noqa: PLR2004 - a range has two ends
        return axis(ordered), 0
    best, edge = ordered[0], ordered[min(len(ordered) - 1, int(kept * len(ordered)))]
    reach = edge + (edge - best) / 2
    inside = [value for value in ordered if (value >= reach if mode == "max" else value <= reach)]
    return axis(inside), len(ordered) - len(inside)


def _ticks(low: float, high: float, most: int) -> list[float]:
    """The multiples of that round step whose number is nearest to `most`."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    steps = [power * factor for factor in _ROUND]
    found = [_multiples(low, high, step) for step in steps]
    return min(found, key=lambda ticks: abs(len(ticks) - most))


def _multiples(low: float, high: float, step: float) -> list[float]:
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{k * step:.12g}") for k in range(first, min(last, first + _MOST_TICKS) + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    lowest, highest = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, math.ceil((highest - lowest) / most))
    for factors in ((1,), (1, 3), (1, 2, 5), tuple(range(1, 10))):
        powers = range(lowest, highest + 1, every)
        found = [float(f"{f}e{power}") for power in powers for f in factors]
        inside = [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(inside) >= 3 or (len(inside) >= 2 and factors != (1,)):  # noqa: PLR2004 - enough to read a scale by
            return inside
    return [low, high]
