"""The learning curves of all trials in one frame: which are drawn, and how."""

from __future__ import annotations

import copy
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from hpo_cli.record.contents import DamagedError
from hpo_cli.record.folder import METRICS
from hpo_cli.record.metrics import number, read_metrics
from hpo_cli.sweep.facts import COUNTED, read_facts

if TYPE_CHECKING:
    from hpo_cli.sweep.fold import SweepState
    from hpo_cli.sweep.state import Run, Trial

Part = Literal["best", "finished", "running", "waiting", "paused", "stopped", "failed"]
ORDER: tuple[Part, ...] = ("failed", "stopped", "paused", "waiting", "finished", "running", "best")
"""Back to front."""
_MOST_TOLD = 3


@dataclass(frozen=True)
class Curve:
    """One trial, the mean over its runs. values: as long as epochs.   part: how it is drawn."""

    trial: int
    part: Part
    epochs: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Curves:
    """Back to front, the best last.

    total: trials that have a curve.   rungs: epochs at which a scheduler lets trials wait or stop.
    went_on: trials whose runs were trained on outside of the sweep, and up to which epoch, which is not drawn.
    """

    curves: tuple[Curve, ...]
    total: int
    rungs: tuple[int, ...]
    went_on: Mapping[int, int] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """What is not drawn, in words; empty for nothing."""
        told = [f"trial {trial} to epoch {epoch}" for trial, epoch in list(self.went_on.items())[:_MOST_TOLD]]
        more = [f"{len(self.went_on) - len(told)} more"] if len(self.went_on) > len(told) else []
        listed = ", ".join([*told, *more])
        return f"Trained on outside of the sweep, which counts nowhere here: {listed}." if listed else ""


def curves(state: SweepState, order: Sequence[int], *, most: int = 300) -> Curves:
    """The curves of at most `most` trials: the best fifth of those, and the others thinned out evenly.

    order: numbers of trials, the best first.
    """
    having = [number for number in order if any(run.reports for run in state.trial(number).runs)]
    valued = (n for n in having if state.trial(n).value is not None and state.trial(n).status != "failed")
    best = next(valued, None)
    drawn = [_curve(state, state.trial(number), best=best) for number in thinned(having, most=most)]
    places = {number: place for place, number in enumerate(having)}
    drawn.sort(key=lambda curve: (ORDER.index(curve.part), -places[curve.trial]))
    shown = tuple(curve for curve in drawn if curve.epochs)
    went_on = {curve.trial: epoch for curve in shown if (epoch := _beyond(state, state.trial(curve.trial)))}
    return Curves(shown, len(having), rungs(state), went_on)


def thinned(order: Sequence[int], *, most: int) -> list[int]:
    """At most `most` of the trials: the first fifth of that as they are, of the others every so many.

    >>> thinned(range(20), most=10)
    [0, 1, 2, 4, 6, 8, 11, 13, 15, 17]
    """
    if len(order) <= most:
        return list(order)
    head = most // 5
    rest, room = order[head:], most - head
    return [*order[:head], *(rest[int(k * len(rest) / room)] for k in range(room))]


def rungs(state: SweepState) -> tuple[int, ...]:
    """The epochs at which trials were made to wait or stop, where several were."""
    if state.settings.scheduler == "pbt":  # its members stop everywhere
        return ()
    epochs = [trial.epoch for trial in state.trials if trial.status in ("paused", "stopped") and trial.epoch]
    ordered = [t.proposed["until"] for t in state.trials if t.proposed and t.proposed.get("until")]
    known = [epoch for epoch in {*epochs, *ordered} if (epochs + ordered).count(epoch) > 1 and epoch < state.epochs]
    return tuple(sorted(known)) if ordered else ()


def with_running(state: SweepState) -> SweepState:
    """The state, its running trials with what their folders tell so far: a log only hears of a run when it ends.

    A copy, where any trial runs.
    """
    found: dict[int, Trial] = {}
    for place, index in state.running:
        trial = found.get(place) or state.trial(place)
        run = trial.runs[index]
        facts = read_facts(state.folder / run.folder, state.aims, state.settings.reduce)
        if facts.epoch >= run.epoch and facts.reports:
            told = replace(run, epoch=facts.epoch, reports=dict(facts.reports))
            found[place] = replace(trial, runs=[*trial.runs[:index], told, *trial.runs[index + 1 :]])
    if not found:
        return state
    shown = copy.copy(state)
    shown.trials = [found.get(trial.number, trial) for trial in state.trials]
    return shown


def _curve(state: SweepState, trial: Trial, *, best: int | None) -> Curve:
    series = [_series(state, run) for run in trial.runs if run.reports]
    common = sorted(set.intersection(*map(set, series))) if series else []
    values = tuple(statistics.fmean(one[epoch] for one in series) for epoch in common)
    return Curve(trial.number, "best" if trial.number == best else _part(trial), tuple(common), values)


def _part(trial: Trial) -> Part:
    return trial.status


def _series(state: SweepState, run: Run) -> Mapping[int, float]:
    """Epoch -> the first aim: as the run's own metrics have it; where those are gone, best or last so far.

    Only what the sweep trained: whoever takes a run further later does not change what was compared.
    """
    reported = {epoch: values[0] for epoch, values in run.reports.items() if values and values[0] is not None}
    last = max(run.reports, default=0)
    return {epoch: value for epoch, value in _measured(state, run).items() if epoch <= last} or reported


def _beyond(state: SweepState, trial: Trial) -> int | None:
    """The last epoch of a trial's runs, where it lies behind the last one that the sweep knows; else None."""
    if trial.status == "running" or not trial.runs[0].reports:
        return None
    reached = [max(_measured(state, run), default=0) for run in trial.runs]
    known = max(max(run.reports, default=0) for run in trial.runs)
    return max(reached) if max(reached) > known else None


def _measured(state: SweepState, run: Run) -> Mapping[int, float]:
    name = state.aims[0].name
    if name in COUNTED:
        return {}
    try:
        rows = read_metrics(state.folder / run.folder / METRICS)
    except (OSError, DamagedError):
        return {}
    found = {row["epoch"]: number(row.get(name)) for row in rows if type(row.get("epoch")) is int and name in row}
    return {epoch: value for epoch, value in found.items() if value is not None}
