"""The figures beside the curves: objective, the health of training, and the knobs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from hpo_cli.console.figures import figure
from hpo_cli.console.happenings import STYLES, value_of
from hpo_cli.console.output import Span, line
from hpo_cli.console.styles import BAD, GOOD
from hpo_cli.console.tables import one_line, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpo_cli.console.dashboard import Knob, View
    from hpo_cli.console.output import Line

HEALTHY_RATIO = (-4.0, -1.0)
"""log10 of update over weight in which training is usually well: between the two."""
_LABEL = 10
_KNOB = 13
_NUDGED = f"bold {STYLES['n']}"


def side(view: View, *, columns: int, rows: int) -> list[Line]:
    """At most `rows` lines; the knobs that were nudged come first, what finds no room is counted."""
    head = [*_objective(view, columns), *_health(view)]
    room = rows - len(head) - 1
    return [*head, *_knobs(view, columns=columns, rows=room)]


def _objective(view: View, columns: int) -> Iterator[Line]:
    if not view.aim:
        return
    trace = view.traces.get(view.aim)
    yield line(Span(shorten(one_line(view.aim), columns - 5), "bold"), Span(f"  {view.mode}", "dim"))
    yield _field("now", Span(figure(trace.last if trace else None)))
    best = figure(view.best)
    at = "" if view.best_step is None else f"at {view.best_step}"
    fits = _LABEL + 4 + len(best) + len(at) <= columns
    yield _field("best", Span(best, f"bold {GOOD}" if view.best is not None else ""), Span(f"  {at}" * fits, "dim"))
    if not fits:
        yield _field("", Span(at, "dim"))
    yield line()


def _health(view: View) -> Iterator[Line]:
    names = [name for name in ("lr", "train/grad_norm", "train/update_ratio") if name in view.traces]
    if not names:
        return
    yield line(Span("training", "bold"))
    if "lr" in names:
        yield _field("lr now", Span(figure(view.traces["lr"].last)))
    if "train/grad_norm" in names:
        yield _field("grad norm", *_norm(view.traces["train/grad_norm"].last))
    if "train/update_ratio" in names:
        yield _field("update/w", *_ratio(view.traces["train/update_ratio"].last))
    yield line()


def _norm(value: float | None) -> list[Span]:
    return [Span("not finite", f"bold {BAD}")] if value is None else [Span(figure(value))]


def _ratio(value: float | None) -> list[Span]:
    """Update over weight as a power of ten, and whether that is usual."""
    if value is None:
        return [Span("not finite", f"bold {BAD}")]
    if value <= 0:
        return [Span("0", f"bold {BAD}"), Span("  no update", BAD)]
    power = math.log10(value)
    low, high = HEALTHY_RATIO
    verdict = "low" if power < low else "high" if power > high else ""
    shown = f"10^{power:.1f}"
    return [Span(shown, f"bold {BAD}"), Span(f"  {verdict}", BAD)] if verdict else [Span(shown), Span("  fine", GOOD)]


def _knobs(view: View, *, columns: int, rows: int) -> Iterator[Line]:
    if not view.knobs or rows < 1:
        return
    yield line(Span("knobs", "bold"))
    ordered = [*(knob for knob in view.knobs if knob.label), *(knob for knob in view.knobs if not knob.label)]
    fits = len(ordered) <= rows
    shown = ordered if fits else ordered[: max(0, rows - 1)]
    names = [_short(knob.key) for knob in view.knobs]
    width = min(max(_KNOB, columns - 14), max(len(name) for name in names))
    for knob in shown:
        name = knob.key if names.count(_short(knob.key)) > 1 else _short(knob.key)
        yield _knob(knob, shorten(name, width), width=width, columns=columns)
    if not fits:
        yield line(Span(f"  and {len(ordered) - len(shown)} more", "dim"))


def _knob(knob: Knob, name: str, *, width: int, columns: int) -> Line:
    room = max(4, columns - width - len(knob.label) - 6)
    whole = one_line(value_of(knob.value))
    value = shorten(whole if len(whole) <= room or not isinstance(knob.value, dict) else whole.split(" ")[0], room)
    style = _NUDGED if knob.label else ""
    return line(Span(f"  {name:<{width}}", "dim"), Span(f"  {value}", style), Span(f"  {knob.label}", "dim"))


def _short(key: str) -> str:
    return key.rpartition(".")[2]


def _field(label: str, *spans: Span) -> Line:
    return line(Span(f"  {label:<{_LABEL}}", "dim"), *spans)
