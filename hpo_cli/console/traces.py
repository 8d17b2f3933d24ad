"""One metric as it grows: appended point by point, drawn from a bounded number of points however long it is."""

from __future__ import annotations

from dataclasses import dataclass, field

_BLOCK = 16
_MOST_BLOCKS = 1024
_KEPT = 4  # points of a block: the first, both extremes and the last


@dataclass
class Trace:
    """Steps and values of a metric, with extremes kept. value: None where it was not finite.

    Whole blocks of `size` points are kept as at most four of them; when there are too many blocks, neighbours are
    joined and the size doubles. Millions of rows are drawn from some thousand points, and no spike is lost.
    """

    size: int = _BLOCK
    length: int = 0
    last: float | None = None
    _blocks: list[list[tuple[float, float | None]]] = field(default_factory=list)
    _open: list[tuple[float, float | None]] = field(default_factory=list)

    def append(self, step: float, value: float | None) -> None:
        """Take one more point; steps grow."""
        self.length += 1
        self.last = value
        self._open.append((step, value))
        if len(self._open) == self.size:
            self._blocks.append(_outline(self._open))
            self._open = []
        if len(self._blocks) > _MOST_BLOCKS:
            pairs = zip(self._blocks[::2], self._blocks[1::2], strict=False)
            rest = self._blocks[-1:] if len(self._blocks) % 2 else []
            self._blocks = [*(_outline([*a, *b]) for a, b in pairs), *rest]
            self.size *= 2

    def points(self) -> list[tuple[float, float | None]]:
        """The points to draw, in order."""
        return [point for block in (*self._blocks, self._open) for point in block]

    @property
    def xs(self) -> list[float]:
        """The steps to draw."""
        return [x for x, _ in self.points()]

    @property
    def ys(self) -> list[float | None]:
        """The values to draw."""
        return [y for _, y in self.points()]


def _outline(points: list[tuple[float, float | None]]) -> list[tuple[float, float | None]]:
    """The first, the lowest, the highest and the last point; a gap stays when one of the points is one."""
    known = [point for point in points if point[1] is not None]
    if len(points) <= _KEPT or not known:
        return points[:1] if not known else points
    gaps = [point for point in points if point[1] is None][:1]
    low, high = min(known, key=lambda p: p[1] or 0.0), max(known, key=lambda p: p[1] or 0.0)
    return sorted({points[0], low, high, points[-1], *gaps}, key=lambda point: point[0])
