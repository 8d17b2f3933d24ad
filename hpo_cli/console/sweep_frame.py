"""A sweep while it runs, in as many lines as there is room: how far it is, its best, what trains now. No output."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from hpo_cli.console import styles
from hpo_cli.console.figures import NOTHING, duration, figure
from hpo_cli.console.layout import columns_of, cut, spread
from hpo_cli.console.output import Line, Span, line
from hpo_cli.console.setting_words import setting_words
from hpo_cli.console.sparkline import common_span, sparkline
from hpo_cli.console.tables import Column, one_line, shorten, table
from hpo_cli.sweep.eta import Estimate, Moment, driven
from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.sizes import known_total
from hpo_cli.sweep.standings import counted_words, standing_word
from hpo_cli.sweep.tally import Tally

_WITH_CURVES = 76  # columns from which a curve leaves room for the setting
_MOST_RUNGS = 4
_LEAST_SETTING = 8
_SHORTEST_BAR = 10


@dataclass(frozen=True)
class Place:
    """Where the frame goes. draws: whether there are braille characters."""

    columns: int
    lines: int
    draws: bool = True


def sweep_frame(
    state: SweepState, estimate: Estimate, tally: Tally, place: Place, *, now: float, per_minute: float | None = None
) -> list[Line]:
    """At most `place.lines` lines, none over `place.columns`. now: seconds since 1970.

    per_minute: trials that ended a minute, lately.
    """
    head = [
        _title(state, place.columns, now=now),
        _progress(state, estimate, place.columns),
        _counts(state, tally, place.columns, per_minute=per_minute),
        _best(state, tally, place.columns),
    ]
    foot = _rungs(state, tally, place.columns)
    room = place.lines - len(head) - len(foot) - 2  # an empty line, and the heads of the columns
    running = _running(state, estimate.each, place, rows=room) if room > 0 else []
    return [cut(one, place.columns) for one in [*head, *running, *foot][: max(1, place.lines)]]


def _title(state: SweepState, columns: int, *, now: float) -> Line:
    how = how_words(state)
    left = line(Span(f"sweep {state.id}", styles.TITLE), f"  {one_line(state.name)}  ", Span(how, styles.QUIET))
    if state.is_held:
        left = line(*left, Span("  paused: no trial begins", f"bold {styles.WAITS}"))
    return spread(left, line(Span(duration(driven(state, now=now)), styles.QUIET)), columns)


def how_words(state: SweepState) -> str:
    """How a sweep searches: `tpe, asha`."""
    settings = state.settings
    return ", ".join([str(settings.search), *([settings.scheduler] if settings.scheduler != "none" else [])])


def _progress(state: SweepState, estimate: Estimate, columns: int) -> Line:
    whole = "paused" if state.is_held else time_left(estimate.whole)
    right = line(Span(whole, styles.TITLE))
    if estimate.share is None:
        said = "no end set: until it is stopped" if known_total(state) is None else "not timed yet"
        return spread(line(Span(said, styles.QUIET)), right, columns)
    share = min(1.0, estimate.share)
    percent = f" {100 * share:3.0f} % "
    width = max(_SHORTEST_BAR, min(60, columns - columns_of(right) - len(percent) - 2))
    full = round(share * width)
    bar = line(Span("━" * full, styles.STATUS["running"]), Span("╌" * (width - full), styles.QUIET), percent)
    return spread(bar, right, columns)


def _counts(state: SweepState, tally: Tally, columns: int, *, per_minute: float | None) -> Line:
    counts = tally.counts(state)
    size = known_total(state)
    total = f" of {size}" if size else ""
    parts = [Span(f"{counts['finished']}{total} finished", styles.STATUS["finished"] if counts["finished"] else "")]
    for said in counted_words({**counts, "finished": 0}, state):
        word = said.partition(" ")[2]
        parts += [Span("  "), Span(said, styles.STATUS.get(word, styles.WAITS))]
    speed = line(Span(f"{per_minute:.3g} trials/min", styles.QUIET)) if per_minute else line()
    return spread(line(*parts), speed, columns)


def _best(state: SweepState, tally: Tally, columns: int) -> Line:
    best = tally.best
    aim = state.aims[0]
    if best is None:
        return line(Span(f"best  {one_line(aim.name)} {NOTHING}", styles.QUIET))
    values = best.values or ()
    more = "".join(
        f"  {other.name} {figure(value)}" for other, value in list(zip(state.aims, values, strict=False))[1:]
    )
    head = line(
        Span("best  ", styles.QUIET),
        Span(f"{one_line(aim.name)} {figure(best.value)}", styles.WINNER),
        f"{more}  trial {best.number}  ",
    )
    room = columns - columns_of(head)
    return line(
        *head,
        setting_words(state.trial(best.number).setting, state.space.keys, room=room) if room >= _LEAST_SETTING else "",
    )


def _running(state: SweepState, each: Sequence[Moment], place: Place, *, rows: int) -> list[Line]:
    if not each:
        return []
    ordered = sorted(each, key=lambda one: (one.run.trial, one.run.run))
    shown = ordered if len(ordered) <= rows else ordered[: max(0, rows - 1)]
    hidden = len(ordered) - len(shown)
    more = [line(Span(f"and {hidden} more running", styles.QUIET))] if hidden else []
    return [line(), *(_table(state, shown, place) if shown else ()), *more]


def _table(state: SweepState, shown: Sequence[Moment], place: Place) -> list[Line]:
    aim = shorten(one_line(state.aims[0].name), 14)
    width = _curve_width(place)
    lefts = ["paused" if one.run.paused else "?" if one.left is None else duration(one.left) for one in shown]
    fixed = [
        [_label(state, one) for one in shown],
        [figure(_value(one)) for one in shown],
        [f"{_epoch(state, one)}/{one.goal}" for one in shown],
        lefts,
    ]
    heads = ["trial", aim, "epoch", "left"]
    taken = sum(max(map(len, [head, *cells])) + 2 for head, cells in zip(heads, fixed, strict=True))
    room = max(_LEAST_SETTING, place.columns - taken - (width + 2 if width else 0))
    settings = [setting_words(state.trial(one.run.trial).setting, state.space.keys, room=room) for one in shown]
    curves = _curves(state, shown, width) if width else []
    columns = [Column("trial", "right"), Column("setting"), Column(aim, "right"), Column("epoch", "right")]
    columns += [Column("left", "right"), *([Column("curve")] if width else [])]
    cells = [fixed[0], settings, *fixed[1:], *([curves] if width else [])]
    style = ["", "", styles.TITLE, "", styles.QUIET, styles.STATUS["running"]]
    rows = [[Span(text, look) for text, look in zip(row, style, strict=False)] for row in zip(*cells, strict=True)]
    return table(columns, rows, width=place.columns)


def _curve_width(place: Place) -> int:
    if not place.draws or place.columns < _WITH_CURVES:
        return 0
    return 12 if place.columns < 110 else 20 if place.columns < 150 else 28  # noqa: PLR2004 - a sixth of the line


def _curves(state: SweepState, shown: Sequence[Moment], width: int) -> list[str]:
    """All on one scale, so that they can be compared."""
    curves = [{epoch: values[0] for epoch, values in one.run.reports.items() if values} for one in shown]
    span = common_span([v for curve in curves for v in curve.values() if v is not None], mode=state.aims[0].mode)
    return [sparkline(curve, width=width, last=state.epochs, span=span) for curve in curves]


def _label(state: SweepState, one: Moment) -> str:
    return str(one.run.trial) if len(state.inner) == 1 else f"{one.run.trial}-{one.run.run + 1}"


def _epoch(state: SweepState, one: Moment) -> int:
    """How far it is. One that goes on is where it was, before its process says so."""
    trial = state.trial(one.run.trial)
    if trial.num_adopted:  # it may have gone back
        return one.run.epoch
    return max([one.run.epoch, trial.runs[one.run.run].epoch, *one.run.reports])


def _value(one: Moment) -> float | None:
    values = one.run.reports[max(one.run.reports)] if one.run.reports else ()
    return values[0] if values else None


def _rungs(state: SweepState, tally: Tally, columns: int) -> list[Line]:
    """Who waits at which rung, the highest first."""
    waiting: dict[int, list[int]] = defaultdict(list)
    for number, epoch in tally.parked.items():
        waiting[epoch].append(number)
    if not waiting:
        return []
    shown = sorted(waiting, reverse=True)[:_MOST_RUNGS]
    texts = [f"{len(waiting[epoch])} at epoch {epoch}{_leader(state, waiting[epoch])}" for epoch in shown]
    return [cut(line(Span(f"{standing_word('paused', state)}  ", styles.WAITS), ",  ".join(texts)), columns)]


def _leader(state: SweepState, numbers: Sequence[int]) -> str:
    values = [value for number in numbers if (value := state.trial(number).value) is not None]
    if not values:
        return ""
    return f" (best {figure(max(values) if state.aims[0].mode == 'max' else min(values))})"


def time_left(seconds: float | None) -> str:
    """`3 min 2 s left`, or a question mark before anything is known.

    >>> time_left(None), time_left(182.0)
    ('? left', '3 min 2 s left')
    """
    return "? left" if seconds is None else f"{duration(seconds)} left"
