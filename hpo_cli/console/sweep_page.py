"""A sweep on one page: what it searches, how far it is, its best, what failed, and what to type next."""

from __future__ import annotations

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
from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.tally import Tally

_LABEL = 11
_MOST_FAILED, _MOST_EDITS = 5, 3


def page(state: SweepState, record: SweepRecord, *, ref: str) -> Iterator[Line]:
    """All about a sweep. ref: how the reading verbs find it."""
    tally = Tally()
    tally.take(state)
    title = Span(f"sweep {one_line(record.name)} {record.id}", styles.TITLE)
    yield line(title, "  ", styles.status(record.status))
    yield from _field("folder", str(record.path))
    yield from _field("words", " ".join(record.words) or "none: the defaults")
    yield from _field("search", _how(state))
    for index, one in enumerate(state.space.dimensions):
        when = f"  with {' and '.join(map(str, one.when))}" if one.when else ""
        yield from _field("space" if index == 0 else "", f"{one.name}: {one}{when}")
    aims = ", ".join(f"{aim.name} ({aim.mode})" for aim in state.aims)
    yield from _field("objective", f"{aims}, {state.settings.reduce} of its epochs")
    yield from _field("trials", counts_words(state, tally))
    yield from _field("began", f"{age(record.started, now=time.time())} ago, driven for {duration(record.seconds)}")
    yield from _field("edited", *_edits(state))
    yield from best_lines(state, tally)
    yield from failed_lines(state)
    yield line()
    yield from next_lines(state, tally, ref=ref, goes_on=record.status not in ("finished", "running", "paused"))


def counts_words(state: SweepState, tally: Tally) -> str:
    """`12 finished, 2 running, 1 failed, of 50`."""
    counts = tally.counts(state)
    said = [f"{number} {what}" for what, number in counts.items() if number] or ["none yet"]
    total = f", of {state.total}" if state.total and state.total != tally.done else ""
    return ", ".join(said) + total


def best_lines(state: SweepState, tally: Tally) -> Iterator[Line]:
    """The leader: its values, its setting, its run."""
    best = tally.best
    if best is None:
        yield from _field("best", "no trial has a value yet")
        return
    values = zip(state.aims, best.values or (), strict=False)
    value = "  ".join(f"{aim.name} {figure(value)}" for aim, value in values)
    runs = best.runs[0].folder if len(best.runs) == 1 else f"{best.runs[0].folder} .. {best.runs[-1].folder}"
    many = "" if len(best.runs) == 1 else f", mean of {len(best.runs)} runs"
    yield line(_label("best"), Span(value, styles.WINNER), f"  trial {best.number}, epoch {best.epoch}{many}  ({runs})")
    yield from _field("", setting_words(best.setting, state.space.keys))


def failed_lines(state: SweepState, *, most: int = _MOST_FAILED) -> Iterator[Line]:
    """Which trials failed, and why, the first line of each."""
    failed = [trial for trial in state.trials if trial.status == "failed"]
    for index, trial in enumerate(failed[:most]):
        setting = setting_words(trial.setting, state.space.keys)
        text = f"trial {trial.number}  {setting}: {reason_of(trial) or 'no reason is known'}"
        yield line(_label("failed" if index == 0 else ""), Span(_cut(text), styles.BAD))
    if len(failed) > most:
        yield from _field("", f"and {len(failed) - most} more")


def next_lines(state: SweepState, tally: Tally, *, ref: str, goes_on: bool) -> Iterator[Line]:
    """What to type next. goes_on: whether there is something left to train that nobody trains."""
    commands = []
    if goes_on:
        commands.append((f"hpo-run -m sweep.resume={ref}", "goes on"))
    if tally.best is not None:
        longer = 5 * state.epochs
        commands += [
            (f"hpo-run best {ref}", "the leaderboard, what mattered"),
            (f"hpo-run report {ref}", "one file with all curves"),
            (f"hpo-run resume=best:{ref} epochs={longer}", "trains the winner on"),
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
    ends = {"trials": state.total, "minutes": settings.minutes, "epochs": settings.epochs, "target": settings.target}
    parts = [how_words(state), *(f"{name} {figure(value)}" for name, value in ends.items() if value is not None)]
    runs = [f"{len(state.inner)} runs a trial"] if len(state.inner) > 1 else []
    workers = [f"{settings.workers} workers"] if settings.workers else []
    return "; ".join([*parts, f"{state.epochs} epochs a trial", *runs, *workers])


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


def _label(label: str) -> Span:
    return Span(f"  {label:<{_LABEL}}", styles.QUIET)


def _cut(text: str) -> str:
    return shorten(text, max(20, output.width() - _LABEL - 2)) if output.is_styled() else text
