"""The picture of parallel coordinates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from hpo_cli.report.dimensions import Axis, Stretch, robust_axis
from hpo_cli.report.figures import figure
from hpo_cli.report.html_axes import Field, cut, picture, spaced, spread
from hpo_cli.report.parallel import Line, Parallel
from hpo_cli.report.svg import Markup, element

_LONGEST_NAME = 18
_SPREAD = 0.16  # of the room of a name, over which its lines lie


def parallel_chart(found: Parallel, *, colours: Mapping[int, str], name: str, mode: str) -> tuple[Markup, int]:
    """A line a trial through all dimensions to its value, and how many values lie beyond the last axis."""
    names = (*found.names, name)
    field = Field(max(860.0, 120.0 * len(names)), 400, left=64, right=64, top=44, bottom=28)
    value_axis, beyond = robust_axis([line.value for line in found.lines], mode=mode)
    axes = (*found.axes, value_axis)
    xs = [field.x(k / max(1, len(axes) - 1)) for k in range(len(axes))]
    ys = _lifted(field)
    lines = [_thread(line, xs, ys, axes, colours.get(line.trial, "q0")) for line in found.lines]
    chart = picture(
        field,
        element("g", lines),
        [_upright(x, one, title, ys) for x, one, title in zip(xs, axes, names, strict=True)],
        [_kept(x, one, ys) for x, parts in zip(xs, found.present, strict=False) for one in parts],
        class_="chart wide",
        label="Parallel coordinates: a line a trial through its setting to its value",
        floor="none",
    )
    return chart, beyond


def _thread(line: Line, xs: Sequence[float], ys: Callable[[float], float], axes: Sequence[Axis], colour: str) -> Markup:
    """A line is broken where a dimension is not active, and a lone point in between is a dot."""
    places = [*line.places, axes[-1].place(line.value)]
    parts: list[list[tuple[float, float]]] = [[]]
    for x, place, of in zip(xs, places, axes, strict=True):
        if place is None:
            parts.append([])
        else:
            parts[-1].append((x, ys(place + spread(of, line.trial, share=_SPREAD))))
    path = " ".join("M" + " L".join(f"{x:.1f},{y:.1f}" for x, y in part) for part in parts if len(part) > 1)
    bridges = [(one[-1], other[0]) for one, other in pairwise(part for part in parts if part)]
    dashed = " ".join(f"M{a:.1f},{b:.1f} L{c:.1f},{d:.1f}" for (a, b), (c, d) in bridges)
    title = element("title", f"trial {line.trial}: {figure(line.value)}")
    whole = [element("path", title, class_=f"thread {colour}", data_t=line.trial, d=path or "M0,0")]
    whole += [element("path", class_=f"thread bridge {colour}", data_t=line.trial, d=dashed)] if dashed else []
    return Markup("".join(whole))


def _kept(x: float, part: Stretch, ys: Callable[[float], float]) -> Markup:
    return element("line", class_="kept", x1=x, x2=x, y1=ys(part.low), y2=ys(part.high))


def _lifted(field: Field) -> Callable[[float], float]:
    return lambda place: field.y(0.02 + 0.96 * place)


def _upright(x: float, of: Axis, title: str, ys: Callable[[float], float]) -> Markup:
    ticks = spaced(of.ticks(most=5), least=14, of=lambda tick: ys(tick.place))
    labels = [element("text", cut(tick.label, 10), class_="tick halo", x=x + 5, y=ys(tick.place) + 3) for tick in ticks]
    dashes = [element("line", class_="axis", x1=x - 3, x2=x + 3, y1=ys(t.place), y2=ys(t.place)) for t in ticks]
    name = element(
        "text", element("title", title), cut(title, _LONGEST_NAME), class_="name", x=x, y=22, text_anchor="middle"
    )
    return element("g", element("line", class_="axis", x1=x, x2=x, y1=ys(0), y2=ys(1)), dashes, labels, name)
