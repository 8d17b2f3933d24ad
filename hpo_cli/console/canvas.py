"""A grid of character cells to draw lines on: braille (2 x 4 dots a cell), or one mark a cell."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from hpo_cli.console.output import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hpo_cli.console.output import Line

Point = tuple[int, int]
_BRAILLE = 0x2800
# The bit of a dot in its cell, by [row][column]: Unicode standard, chapter 21, "Braille patterns".
_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


@dataclass
class Canvas:
    """Draw with `stroke`, read with `lines`. columns, rows: in cells. A later stroke wins."""

    columns: int
    rows: int
    braille: bool
    _cells: dict[Point, tuple[int | str, str]] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Dots across."""
        return self.columns * 2 if self.braille else self.columns

    @property
    def height(self) -> int:
        """Dots down."""
        return self.rows * 4 if self.braille else self.rows

    def stroke(self, points: list[Point], *, mark: str, style: str) -> None:
        """Joins points (x, y) in dots, y from the top; a single one is drawn as a large mark."""
        if len(points) == 1 and self.braille:
            x, y = points[0]
            self._cells[x // 2, y // 4] = ("•", style)
            return
        for x, y in _joined(points):
            if self.braille:
                self._dot(x, y, style)
            else:
                self._cells[x, y] = (mark, style)

    def lines(self) -> Iterator[Line]:
        """The rows from the top."""
        for y in range(self.rows):
            yield tuple(_span(self._cells.get((x, y))) for x in range(self.columns))

    def _dot(self, x: int, y: int, style: str) -> None:
        old = self._cells.get((x // 2, y // 4), (0, ""))[0]
        bits = old if isinstance(old, int) else 0
        self._cells[x // 2, y // 4] = (bits | _BITS[y % 4][x % 2], style)


def _joined(points: list[Point]) -> Iterator[Point]:
    """All dots on the way from each point to the next, both ends included."""
    yield from points[:1]
    for (x0, y0), (x1, y1) in pairwise(points):
        steps = max(abs(x1 - x0), abs(y1 - y0))
        for k in range(1, steps + 1):
            yield round(x0 + (x1 - x0) * k / steps), round(y0 + (y1 - y0) * k / steps)


def thinned(points: Iterable[Point]) -> list[Point]:
    """The same drawing from fewer points: of those in one column, the first, both extremes and the last."""
    kept: list[Point] = []
    group: list[Point] = []
    for point in points:
        if group and group[0][0] != point[0]:
            kept += _outline(group)
            group = []
        group.append(point)
    return kept + _outline(group)


def _outline(group: list[Point]) -> list[Point]:
    if len(group) <= 4:  # noqa: PLR2004 - the four points kept of a larger group
        return group
    return [group[0], min(group, key=lambda p: p[1]), max(group, key=lambda p: p[1]), group[-1]]


def _span(cell: tuple[int | str, str] | None) -> Span:
    if cell is None:
        return Span(" ")
    content, style = cell
    return Span(chr(_BRAILLE + content) if isinstance(content, int) else content, style)
