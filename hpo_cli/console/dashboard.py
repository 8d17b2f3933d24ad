"""A run on one screen: what is known of it laid out in exactly as many lines as there are. No input, no output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hpo_cli.console.dashboard_charts import charts
from hpo_cli.console.dashboard_side import side
from hpo_cli.console.figures import duration
from hpo_cli.console.happenings import Happening, legend
from hpo_cli.console.layout import beside, columns_of, cut, filled, spread, wrapped
from hpo_cli.console.output import Span, line
from hpo_cli.console.styles import STATUS, WAITS
from hpo_cli.console.tables import one_line, shorten

if TYPE_CHECKING:
    from hpo_cli.console.output import Line
    from hpo_cli.console.traces import Trace
    from hpo_cli.console.waiting import Wait

_WITH_SIDE = 64  # columns from which the curves leave room for figures beside them
_SIDE_SHARE, _LEAST_SIDE, _MOST_SIDE = 0.34, 27, 40
_MOST_SAID = 3
_LEAST_BODY = 6
_MOST_WAITS = 3
_BAR = 28
_TAIL = 32  # columns for speed and time left: a bar that changes its length cannot be read
_LIVE = ("running", "running?", "paused")


@dataclass(frozen=True)
class Knob:
    """A hot hyperparameter. label: of the last nudge that changed it, or empty."""

    key: str
    value: Any
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class View:
    """What is known of a run. traces: its metrics on the living line; aim and mode: of the objective.

    step, epoch: done; total, epochs: planned, None where nobody says; steps_per_second: None unless it trains.
    waits: what was asked for later.
    """

    id: str
    name: str
    status: str
    why: str = ""
    traces: Mapping[str, Trace] = field(default_factory=dict)
    aim: str = ""
    mode: str = "max"
    best: float | None = None
    best_step: int | None = None
    happenings: Sequence[Happening] = ()
    knobs: Sequence[Knob] = ()
    step: int = 0
    total: int | None = None
    epoch: int | None = None
    epochs: int | None = None
    steps_per_second: float | None = None
    waits: Sequence[Wait] = ()

    @property
    def is_live(self) -> bool:
        """Whether a process can still take a command."""
        return self.status in _LIVE


@dataclass(frozen=True)
class Room:
    """The screen. draws: whether it has braille and box characters; colours: whether colours tell curves apart."""

    columns: int
    lines: int
    draws: bool = True
    colours: bool = True


def frame(
    view: View, room: Room, *, said: Line = (), keys: Line = (), zoom: int = 0, page: Sequence[Line] = ()
) -> list[Line]:
    """The whole screen: exactly `room.lines` lines, none over `room.columns`.

    said: the line of news and questions, wrapped where it is long.   keys: the last line.
    zoom: the curves show the newest half, quarter, ... of the steps.   page: shown instead of curves and figures.
    """
    head = [_title(view, room.columns), _progress(view, room.columns)]
    words = wrapped(said, room.columns, most=_MOST_SAID) or [line()]
    foot = [*words, *([keys] if keys else [])]
    rest = room.lines - len(head) - len(foot)
    waiting = _waiting(view, room.columns, rows=max(0, min(_MOST_WAITS, rest - 1 - _LEAST_BODY)))
    rest -= len(waiting)
    told = min(len(view.happenings), max(3, room.lines // 5), max(0, rest - 1 - _LEAST_BODY))
    rows = max(0, rest - told - 1)
    body = list(page)[:rows] if page else _body(view, room, rows=rows, zoom=zoom)
    whole = [*head, line(), *filled(body, rows), *legend(view.happenings, rows=told, columns=room.columns), *waiting]
    kept = filled(whole, room.lines - len(foot))
    return [cut(one, room.columns) for one in [*kept, *foot][-room.lines :]]


def plain_frame(view: View, room: Room) -> list[Line]:
    """The screen for a reader that presses no keys."""
    lines = frame(view, room)
    while lines and not any(span.text.strip() for span in lines[-1]):
        lines.pop()
    return lines


def _body(view: View, room: Room, *, rows: int, zoom: int) -> list[Line]:
    if room.columns < _WITH_SIDE:
        return charts(view, room, columns=room.columns, rows=rows, zoom=zoom)
    width = min(_MOST_SIDE, max(_LEAST_SIDE, int(room.columns * _SIDE_SHARE)))
    left = room.columns - width - 2
    drawn = charts(view, room, columns=left, rows=rows, zoom=zoom)
    return beside(drawn, side(view, columns=width, rows=rows), at=left + 2)


def _waiting(view: View, columns: int, *, rows: int) -> list[Line]:
    """What waits, the first of it; how many more there are is told in the last line."""
    shown, hidden = view.waits[:rows], max(0, len(view.waits) - rows)
    lines = []
    for index, one in enumerate(shown):
        more = f"  ({hidden} more)" if hidden and index == len(shown) - 1 else ""
        said = shorten(str(one), max(8, columns - 9 - len(more)))
        lines.append(line(Span(" waits  " if index == 0 else " " * 8, f"bold {WAITS}"), said, Span(more, "dim")))
    return lines


def _title(view: View, columns: int) -> Line:
    status = Span(view.status, f"bold {STATUS.get(view.status, '')}".strip())
    left = line(" ", Span(f"{one_line(view.name)} {view.id}", "bold"), "  ", status)
    place = line(*_place("epoch", view.epoch, view.epochs), "  ", *_place("step", view.step, view.total), " ")
    why = shorten(one_line(view.why), max(1, columns - columns_of(left) - columns_of(place) - 4)) if view.why else ""
    return spread((*left, Span(f"  {why}", "dim")), place, columns)


def _place(what: str, done: int | None, of: int | None) -> list[Span]:
    if done is None:
        return []
    total = [Span(f"/{of}", "dim")] if of else []
    return [Span(f"{what} ", "dim"), Span(str(done)), *total]


def _progress(view: View, columns: int) -> Line:
    speed = f"{_rate(view.steps_per_second)} steps/s" if view.steps_per_second else ""
    tail = "   ".join(part for part in (speed, _left(view)) if part)
    if not view.total:
        return spread((), line(Span(f"{tail} ", "dim")), columns)
    share = min(1.0, view.step / view.total)
    percent = f" {100 * share:3.0f} % "
    width = max(_BAR, columns - (_TAIL if view.is_live else 0) - len(percent) - 3)
    full = round(share * width)
    colour = STATUS.get(view.status, "")
    bar = line(" ", Span("━" * full, colour), Span("╌" * (width - full), "dim"), percent)
    return spread(bar, line(Span(f"{tail} ", "dim")), columns)


def _left(view: View) -> str:
    if not (view.is_live and view.total and view.steps_per_second) or view.status == "paused":
        return ""
    return f"{duration(max(0, view.total - view.step) / view.steps_per_second)} left"


def _rate(value: float | None) -> str:
    return f"{value or 0.0:.3g}" if (value or 0.0) < 100 else f"{value:.0f}"  # noqa: PLR2004 - three digits
