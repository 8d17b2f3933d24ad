"""How a sweep ended: who won, what failed and why, where all of it lies, and what to type next."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from hpo_cli.console import styles
from hpo_cli.console.figures import duration
from hpo_cli.console.output import Line, Span, line, write
from hpo_cli.console.sweep_frame import how_words
from hpo_cli.console.sweep_page import best_lines, counts_words, failed_lines, next_lines, refused_lines
from hpo_cli.console.tables import one_line
from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.members import as_it_is
from hpo_cli.sweep.sizes import known_total
from hpo_cli.sweep.standings import plural
from hpo_cli.sweep.tally import Tally


def announce(state: SweepState) -> None:
    """Say what begins, or goes on, and where."""
    tally = Tally()
    tally.take(state)
    size, each = known_total(state), f"of {plural(state.epochs, 'epoch')}"
    sizes = f"{plural(size, 'trial')} {each}" if size else f"trials {each} until it is stopped"
    runs = f" in {len(state.inner)} runs each" if len(state.inner) > 1 else ""
    said = {
        "sweep": str(state.folder),
        "what": " ".join(map(str, state.began.get("words") or ())),
        "how": f"{how_words(state)}: {sizes}{runs}",
        "goes on": counts_words(state, tally) if state.trials else "",
    }
    _say([line(Span(f"{label:9}", styles.QUIET), one_line(text)) for label, text in said.items() if text])


def conclude(state: SweepState, *, interrupted: str = "", leaderboard: Sequence[Line] = ()) -> None:
    """Say how it ended. interrupted: what ended it before its time.   leaderboard: shown under the winner."""
    _say(list(conclusion(state, interrupted=interrupted, leaderboard=leaderboard)))
    sys.stdout.flush()


def conclusion(state: SweepState, *, interrupted: str = "", leaderboard: Sequence[Line] = ()) -> Iterator[Line]:
    """The lines of `conclude`."""
    state = as_it_is(state)
    tally = Tally()
    tally.take(state)
    ref = reference(state)
    if interrupted:
        yield line(_label("stopped"), Span(f"{interrupted}: running trials have saved their state", "yellow"))
    elif state.ended and (why := str(state.ended.get("why") or "")):
        yield line(_label("ended"), why)
    yield line(_label("trials"), f"{counts_words(state, tally)}  ({duration(state.seconds_before)})")
    yield from best_lines(state, tally)
    yield from _unfinished(state, tally, ref=ref)
    if leaderboard:
        yield line()
        yield from leaderboard
        yield line()
    yield from failed_lines(state)
    yield from refused_lines(state)
    yield line(_label("folder"), str(state.folder))
    is_over = not (state.running or state.ready or interrupted)
    yield from next_lines(state, tally, ref=ref, goes_on=not is_over)


def _unfinished(state: SweepState, tally: Tally, *, ref: str) -> Iterator[Line]:
    """That a scheduler let no trial train to its end, which nobody asked for in so many words."""
    if tally.best is None or tally.over["finished"] or state.running or state.ready:
        return
    reached = max(trial.epoch for trial in state.trials)
    said = f"no trial was trained to its last epoch, {state.epochs}: the furthest one reached epoch {reached}"
    yield line(_label("note"), Span(said, "yellow"))
    on = f"hpo-run resume=best:{ref} epochs={state.epochs} trains the best one to its end"
    more = f"hpo-run -m sweep.resume={ref} sweep.trials={2 * len(state.trials)} tries more"
    yield line(_label(""), f"{on}; {more}")


def reference(state: SweepState) -> str:
    """How the reading verbs find the sweep: by its id where they look by default, else by its path."""
    return state.id if Path("outputs") in state.folder.parents else str(state.folder)


def _label(label: str) -> Span:
    return Span(f"  {label:<11}", styles.QUIET)


def _say(lines: list[Line]) -> None:
    """Print; when the reader has gone (`| head`), go on without a word."""
    with contextlib.suppress(SystemExit):
        write(lines)
