"""The pictures of the page: curves, slices, two aims against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpo_cli.report.curves import Curve, Curves
from hpo_cli.report.dimensions import Axis, axis, robust_axis
from hpo_cli.report.figures import figure
from hpo_cli.report.html_axes import Field, clip, picture, room_below, spread, x_labels, x_name, x_tick, y_axis_marks
from hpo_cli.report.slices import Slice
from hpo_cli.report.svg import Markup, element, points

_BINS = 5
_SHOWN = 0.75  # of all values of all curves, that fill the picture: the start of training may leave it
_WIDE_LOG = 30  # a loss whose largest value is so many times its smallest is drawn on a log axis


def bins(order: Sequence[int]) -> dict[int, str]:
    """The class that colours each trial: q0 for the worst fifth .. q4 for the best, `best` for the first of all.

    order: numbers of trials, the best first.
    """
    num = len(order)
    found = {trial: f"q{_BINS - 1 - min(_BINS - 1, place * _BINS // num)}" for place, trial in enumerate(order)}
    return found | dict.fromkeys(order[:1], "best")


def curves_chart(found: Curves, *, name: str, mode: str, epochs: int) -> tuple[Markup, int]:
    """The picture, and how many curves leave it at the bad end."""
    field = Field(860, 380)
    y_axis, beyond = _value_axis(found.curves, mode)
    xs = [float(epoch) for curve in found.curves for epoch in curve.epochs]
    x_axis = Axis("linear", min([1.0, *xs]), max([float(epochs), *xs, 2.0]))
    lines = [_curve(curve, field, x_axis, y_axis) for curve in found.curves]
    rungs = [
        element("line", class_="rung", x1=x, x2=x, y1=field.y(0), y2=field.y(1))
        for rung in found.rungs
        if (x := field.x(x_axis.place(rung) or 0.0)) is not None
    ]
    marks = element("g", *rungs, lines, clip_path="url(#inside)")
    whole = [tick for tick in x_axis.ticks(most=10) if "." not in tick.label]
    return (
        picture(
            field,
            clip(field, "inside"),
            y_axis_marks(field, y_axis, name),
            [x_tick(field, tick.place, tick.label) for tick in whole],
            x_name(field, "epoch"),
            [_rung_name(field, x_axis.place(rung) or 0.0, rung) for rung in found.rungs],
            marks,
            class_="chart wide",
            label=f"Learning curves: {name} by epoch, a line a trial",
        ),
        beyond,
    )


def slice_chart(found: Slice, y_axis: Axis, *, colours: Mapping[int, str], parts: Mapping[int, str]) -> Markup:
    """Value against one dimension, a dot a trial."""
    field = Field(300, 220, left=50, bottom=room_below(found.axis))
    dots = [
        element(
            "circle", element("title", f"trial {dot.trial}: {dot.label}, {figure(dot.y)}"),
            class_=f"dot {colours.get(dot.trial, 'q0')} {parts.get(dot.trial, '')}".strip(), data_t=dot.trial,
            cx=field.x(dot.x + spread(found.axis, dot.trial)), cy=field.y(y_axis.place(dot.y) or 0.0),
            r=5 if colours.get(dot.trial) == "best" else 3,
        )
        for dot in reversed(found.dots)
    ]  # fmt: skip
    kept = [
        element(
            "rect", class_="kept", x=field.x(one.low), y=field.y(1), width=field.x(one.high) - field.x(one.low),
            height=field.y(0) - field.y(1),
        )
        for one in found.present
    ]  # fmt: skip
    return picture(
        field,
        kept,
        y_axis_marks(field, y_axis, "", most=4),
        x_labels(field, found.axis),
        dots,
        class_="chart small",
        label=f"{found.name}: value against setting",
    )


def front_chart(dots: Sequence[tuple[int, float, float]], front: set[int], *, aims: Sequence[Any]) -> Markup:
    """The first aim against the second. dots: trial, second and first aim.   front: those that no other one beats."""
    field = Field(860, 340)
    y_axis, _ = robust_axis([y for _, _, y in dots], mode=aims[0].mode)
    x_axis, _ = robust_axis([x for _, x, _ in dots], mode=aims[1].mode)
    if min(x for _, x, _ in dots) > 0 and x_axis.low > 0 and x_axis.high / x_axis.low > _WIDE_LOG / 3:
        x_axis = Axis("log", x_axis.low, x_axis.high)
    places = {t: (field.x(x_axis.place(x) or 0.0), field.y(y_axis.place(y) or 0.0)) for t, x, y in dots}
    steps = sorted(places[trial] for trial in front if trial in places)
    marks = [
        element(
            "circle", element("title", f"trial {t}: {aims[0].name} {figure(y)}, {aims[1].name} {figure(x)}"),
            class_="dot best" if t in front else "dot q2", data_t=t, cx=places[t][0], cy=places[t][1],
            r=5 if t in front else 3,
        )
        for t, x, y in sorted(dots, key=lambda dot: dot[0] in front)
    ]  # fmt: skip
    return picture(
        field,
        y_axis_marks(field, y_axis, aims[0].name),
        [x_tick(field, tick.place, tick.label) for tick in x_axis.ticks(most=6)],
        x_name(field, aims[1].name),
        element("polyline", class_="front", points=points(steps)),
        marks,
        class_="chart wide",
        label=f"{aims[0].name} against {aims[1].name}; the front is in colour",
    )


def _value_axis(found: Sequence[Curve], mode: str) -> tuple[Axis, int]:
    """The axis of the values that matter, and how many curves end beyond it."""
    values = [value for curve in found for value in curve.values]
    if values and mode == "min" and min(values) > 0 and max(values) / min(values) > _WIDE_LOG:
        return axis(values, kind="log"), 0
    shown, _ = robust_axis(values, mode=mode, kept=_SHOWN)
    beyond = sum(not shown.low <= curve.values[-1] <= shown.high for curve in found)
    return shown, beyond


def _curve(curve: Curve, field: Field, x_axis: Axis, y_axis: Axis) -> Markup:
    places = [
        (field.x(x_axis.place(epoch) or 0.0), field.y(_unbounded(y_axis, value)))
        for epoch, value in zip(curve.epochs, curve.values, strict=True)
    ]
    title = element(
        "title", f"trial {curve.trial}, {curve.part}: {figure(curve.values[-1])} at epoch {curve.epochs[-1]}"
    )
    line = element("polyline", title, class_=f"curve {curve.part}", data_t=curve.trial, points=points(places))
    ends = curve.part in ("stopped", "paused", "waiting", "failed") or len(places) == 1
    if not ends:
        return line
    x, y = places[-1]
    end = element("circle", class_=f"end {curve.part}", data_t=curve.trial, cx=x, cy=y, r=2)
    return Markup(line + end)


def _unbounded(of: Axis, value: float) -> float:
    """A place that may lie outside, so that a line leaves the picture where it should."""
    if of.kind == "log":
        return of.place(value) or 0.0
    return max(-3.0, min(4.0, (value - of.low) / (of.high - of.low)))


def _rung_name(field: Field, place: float, epoch: int) -> Markup:
    return element("text", f"rung {epoch}", class_="tick quiet", x=field.x(place) + 4, y=field.y(0) - 5)
