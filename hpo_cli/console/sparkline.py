"""A curve in one row of braille."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hpo_cli.console.canvas import Canvas, thinned

_BAD_SHARE = 0.1  # of all values lies below the picture: one diverged run must not flatten the others


def sparkline(points: Mapping[int, float | None], *, width: int, last: int, span: tuple[float, float]) -> str:
    """So many columns. points: epoch -> value.   last: the epoch at the right edge.   span: the values at both edges.

    What is outside of the span is drawn at its edge; what is no number is left out.
    """
    canvas = Canvas(width, 1, braille=True)
    low, high = span
    dots = [
        (_place(epoch - 1, max(1, last - 1), canvas.width), canvas.height - 1 - _share(value, low, high, canvas.height))
        for epoch, value in sorted(points.items())
        if value is not None and 1 <= epoch <= last
    ]
    canvas.stroke(thinned(dots), mark=".", style="")
    return "".join(span.text for one in canvas.lines() for span in one)


def common_span(values: Sequence[float], *, mode: str) -> tuple[float, float]:
    """The lowest and the highest value that a picture of all of them shows: all but the worst tenth."""
    if not values:
        return 0.0, 1.0
    ordered = sorted(values)
    cut = int(len(ordered) * _BAD_SHARE)
    kept = ordered[cut:] if mode == "max" else ordered[: len(ordered) - cut]
    return kept[0], kept[-1]


def _place(at: int, of: int, dots: int) -> int:
    return round(at / of * (dots - 1))


def _share(value: float, low: float, high: float, dots: int) -> int:
    if high <= low:
        return dots // 2
    return round(min(1.0, max(0.0, (value - low) / (high - low))) * (dots - 1))
