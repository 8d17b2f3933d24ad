"""`--dry-run` of a sweep: the trials that it would train, or some like them, and what they would cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hpo_cli.console import output, styles
from hpo_cli.console.figures import duration
from hpo_cli.console.output import Line, Span, line
from hpo_cli.console.setting_words import setting_words
from hpo_cli.console.tables import shorten
from hpo_cli.sweep.standings import plural


@dataclass(frozen=True)
class Cost:
    """What a sweep takes. seconds_per_trial: all epochs and runs of one trial; trials: None for no end set.

    epochs: that the scheduler lets all trials train together, where it lets few train to their end; None: all of them.
    runs: of each trial, which train beside each other.   sure: at most, where the scheduler may stop trials early.
    note: how it was measured.
    """

    seconds_per_trial: float
    workers: int
    trials: int | None
    epochs_per_trial: int
    epochs: float | None = None
    runs: int = 1
    sure: Literal["about", "at most"] = "about"
    note: str = "from one timed step"

    @property
    def share(self) -> float:
        """The part of all epochs that is trained."""
        if self.epochs is None or not self.trials:
            return 1.0
        return min(1.0, self.epochs / (self.trials * self.epochs_per_trial))

    @property
    def total_seconds(self) -> float | None:
        """Until all is done: whole rounds of runs on all workers, or their share of the epochs."""
        if self.trials is None:
            return None
        if self.share < 1:
            each = self.seconds_per_trial / self.runs
            return max(each, self.trials * self.seconds_per_trial * self.share / self.workers)
        return -(-self.trials * self.runs // self.workers) * self.seconds_per_trial / self.runs


def plan_lines(
    settings: Sequence[Mapping[str, Any]],
    *,
    keys: Sequence[str],
    kind: Literal["exact", "samples"],
    total: int | None,
    cost: Cost | None = None,
    refused: Sequence[tuple[Mapping[str, Any], str]] = (),
) -> list[Line]:
    """The trials of a sweep before it is begun.

    kind: whether `settings` are all of them in their order, or some that the search might propose at its start.
    keys: all that is varied.   total: how many there will be.   refused: settings that no run can have, and why.
    """
    return [
        _head(len(settings), kind=kind, total=total),
        *_trials(settings, keys),
        *_refused(refused, keys),
        *(_cost(cost) if cost is not None else ()),
    ]


def _head(count: int, *, kind: str, total: int | None) -> Line:
    if kind == "exact":
        many = plural(count, "trial")
        shown = many if total in (None, count) else f"the first {count} of {total} trials"
        return line(Span(shown, styles.TITLE), ", in this order")
    out_of = plural(total, "trial") if total is not None else "trials until it is stopped"
    return line(
        Span(out_of, styles.TITLE),
        f"; {plural(count, 'sample')} of what it may try first: later ones learn from earlier ones",
    )


def _trials(settings: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[Line]:
    width = len(str(len(settings)))
    room = max(20, output.width() - width - 4) if output.is_styled() else None
    return [
        line(Span(f"  {number:{width}}  ", styles.QUIET), setting_words(setting, keys, room=room))
        for number, setting in enumerate(settings, start=1)
    ]


def _refused(refused: Sequence[tuple[Mapping[str, Any], str]], keys: Sequence[str]) -> list[Line]:
    width = output.width() if output.is_styled() else None
    texts = [f"  no trial: {setting_words(setting, keys)}: {' '.join(why.split())}" for setting, why in refused]
    return [line(Span(shorten(text, width) if width else text, "yellow")) for text in texts]


def _cost(cost: Cost) -> list[Line]:
    each = f"{duration(cost.seconds_per_trial)} a trial of {plural(cost.epochs_per_trial, 'epoch')}"
    each += f" in {cost.runs} runs" if cost.runs > 1 else ""
    workers = plural(cost.workers, "worker")
    share = f", {100 * cost.share:.0f} % of all epochs" if cost.share < 1 else ""
    total = cost.total_seconds
    whole = "no end is set" if total is None else f"{cost.sure} {duration(total)} with {workers}{share}"
    return [line(), line(Span("cost  ", styles.QUIET), f"{each}; {whole}", Span(f"  ({cost.note})", styles.QUIET))]
