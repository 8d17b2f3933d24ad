"""Curves drawn with characters: axes with round ticks, a legend, several curves in one frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hpo_cli.console.canvas import Canvas, Point, thinned
from hpo_cli.console.output import Span, line
from hpo_cli.console.scale import Axis, axis, ticks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
    """A line to draw. ys: as long as xs, None for a gap; note: shown behind the label; style: instead of its own."""

    label: str
    xs: Sequence[float]
    ys: Sequence[float | None]
    note: str = ""
    style: str = ""


@dataclass(frozen=True)
class Flag:
    """Something that happened: a short label on the x axis, and a thin line above it where no curve is."""

    x: float
    label: str
    style: str = ""


@dataclass(frozen=True)
class Frame:
    """Where curves are drawn. columns, rows: of the whole drawing in characters; drawing: braille dots or marks.

    flags: what happened on the way; where two do not fit beside each other, the later one is told.
    head: a line for each curve, or all in the title's line.   margin: at least so wide, so that frames align.
    x_range: shown instead of the range of the curves.   foot: nothing, where the frame below has the same x axis.
    """

    title: str
    x_label: str
    columns: int
    rows: int
    drawing: Drawing = "braille"
    flags: Sequence[Flag] = ()
    head: Literal["list", "line"] = "list"
    margin: int = 0
    x_range: Axis | None = None
    foot: Literal["axis", "none"] = "axis"


def plot(curves: Sequence[Curve], frame: Frame) -> list[Line]:
    """The drawing: `frame.rows` lines (more for long legends), none over `frame.columns`."""
    x_axis = frame.x_range or axis(x for curve in curves for x in curve.xs)
    y_axis = axis(_seen(curves, frame.x_range))
    head = list(_legend(curves, frame)) if frame.head == "list" else [_title(curves, frame)]
    rows = max(4 if frame.foot == "axis" else 1, frame.rows - len(head) - (2 if frame.foot == "axis" else 0))
    y_ticks = ticks(y_axis, most=max(3, rows // _ROWS_A_TICK))
    margin = max(frame.margin, *map(len, y_ticks), 1)
    columns = max(_NARROWEST, frame.columns - margin - 3)
    canvas = Canvas(columns, rows, braille=frame.drawing == "braille")
    for index, curve in enumerate(curves):
        for points in _unbroken(curve, canvas, x_axis, y_axis):
            canvas.stroke(thinned(points), mark=mark(index), style=curve.style or style(index))
    flags = {x_axis.place(flag.x, size=columns): flag for flag in frame.flags if _is_in(flag.x, x_axis)}
    body = _with_y_axis(canvas, y_axis, y_ticks, margin, flags)
    foot = _x_axis(x_axis, columns, margin, flags) if frame.foot == "axis" else ()
    return [*head, *body, *foot]


def y_margin(curves: Sequence[Curve], *, rows: int, x_range: Axis | None = None) -> int:
    """Columns that the numbers at the y axis take. rows: of the drawing without head and foot."""
    return max(map(len, ticks(axis(_seen(curves, x_range)), most=max(3, rows // _ROWS_A_TICK))), default=1)


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
        yield line(
            "  ", Span(sample, curve.style or style(index)), " ", curve.label, Span(f"  {curve.note}".rstrip(), "dim")
        )


def _title(curves: Sequence[Curve], frame: Frame) -> Line:
    spans = [Span(frame.title, "bold")]
    for index, curve in enumerate(curves):
        sample = "──" if frame.drawing == "braille" else mark(index)
        spans += [Span("  "), Span(sample, curve.style or style(index)), Span(f" {curve.label}")]
        spans += [Span(f" {curve.note}", "bold")] if curve.note else []
    return tuple(spans)


def _seen(curves: Sequence[Curve], x_range: Axis | None) -> Iterator[float]:
    """The values that the frame shows: those in its x range, where it has one."""
    for curve in curves:
        for x, y in zip(curve.xs, curve.ys, strict=True):
            if y is not None and (x_range is None or _is_in(x, x_range)):
                yield y


def _is_in(x: float, range_: Axis) -> bool:
    return range_.low <= x <= range_.high


def _unbroken(curve: Curve, canvas: Canvas, x_axis: Axis, y_axis: Axis) -> Iterator[list[Point]]:
    points: list[Point] = []
    for x, y in zip(curve.xs, curve.ys, strict=True):
        if y is not None and _is_in(x, x_axis):
            row = canvas.height - 1 - y_axis.place(y, size=canvas.height)
            points.append((x_axis.place(x, size=canvas.width), row))
        elif points:
            yield points
            points = []
    if points:
        yield points


def _with_y_axis(
    canvas: Canvas, y_axis: Axis, y_ticks: dict[str, float], margin: int, flags: Mapping[int, Flag]
) -> Iterator[Line]:
    labels = {canvas.rows - 1 - y_axis.place(y, size=canvas.rows): label for label, y in y_ticks.items()}
    for row, spans in enumerate(canvas.lines()):
        edge = "┤" if row in labels else "│"
        yield (Span(f"{labels.get(row, ''):>{margin}} {edge}", "dim"), *_with_flags(spans, flags))


def _with_flags(spans: Line, flags: Mapping[int, Flag]) -> Iterator[Span]:
    for column, span in enumerate(spans):
        is_free = column in flags and span.text == " "
        yield Span("┊", f"dim {flags[column].style}".strip()) if is_free else span


def _x_axis(x_axis: Axis, columns: int, margin: int, flags: Mapping[int, Flag]) -> Iterator[Line]:
    rule, numbers = ["─"] * columns, [" "] * columns
    for label, x in ticks(x_axis, most=max(2, columns // _COLUMNS_A_TICK), whole=True).items():
        place = x_axis.place(x, size=columns)
        rule[place] = "┬"
        start = max(0, min(place - len(label) // 2, columns - len(label)))
        if _is_free(numbers, start, len(label)):
            numbers[start : start + len(label)] = label
    indent = " " * (margin + 1)
    yield (Span(f"{indent}└", "dim"), *_planted(rule, flags))
    yield line(Span(f"{indent} {''.join(numbers)}", "dim"))


def _planted(rule: Sequence[str], flags: Mapping[int, Flag]) -> Iterator[Span]:
    """The rule with the flags' labels, each on its column or a little before; of those that would touch, the later."""
    shown = [Span(letter, "dim") for letter in rule]
    free = len(rule)
    for column, flag in sorted(flags.items(), reverse=True):
        start = min(column, free - len(flag.label))
        if start >= max(0, column - len(flag.label)):
            shown[start : start + len(flag.label)] = [Span(letter, flag.style) for letter in flag.label]
            free = start - 1
    yield from shown


def _is_free(numbers: list[str], start: int, length: int) -> bool:
    return not "".join(numbers[max(0, start - 1) : start + length + 1]).strip()
