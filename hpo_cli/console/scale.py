"""Axes: the range that shows some values, and round numbers to mark on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_SMALLEST = 1e-280  # below it, a range cannot be divided into steps
_LARGEST = 1e300  # beyond it, differences of two values overflow
_ROUND = (1.0, 2.0, 5.0, 10.0)
_MOST_TICKS = 20
_FINEST, _COARSEST = 1e-4, 1e7  # labels outside are written with an exponent


@dataclass(frozen=True)
class Axis:
    """A range, low < high."""

    low: float
    high: float

    def place(self, value: float, *, size: int) -> int:
        """The cell of `value` among `size` cells, 0 .. size - 1."""
        share = (_bounded(value) - self.low) / (self.high - self.low)
        return round(min(1.0, max(0.0, share)) * (size - 1))


def axis(values: Iterable[float]) -> Axis:
    """The range of finite values; a constant gets room around it, no values give 0 .. 1."""
    bounded = [_bounded(value) for value in values]
    if not bounded:
        return Axis(0.0, 1.0)
    low, high = min(bounded), max(bounded)
    if high - low > 1e-12 * max(abs(low), abs(high), _SMALLEST):
        return Axis(low, high)
    room = 0.1 * abs(low) if abs(low) > _SMALLEST else 1.0
    return Axis(low - room, high + room)


def ticks(of: Axis, *, most: int, whole: bool = False) -> dict[str, float]:
    """Round numbers inside the range by their labels, `most` of them or fewer. whole: whole numbers alone."""
    step = _round_step((of.high - of.low) / max(1, most))
    if whole:
        step = max(1.0, step)
    first = math.ceil(of.low / step - 1e-9)
    count = min(_MOST_TICKS, math.floor(of.high / step + 1e-9) - first + 1)
    return {_label(k * step, step): k * step for k in range(first, first + count)}


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next((power * factor for factor in _ROUND if power * factor >= least * (1 - 1e-9)), power * 10)


def _label(value: float, step: float) -> str:
    large = max(abs(value), step)
    if value and not _FINEST <= step <= large < _COARSEST:
        return f"{value:.3g}"
    return f"{value:.{max(0, -math.floor(math.log10(step)))}f}" if value else "0"


def _bounded(value: float) -> float:
    return max(-_LARGEST, min(_LARGEST, value))
