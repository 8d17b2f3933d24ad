"""The picture of a population: a row a member, its knob in colour, an arrow wherever it took another one's state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpo_cli.report.dimensions import Axis, axis_of, drawn_dimensions, value_of
from hpo_cli.report.expected import tier_of
from hpo_cli.report.figures import described, figure
from hpo_cli.report.html_axes import Field, picture, x_name, x_tick
from hpo_cli.report.svg import Markup, element

if TYPE_CHECKING:
    from hpo_cli.report.digest import Digest
    from hpo_cli.sweep.members import Phase
    from hpo_cli.sweep.space import Dimension

MOST_KNOBS, _MOST_MEMBERS = 4, 40
_ROW = 26
_ROOM_FOR_LABEL = 44  # pixels


@dataclass(frozen=True)
class _Stretch:
    """Of one member: from and to which epoch, with which value. source: whose state it began with."""

    begin: int
    end: int
    value: Any
    phase: Phase


def knobs(found: Digest) -> tuple[Dimension, ...]:
    """What changed when states were taken over, what usually matters most first."""
    changed = {key for phases in found.histories.values() for phase in phases for key in phase.changes}
    having = [one for one in drawn_dimensions(found.state) if changed.intersection(one.keys)]
    return tuple(sorted(having, key=lambda one: tier_of(one.keys) or len(having) + MOST_KNOBS))


def lineage_chart(found: Digest, knob: Dimension, *, place: int) -> Markup:
    """The members from the best down; one picture a knob. place: of this picture among all, for its names."""
    members = [row.trial for row in found.rows if row.trial in found.histories][:_MOST_MEMBERS]
    rows = {trial: row for row, trial in enumerate(members)}
    field = Field(860, 60.0 + _ROW * len(members), left=64, top=26)
    last = max([1, found.state.epochs, *(found.state.trial(trial).epoch for trial in members)])
    x_axis, y = Axis("linear", 0.0, float(last)), _rows(field, len(members))
    of = axis_of(knob)
    lines = [
        part
        for trial in members
        for part in _member(_stretches(found, trial, knob), trial, y[rows[trial]], field, x_axis, of)
    ]
    arrows = [
        _arrow(field.x(x_axis.place(phase.epoch) or 0.0), y[rows[phase.source]], y[rows[trial]], trial, place)
        for trial in members
        for phase in found.histories[trial]
        if phase.source in rows
    ]
    names = [element("text", f"trial {t}", class_="tick", x=field.left - 8, y=y[rows[t]] + 4, text_anchor="end")
             for t in members]  # fmt: skip
    ticks = [tick for tick in x_axis.ticks(most=10) if "." not in tick.label]
    return picture(
        field,
        _arrowhead(place),
        [x_tick(field, tick.place, tick.label) for tick in ticks],
        x_name(field, "epoch"),
        element("text", knob.name, class_="name", x=field.left, y=14),
        names, lines, arrows,
        class_="chart wide lineage",
        label=f"Who took whose state over, and {knob.name} of every member",
    )  # fmt: skip


def scale(knob: Dimension) -> Markup:
    """What the colours mean: the ends of a range, or each value of a list."""
    of = axis_of(knob)
    ticks = of.ticks(most=4) if of.kind == "named" else []
    ends = [(figure(of.low), 0.0), (figure(of.high), 1.0)] if not ticks else [(t.label, t.place) for t in ticks]
    spans = [element("span", element("i", style=f"border-color:{colour(at)}"), text) for text, at in ends]
    log = element("span", "in between on a log scale") if of.kind == "log" else ""
    return element("div", element("span", f"{knob.name}:"), spans, log, class_="legend knobs")


def colour(place: float | None) -> str:
    """From the colour of low values to that of high ones. place: 0 .. 1."""
    return "var(--axis)" if place is None else f"color-mix(in oklab, var(--high) {100 * place:.0f}%, var(--low))"


def _rows(field: Field, num: int) -> list[float]:
    return [field.top + _ROW * (row + 0.5) for row in range(num)]


def _stretches(found: Digest, trial: int, knob: Dimension) -> list[_Stretch]:
    phases = found.histories[trial]
    ends = [*(phase.left for phase in phases[1:]), found.state.trial(trial).epoch]
    return [
        _Stretch(phase.epoch, max(end, phase.epoch), value_of(knob, phase.knobs), phase)
        for phase, end in zip(phases, ends, strict=True)
    ]


def _member(
    stretches: Sequence[_Stretch], trial: int, y: float, field: Field, x_axis: Axis, of: Axis
) -> Iterator[Markup]:
    """What was given up for another state is thin, what leads to the present is thick."""
    line = element("line", class_="row", x1=field.x(0), x2=field.x(1), y1=y, y2=y)
    yield line
    for place, one in enumerate(stretches):
        is_last = place == len(stretches) - 1
        begin, end = (field.x(x_axis.place(at) or 0.0) for at in (one.begin, one.end))
        title = element("title", f"trial {trial}: {described(one.phase.knobs)}")
        style = f"stroke:{colour(of.place(one.value))}"
        yield element(
            "path", title, class_="stretch" if is_last else "stretch given", data_t=trial,
            d=f"M{begin:.1f},{y:.1f} L{max(end, begin + 2):.1f},{y:.1f}", style=style,
        )  # fmt: skip
    shown_to = -_ROOM_FOR_LABEL * 1.0
    for one in stretches:
        x = field.x(x_axis.place(one.begin) or 0.0)
        if x - shown_to >= _ROOM_FOR_LABEL:
            shown_to = x
            yield element("text", figure(one.value, digits=2), class_="tick halo", x=x + 3, y=y - 6)


def _arrow(x: float, source: float, target: float, trial: int, place: int) -> Markup:
    """From the row of whoever gave to that of whoever took, short of it, so that the head is seen."""
    stop = target - 5 if target > source else target + 5
    bow = min(14.0, abs(target - source) / 3)
    path = f"M{x:.1f},{source:.1f} Q{x - bow:.1f},{(source + stop) / 2:.1f} {x:.1f},{stop:.1f}"
    return element("path", class_="arrow", d=path, data_t=trial, marker_end=f"url(#head{place})")


def _arrowhead(place: int) -> Markup:
    tip = element("path", d="M0,0 L6,3 L0,6 z", class_="head")
    return element(
        "defs",
        element(
            "marker", tip, id=f"head{place}", viewBox="0 0 6 6", refX=5, refY=3, markerWidth=6, markerHeight=6,
            orient="auto",
        ),
    )  # fmt: skip
