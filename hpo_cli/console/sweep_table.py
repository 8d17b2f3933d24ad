"""A sweep while it runs: a table that moves in a terminal, one line a trial in a pipe."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

from hpo_cli.console import output
from hpo_cli.console.layout import merged
from hpo_cli.console.output import Line, Span, can_draw, console, encodable, is_terminal, line, write
from hpo_cli.console.sweep_frame import Place, sweep_frame
from hpo_cli.console.sweep_lines import adopted_line, best_line, failure_line, trial_line
from hpo_cli.console.sweep_page import edit_words
from hpo_cli.sweep.eta import estimate
from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.live import LiveRun
from hpo_cli.sweep.members import Members, with_knobs
from hpo_cli.sweep.tally import News, Tally

if TYPE_CHECKING:
    from rich.text import Text

_EVERY_S = 0.25
_SHARE = 0.05  # of the time may go into drawing
_LATELY = 50  # trials of which the speed is taken
_SPARE_LINES = 1  # the cursor's


class SweepView(Protocol):
    """Who is shown how a sweep goes."""

    def update(self, state: SweepState, live: Sequence[LiveRun]) -> None:
        """Where it stands, some times a second. What was there when the view was made is not said again."""

    def said(self, text: str) -> None:
        """Something that happened, as it happens."""

    def close(self) -> None:
        """Leave the screen to what comes next, until the next update."""


@contextmanager
def sweep_view(state: SweepState) -> Iterator[SweepView]:
    """The view for where standard output goes. state: the sweep as it is found."""
    view: SweepView = LiveView(state) if is_terminal() else PlainView(state)
    try:
        yield view
    finally:
        view.close()


class PlainView:
    """One line for each trial that ends, waits at a rung, or is lost."""

    def __init__(self, state: SweepState) -> None:
        self._news = _News(state)

    def update(self, state: SweepState, live: Sequence[LiveRun]) -> None:  # noqa: ARG002 - a SweepView
        """See SweepView."""
        trials, remarks = self._news.take(state)
        shown = with_knobs(state, self._news.members.found)
        _say([*(trial_line(shown, news.of(shown)) for news in trials), *remarks])

    def said(self, text: str) -> None:
        """See SweepView."""
        _say([_remark(text)])

    def close(self) -> None:
        """See SweepView."""


class LiveView:
    """A table at the foot of the terminal; failures, new leaders and what is said scroll by above it."""

    def __init__(self, state: SweepState, *, clock: Callable[[], float] = time.time) -> None:
        from rich.live import Live
        from rich.text import Text

        self._clock = clock
        self._news = _News(state)
        self._ends: deque[float] = deque(maxlen=_LATELY)
        self._out = sys.stdout  # while a Live runs, rich puts something else there
        self._console = console(self._out)
        self._live = Live(Text(""), console=self._console, auto_refresh=False, transient=True)
        self._next = 0.0

    def update(self, state: SweepState, live: Sequence[LiveRun]) -> None:
        """See SweepView."""
        begin = time.monotonic()
        if begin < self._next:
            return
        trials, remarks = self._news.take(state)
        now = self._clock()
        self._ends.extend(now for one in trials if one.what != "lost")
        shown = with_knobs(state, self._news.members.found)
        self._scroll([*(said for one in trials if (said := _spoken(shown, one.of(shown)))), *remarks])
        self._draw(state, live, self._news.tally, now=now)
        self._next = begin + max(_EVERY_S, (time.monotonic() - begin) / _SHARE)

    def said(self, text: str) -> None:
        """See SweepView."""
        self._scroll([_remark(text)])

    def close(self) -> None:
        """See SweepView."""
        self._live.stop()
        self._next = 0.0

    def _draw(self, state: SweepState, live: Sequence[LiveRun], tally: Tally, *, now: float) -> None:
        columns, lines = output.size(self._out)
        self._console.width = columns
        place = Place(columns, lines - _SPARE_LINES, can_draw(self._out))
        runs = [*live, *_elsewhere(state, live)]
        shown = sweep_frame(
            with_knobs(state, self._news.members.found),
            estimate(state, runs, tally, now=now),
            tally,
            place,
            now=now,
            per_minute=self._per_minute(now),
        )
        self._live.start()
        self._live.update(_rendered(shown, self._out), refresh=True)

    def _scroll(self, lines: Sequence[Line]) -> None:
        for one in lines:
            self._console.print(_rendered([one], self._out), soft_wrap=True)

    def _per_minute(self, now: float) -> float | None:
        if len(self._ends) < 2 or now <= self._ends[0]:  # noqa: PLR2004 - a speed needs two
            return None
        return 60 * (len(self._ends) - 1) / (now - self._ends[0])


class _News:
    """What has happened since it was last asked: to trials, and remarks about the sweep as a whole."""

    def __init__(self, state: SweepState) -> None:
        self.tally, self.members = Tally(), Members()
        self.tally.take(state)
        self.members.take(state)
        self._num_edits, self._was_held = len(state.edits), state.is_held

    def take(self, state: SweepState) -> tuple[list[News], list[Line]]:
        edits, self._num_edits = state.edits[self._num_edits :], len(state.edits)
        remarks = [_remark(edit_words(event)) for event in edits]
        if state.is_held != self._was_held:
            self._was_held = state.is_held
            held = "paused: no trial begins; those that train go on to their end"
            remarks.append(_remark(held if state.is_held else "goes on: trials begin again"))
        remarks += [adopted_line(state, number, phase) for number, phase in self.members.take(state)]
        return self.tally.take(state), remarks


def _elsewhere(state: SweepState, live: Sequence[LiveRun]) -> list[LiveRun]:
    """The runs that other processes train: their log tells that they do, not how far they are."""
    here = {(run.trial, run.run) for run in live}
    places = [place for place in state.running if place not in here]
    runs = [(place, state.trial(place[0]).runs[place[1]]) for place in places]
    return [LiveRun(*place, epoch=run.epoch, reports=run.reports) for place, run in runs]


def _spoken(state: SweepState, news: News) -> Line | None:
    if news.what == "failed":
        return failure_line(state, news.trial)
    if news.what == "lost":
        return trial_line(state, news)
    return best_line(state, news.trial) if news.is_best else None


def _remark(text: str) -> Line:
    return line(Span("· ", "yellow"), text)


def _rendered(lines: Sequence[Line], out: TextIO) -> Text:
    from rich.text import Text

    texts = [Text.assemble(*((encodable(span.text, out), span.style) for span in merged(one))) for one in lines]
    text = Text("\n").join(texts)
    text.no_wrap, text.overflow = True, "crop"
    return text


def _say(lines: list[Line]) -> None:
    """Print; when the reader has gone (`| head`), go on without a word."""
    if lines:
        with contextlib.suppress(SystemExit):
            write(lines)
