"""The curves of a run below each other, on one x axis of steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpo_cli.console.figures import figure
from hpo_cli.console.happenings import flags
from hpo_cli.console.output import Span, line
from hpo_cli.console.plot import STYLES, Curve, Frame, plot, y_margin
from hpo_cli.console.scale import Axis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpo_cli.console.dashboard import Room, View
    from hpo_cli.console.output import Line

_LOSSES = {"train/loss": "train", "val/loss": "val"}
_HEALTH = {"train/grad_norm": "gradient norm", "train/update_ratio": "update/weight"}
_AXIS_ROWS = 2
_LEAST_ROWS = 4  # of a chart with its title
_WITH_HEALTH = 26  # rows from which there is room for the curves that say how training is


@dataclass(frozen=True)
class _Chart:
    title: str
    curves: tuple[Curve, ...]


def charts(view: View, room: Room, *, columns: int, rows: int, zoom: int) -> list[Line]:
    """So many rows of curves, or words where there are none."""
    if rows < _LEAST_ROWS + _AXIS_ROWS:
        return []
    drawn = [chart for chart in _charts(view, rows) if chart.curves]
    if not drawn:
        return _nothing(view, rows)
    shown = drawn[: max(1, (rows - _AXIS_ROWS) // _LEAST_ROWS)]
    range_ = _range(shown, zoom=zoom)
    heights = _heights(len(shown), rows - _AXIS_ROWS)
    pairs = list(zip(shown, heights, strict=True))
    margin = max(y_margin(chart.curves, rows=height - 1, x_range=range_) for chart, height in pairs)
    lines: list[Line] = []
    for chart, height in pairs:
        is_last = chart is shown[-1]
        drawing = "braille" if room.draws and (room.colours or len(chart.curves) == 1) else "marks"
        frame = Frame(
            chart.title,
            "step",
            columns,
            height + (_AXIS_ROWS if is_last else 0),
            "braille" if drawing == "braille" else "marks",
            flags=flags(view.happenings),
            head="line",
            margin=margin,
            x_range=range_,
            foot="axis" if is_last else "none",
        )
        lines += plot(chart.curves, frame)
    return lines


def _charts(view: View, rows: int) -> list[_Chart]:
    losses = [_curve(view, name, label, index) for index, (name, label) in enumerate(_LOSSES.items())]
    found = [_Chart(" loss", tuple(curve for curve in losses if curve))]
    names = {view.aim: view.aim} if view.aim and view.aim not in _LOSSES else {}
    names |= _HEALTH if rows >= _WITH_HEALTH else {}
    for index, (name, title) in enumerate(names.items(), start=len(_LOSSES)):
        curve = _curve(view, name, "", index)
        found.append(_Chart(f" {title}", (curve,) if curve else ()))
    return found


def _curve(view: View, name: str, label: str, index: int) -> Curve | None:
    trace = view.traces.get(name)
    if trace is None or not trace.length:
        return None
    points = trace.points()
    xs, ys = [float(x) for x, _ in points], [y for _, y in points]
    return Curve(label, xs, ys, figure(trace.last) if trace.last is not None else "nan", STYLES[index])


def _range(shown: Sequence[_Chart], *, zoom: int) -> Axis:
    """The steps that have rows, or the newest half, quarter, ... of them."""
    ends = [x for chart in shown for curve in chart.curves for x in (curve.xs[0], curve.xs[-1])]
    low, high = min(ends), max(ends)
    low = high - (high - low) / 2**zoom
    return Axis(low, high) if low < high else Axis(low - 1, high + 1)


def _heights(num: int, rows: int) -> list[int]:
    """The first chart is the largest; the rest share what is left."""
    if num == 1:
        return [rows]
    first = max(_LEAST_ROWS, round(rows * (0.56 if num == 2 else 0.4)))  # noqa: PLR2004 - losses and objective
    first = min(first, rows - _LEAST_ROWS * (num - 1))
    rest, over = divmod(rows - first, num - 1)
    return [first, *(rest + (1 if index < over else 0) for index in range(num - 1))]


def _nothing(view: View, rows: int) -> list[Line]:
    said = "no metrics yet: the first row comes with the first epoch" if view.is_live else "no metrics were recorded"
    return [*(line() for _ in range(rows // 2 - 1)), line(Span(f"    {said}", "dim"))]
