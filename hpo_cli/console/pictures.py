"""Images and signals as characters, side by side with captions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from hpo_cli.console.canvas import Canvas
from hpo_cli.console.output import Span, can_draw, cells, console, is_coloured, line
from hpo_cli.console.scale import axis
from hpo_cli.console.tables import one_line, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from hpo_cli.console.output import Line

Depth = Literal["colours", "shades", "letters"]
"""colours: two pixels a cell, one above the other; shades and letters: one, where there are not enough colours."""

_RAMPS = {"shades": " ░▒▓█", "letters": " .:-=+*#%@"}
_SMALL = 16  # up to so many pixels across, a pixel takes two columns where a cell has one brightness
_GAP = 2


@dataclass(frozen=True)
class Picture:
    """A drawing of equal lines. columns: how wide."""

    caption: str
    columns: int
    lines: tuple[Line, ...]


def depth() -> Depth:
    """What standard output can show."""
    if not can_draw():
        return "letters"
    if is_coloured() and console().color_system in ("256", "truecolor"):
        return "colours"
    return "shades"


def picture(pixels: NDArray[np.uint8], *, caption: str, most_columns: int, depth: Depth) -> Picture:
    """An image, grey [h, w] or RGB [h, w, 3], at most `most_columns` wide; a cell is twice as high as wide."""
    height, width = pixels.shape[:2]
    stretch = 2 if depth != "colours" and width <= _SMALL else 1
    columns = min(width * stretch, most_columns)
    rows = max(1, round(height * columns / width / 2))
    if depth == "colours":
        colours = _resized(pixels if pixels.ndim > 2 else np.stack([pixels] * 3, axis=-1), 2 * rows, columns)  # noqa: PLR2004 - [h, w]
        lines = tuple(_half_blocks(colours[2 * row], colours[2 * row + 1]) for row in range(rows))
    else:
        grey = pixels if pixels.ndim == 2 else pixels.mean(axis=-1)  # noqa: PLR2004 - [h, w]
        lines = tuple(_ramp(row, _RAMPS[depth]) for row in _stretched(_resized(grey, rows, columns)))
    return Picture(caption, columns, lines)


def signal(channels: NDArray[np.floating], *, caption: str, columns: int, rows: int) -> Picture:
    """A signal [c, length] as a small plot, all its channels between their common least and largest value."""
    canvas = Canvas(columns, rows, braille=can_draw())
    y_axis = axis(channels.ravel().tolist())
    for index, values in enumerate(channels.tolist()):
        last = max(1, len(values) - 1)
        points = [
            (x * (canvas.width - 1) // last, canvas.height - 1 - y_axis.place(y, size=canvas.height))
            for x, y in enumerate(values)
        ]
        canvas.stroke(points, mark="*", style=("bright_cyan", "yellow", "bright_magenta")[index % 3])
    return Picture(caption, columns, tuple(canvas.lines()))


def side_by_side(pictures: Sequence[Picture], *, width: int) -> Iterator[Line]:
    """Rows of pictures, each under its caption, none wider than `width`; all are as large as the first."""
    a_row = max(1, (width + _GAP) // (pictures[0].columns + _GAP)) if pictures else 1
    for start in range(0, len(pictures), a_row):
        row = pictures[start : start + a_row]
        yield tuple(span for one in row for span in (Span(_fitted(one.caption, one.columns), "dim"), Span(" " * _GAP)))
        for parts in zip(*(one.lines for one in row), strict=True):
            yield tuple(span for part in parts for span in (*part, Span(" " * _GAP)))
        yield line()


def _fitted(caption: str, columns: int) -> str:
    text = shorten(one_line(caption), columns)
    return text + " " * (columns - cells(text))


def _half_blocks(upper: NDArray[np.floating], lower: NDArray[np.floating]) -> Line:
    return tuple(Span("▀", f"{_hex(above)} on {_hex(below)}") for above, below in zip(upper, lower, strict=True))


def _hex(colour: NDArray[np.floating]) -> str:
    return "#" + bytes(np.clip(np.rint(colour), 0, 255).astype(np.uint8)).hex()


def _stretched(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """From 0 to 255 within the image: with few shades, its own contrast is what can be seen."""
    low, high = values.min(), values.max()
    return values if high == low else (values - low) * (255 / (high - low))


def _ramp(values: NDArray[np.floating], ramp: str) -> Line:
    steps = np.clip(values / 256 * len(ramp), 0, len(ramp) - 1).astype(int)
    return line("".join(ramp[step] for step in steps))


def _resized(pixels: NDArray[np.generic], rows: int, columns: int) -> NDArray[np.float64]:
    return _means(_means(pixels.astype(np.float64), rows, axis=0), columns, axis=1)


def _means(values: NDArray[np.float64], size: int, *, axis: int) -> NDArray[np.float64]:
    """`size` means of neighbours along an axis; the same ones several times where there are fewer."""
    length = values.shape[axis]
    starts = np.arange(size) * length // size
    ends = np.maximum(-(-np.arange(1, size + 1) * length // size), starts + 1)
    parts = [values.take(range(start, end), axis=axis).mean(axis=axis) for start, end in zip(starts, ends, strict=True)]
    return np.stack(parts, axis=axis)
