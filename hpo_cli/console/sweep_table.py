"""A sweep while it runs: a table that moves in a terminal, one line a trial in a pipe."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from hpo_cli.console import output
from hpo_cli.console.layout import merged
from hpo_cli.console.output import Line, Span, can_draw, console, encodable, is_terminal, line, write
from hpo_cli.console.sweep_frame import Place, sweep_frame
from hpo_cli.console.sweep_lines import best_line, failure_line, trial_line
from hpo_cli.sweep.eta import estimate
from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.live import LiveRun
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
        """Where it stands, some times a second. The first call tells what was there before: nothing of that is said."""

    def said(self, text: str) -> None:
        """Something that happened, as it happens."""

    def close(self) -> None:
        """Leave the screen to what comes next, until the next update."""


@contextmanager
def sweep_view() -> Iterator[SweepView]:
    """The view for where standard output goes."""
    view: SweepView = LiveView() if is_terminal() else PlainView()
    try:
        yield view
    finally:
        view.close()


class PlainView:
    """One line for each trial that ends, waits at a rung, or is lost."""

    def __init__(self) -> None:
        self._tally: Tally | None = None

    def update(self, state: SweepState, live: Sequence[LiveRun]) -> None:  # noqa: ARG002 - a SweepView
        """See SweepView."""
        if self._tally is None:
            self._tally = Tally()
            self._tally.take(state)
        _say([trial_line(state, news) for news in self._tally.take(state)])

    def said(self, text: str) -> None:
        """See SweepView."""
        _say([_remark(text)])

    def close(self) -> None:
        """See SweepView."""


class LiveView:
    """A table at the foot of the terminal; failures, new leaders and what is said scroll by above it."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        from rich.live import Live
        from rich.text import Text

        self._clock = clock
        self._tally: Tally | None = None
        self._ends: deque[float] = deque(maxlen=_LATELY)
        self._console = console()
        self._live = Live(Text(""), console=self._console, auto_refresh=False, transient=True)
        self._next = 0.0

    def update(self, state: SweepState, live: Sequence[LiveRun]) -> None:
        """See SweepView."""
        begin = time.monotonic()
        if begin < self._next:
            return
        if self._tally is None:
            self._tally = Tally()
            self._tally.take(state)
        news = self._tally.take(state)
        now = self._clock()
        self._ends.extend(now for one in news if one.what != "lost")
        self._scroll([said for one in news if (said := _spoken(state, one))])
        self._draw(state, live, self._tally, now=now)
        self._next = begin + max(_EVERY_S, (time.monotonic() - begin) / _SHARE)

    def said(self, text: str) -> None:
        """See SweepView."""
        self._scroll([_remark(text)])

    def close(self) -> None:
        """See SweepView."""
        self._live.stop()
        self._next = 0.0

    def _draw(self, state: SweepState, live: Sequence[LiveRun], tally: Tally, *, now: float) -> None:
        columns, lines = output.size()
        self._console.width = columns
        place = Place(columns, lines - _SPARE_LINES, can_draw())
        runs = [*live, *_elsewhere(state, live)]
        shown = sweep_frame(
            state, estimate(state, runs, tally, now=now), tally, place, now=now, per_minute=self._per_minute(now)
        )
        self._live.start()
        self._live.update(_rendered(shown), refresh=True)

    def _scroll(self, lines: Sequence[Line]) -> None:
        for one in lines:
            self._console.print(_rendered([one]), soft_wrap=True)

    def _per_minute(self, now: float) -> float | None:
        if len(self._ends) < 2 or now <= self._ends[0]:  # noqa: PLR2004 - a speed needs two
            return None
        return 60 * (len(self._ends) - 1) / (now - self._ends[0])


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


def _rendered(lines: Sequence[Line]) -> Text:
    from rich.text import Text

    texts = [Text.assemble(*((encodable(span.text, sys.stdout), span.style) for span in merged(one))) for one in lines]
    text = Text("\n").join(texts)
    text.no_wrap, text.overflow = True, "crop"
    return text


def _say(lines: list[Line]) -> None:
    """Print; when the reader has gone (`| head`), go on without a word."""
    if lines:
        with contextlib.suppress(SystemExit):
            write(lines)
