"""A sweep on one page: what it searches, how far it is, its best, what failed, and what to type next."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Iterator

from hpo_cli.console import output, styles
from hpo_cli.console.figures import age, duration, figure
from hpo_cli.console.output import Line, Span, line
from hpo_cli.console.setting_words import setting_words
from hpo_cli.console.sweep_frame import how_words
from hpo_cli.console.sweep_lines import reason_of
from hpo_cli.console.tables import one_line, shorten
from hpo_cli.record.sweep_record import SweepRecord
from hpo_cli.report.commands import raise_as_panda
from hpo_cli.report.dimensions import begun_space
from hpo_cli.report.refusals import Refusal, refusals
from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.members import as_it_is
from hpo_cli.sweep.sizes import known_total
from hpo_cli.sweep.standings import counted_words, plural
from hpo_cli.sweep.tally import Tally

_LABEL = 11
_MOST_FAILED, _MOST_EDITS, _MOST_REFUSED = 5, 3, 3


def page(state: SweepState, record: SweepRecord, *, ref: str) -> Iterator[Line]:
    """All about a sweep. ref: how the reading verbs find it."""
    state = as_it_is(state)
    tally = Tally()
    tally.take(state)
    begun = {one.name: one for one in begun_space(state).dimensions}
    title = Span(f"sweep {one_line(record.name)} {record.id}", styles.TITLE)
    yield line(title, "  ", styles.status(record.status))
    yield from _field("folder", str(record.path))
    yield from _field("words", " ".join(record.words) or "none: the defaults")
    yield from _field("search", _how(state))
    for index, one in enumerate(state.space.dimensions):
        when = f"  with {' and '.join(map(str, one.when))}" if one.when else ""
        was = begun.get(one.name)
        before = "" if was is None or str(was) == str(one) else f"  (begun with {was})"
        yield from _field("space" if index == 0 else "", f"{one.name}: {one}{before}{when}")
    aims = ", ".join(f"{aim.name} ({aim.mode})" for aim in state.aims)
    yield from _field("objective", f"{aims}, {state.settings.reduce} of its epochs")
    yield from _field("trials", counts_words(state, tally, standing=record.status))
    yield from _field("began", f"{age(record.started, now=time.time())} ago, driven for {duration(record.seconds)}")
    yield from _field("edited", *(part for text in _edits(state) for part in _wrapped(text)))
    yield from best_lines(state, tally)
    yield from failed_lines(state)
    yield from refused_lines(state)
    yield line()
    yield from next_lines(state, tally, ref=ref, goes_on=record.status not in ("finished", "running", "paused"))


def counts_words(state: SweepState, tally: Tally, *, standing: str = "running") -> str:
    """`12 finished, 2 running, 1 failed, of 50`. standing: the sweep's own: nobody trains in one that died."""
    said = counted_words(tally.counts(state), state, standing=standing) or ["none yet"]
    size = known_total(state)
    return ", ".join(said) + (f", of {size}" if size and size != tally.done else "")


def best_lines(state: SweepState, tally: Tally) -> Iterator[Line]:
    """The leader: its values, its setting, its run."""
    best = tally.best or state.best()  # one that was interrupted has a value, too
    if best is None:
        yield from _field("best", "no trial has a value yet")
        return
    values = zip(state.aims, best.values or (), strict=False)
    value = "  ".join(f"{aim.name} {figure(value)}" for aim, value in values)
    runs = best.runs[0].folder if len(best.runs) == 1 else f"{best.runs[0].folder} .. {best.runs[-1].folder}"
    many = "" if len(best.runs) == 1 else f", mean of {len(best.runs)} runs"
    yield line(_label("best"), Span(value, styles.WINNER), f"  trial {best.number}, epoch {best.epoch}{many}  ({runs})")
    now = state.trial(best.number)
    changed = "  (now: it took states over)" if now.num_adopted else ""
    yield from _field("", setting_words(now.setting, state.space.keys) + changed)


def failed_lines(state: SweepState, *, most: int = _MOST_FAILED) -> Iterator[Line]:
    """Which trials failed, and why, the first line of each."""
    failed = [trial for trial in state.trials if trial.status == "failed"]
    for index, trial in enumerate(failed[:most]):
        setting = setting_words(trial.setting, state.space.keys)
        text = f"trial {trial.number}  {setting}: {reason_of(trial) or 'no reason is known'}"
        yield line(_label("failed" if index == 0 else ""), Span(_cut(text), styles.BAD))
    if len(failed) > most:
        yield from _field("", f"and {len(failed) - most} more")


def refused_lines(state: SweepState, *, most: int = _MOST_REFUSED) -> Iterator[Line]:
    """Why settings were refused, and how many for each reason."""
    found = refusals(state)
    parts = [part for one in found[:most] for part in _wrapped(_refusal(state, one))]
    for index, part in enumerate(parts):
        yield line(_label("" if index else "refused"), Span(part, "yellow"))
    if more := found[most:]:
        yield from _field("", f"and {plural(sum(one.num for one in more), 'setting')} for other reasons")


def _refusal(state: SweepState, one: Refusal) -> str:
    such = f"{'such as ' if one.num > 1 else ''}{setting_words(one.setting, state.space.keys)}"
    return f"{plural(one.num, 'setting')}: {one_line(one.reason)} ({such})"


def next_lines(state: SweepState, tally: Tally, *, ref: str, goes_on: bool) -> Iterator[Line]:
    """What to type next. goes_on: whether there is something left to train that nobody trains."""
    commands = []
    if goes_on:
        commands.append((f"hpo-run -m sweep.resume={ref}", "goes on"))
    if tally.best is not None:
        best = state.trial(tally.best.number)
        commands += [
            (f"hpo-run best {ref}", "the leaderboard, what mattered"),
            (f"hpo-run report {ref}", "one file with all curves"),
            (raise_as_panda(state, best, ref=ref), "trains the winner on"),
        ]
    else:
        commands.append((f"hpo-run ls {ref}", "its trials"))
    width = max(len(command) for command, _ in commands)
    room = output.width() - _LABEL - width - 4 if output.is_styled() else None
    for index, (command, what) in enumerate(commands):
        said = what if room is None or len(what) <= room else ""  # a command is never cut
        yield line(_label("next" if index == 0 else ""), f"{command:{width}}  ", Span(said, styles.QUIET))


def _how(state: SweepState) -> str:
    settings = state.settings
    ends = {
        "trials": known_total(state),
        "minutes": settings.minutes,
        "epochs": settings.epochs,
        "target": settings.target,
    }
    parts = [how_words(state), *(f"{name} {figure(value)}" for name, value in ends.items() if value is not None)]
    runs = [f"{len(state.inner)} runs a trial"] if len(state.inner) > 1 else []
    workers = [plural(settings.workers, "worker")] if settings.workers else []
    return "; ".join([*parts, f"{plural(state.epochs, 'epoch')} a trial", *runs, *workers])


def _edits(state: SweepState) -> list[str]:
    shown = state.edits[-_MOST_EDITS:]
    texts = [edit_words(event) for event in shown]
    earlier = len(state.edits) - len(shown)
    return [*([f"{earlier} earlier ones"] if earlier else []), *texts]


def edit_words(event: dict[str, object]) -> str:
    """`sweep.workers: was 2, now 4 (ada@host: the machine is free)`."""
    changes = event.get("changes")
    said = "; ".join(map(str, changes)) if isinstance(changes, list) else ""
    by = ": ".join(str(part) for part in (event.get("who"), event.get("why")) if part)
    return one_line(f"{said} ({by})" if by else said)


def _field(label: str, *texts: str) -> Iterator[Line]:
    for index, text in enumerate(texts):
        yield line(_label("" if index else label), _cut(one_line(text)))


def _wrapped(text: str) -> list[str]:
    """The text in as many lines as it needs: a reason that somebody gave is never cut."""
    if not output.is_styled():
        return [text]
    return textwrap.wrap(text, max(20, output.width() - _LABEL - 2)) or [text]


def _label(label: str) -> Span:
    return Span(f"  {label:<{_LABEL}}", styles.QUIET)


def _cut(text: str) -> str:
    return shorten(text, max(20, output.width() - _LABEL - 2)) if output.is_styled() else text
