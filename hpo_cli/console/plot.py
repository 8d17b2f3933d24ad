"""Curves drawn with characters: axes with round ticks, a legend, several curves in one frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hpo_cli.console.canvas import Canvas, Point, thinned
from hpo_cli.console.output import Span, line
from hpo_cli.console.scale import Axis, axis, ticks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpo_cli.console.output import Line

Drawing = Literal["braille", "marks"]

STYLES = (
    "bright_cyan",
    "yellow",
    "bright_magenta",
    "green",
    "bright_red",
    "bright_blue",
    "white",
    "dark_orange",
)
MARKS = "*o+x#@%&"
_ROWS_A_TICK = 2
_COLUMNS_A_TICK = 12
_NARROWEST = 10


@dataclass(frozen=True)
class Curve:
    """A line to draw. ys: as long as xs, None for a gap; note: shown behind the label."""

    label: str
    xs: Sequence[float]
    ys: Sequence[float | None]
    note: str = ""


@dataclass(frozen=True)
class Frame:
    """Where curves are drawn. columns, rows: of the whole drawing in characters; drawing: braille dots or marks."""

    title: str
    x_label: str
    columns: int
    rows: int
    drawing: Drawing = "braille"


def plot(curves: Sequence[Curve], frame: Frame) -> list[Line]:
    """The drawing: `frame.rows` lines (more for long legends), none over `frame.columns`."""
    y_axis = axis(y for curve in curves for y in curve.ys if y is not None)
    x_axis = axis(x for curve in curves for x in curve.xs)
    head = list(_legend(curves, frame))
    rows = max(4, frame.rows - len(head) - 2)
    y_ticks = ticks(y_axis, most=max(3, rows // _ROWS_A_TICK))
    margin = max(map(len, y_ticks), default=1)
    columns = max(_NARROWEST, frame.columns - margin - 3)
    canvas = Canvas(columns, rows, braille=frame.drawing == "braille")
    for index, curve in enumerate(curves):
        for points in _unbroken(curve, canvas, x_axis, y_axis):
            canvas.stroke(thinned(points), mark=mark(index), style=style(index))
    body = _with_y_axis(canvas, y_axis, y_ticks, margin)
    return [*head, *body, *_x_axis(x_axis, columns, margin)]


def style(index: int) -> str:
    """The colour of the curve with that index."""
    return STYLES[index % len(STYLES)]


def mark(index: int) -> str:
    """The character of the curve with that index, where braille or colour is missing."""
    return MARKS[index % len(MARKS)]


def _legend(curves: Sequence[Curve], frame: Frame) -> Iterator[Line]:
    """The title, with the note of a curve that has no other name; then the curves."""
    lone = len(curves) == 1 and curves[0].label == frame.title
    note = f"  {curves[0].note}" if lone else ""
    yield line(Span(frame.title, "bold"), Span(f" by {frame.x_label}{note}", "dim"))
    for index, curve in enumerate(() if lone else curves):
        sample = "──" if frame.drawing == "braille" else mark(index)
        yield line("  ", Span(sample, style(index)), " ", curve.label, Span(f"  {curve.note}".rstrip(), "dim"))


def _unbroken(curve: Curve, canvas: Canvas, x_axis: Axis, y_axis: Axis) -> Iterator[list[Point]]:
    points: list[Point] = []
    for x, y in zip(curve.xs, curve.ys, strict=True):
        if y is not None:
            row = canvas.height - 1 - y_axis.place(y, size=canvas.height)
            points.append((x_axis.place(x, size=canvas.width), row))
        elif points:
            yield points
            points = []
    if points:
        yield points


def _with_y_axis(canvas: Canvas, y_axis: Axis, y_ticks: dict[str, float], margin: int) -> Iterator[Line]:
    labels = {canvas.rows - 1 - y_axis.place(y, size=canvas.rows): label for label, y in y_ticks.items()}
    for row, spans in enumerate(canvas.lines()):
        edge = "┤" if row in labels else "│"
        yield (Span(f"{labels.get(row, ''):>{margin}} {edge}", "dim"), *spans)


def _x_axis(x_axis: Axis, columns: int, margin: int) -> Iterator[Line]:
    rule, numbers = ["─"] * columns, [" "] * columns
    for label, x in ticks(x_axis, most=max(2, columns // _COLUMNS_A_TICK), whole=True).items():
        place = x_axis.place(x, size=columns)
        rule[place] = "┬"
        start = max(0, min(place - len(label) // 2, columns - len(label)))
        if _is_free(numbers, start, len(label)):
            numbers[start : start + len(label)] = label
    indent = " " * (margin + 1)
    yield line(Span(f"{indent}└{''.join(rule)}", "dim"))
    yield line(Span(f"{indent} {''.join(numbers)}", "dim"))


def _is_free(numbers: list[str], start: int, length: int) -> bool:
    return not "".join(numbers[max(0, start - 1) : start + length + 1]).strip()
