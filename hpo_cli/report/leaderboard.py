"""The trials of a sweep in order, the best first, and those that no other one beats in every aim."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpo_cli.sweep.fold import SweepState
    from hpo_cli.sweep.search.contract import Aim
    from hpo_cli.sweep.state import Trial, Values


@dataclass(frozen=True)
class Row:
    """One trial. rank: from 1; None while it has no value of its own, or when it failed.

    mean: of the first aim over the runs that have a value; None before the first.   values: of every aim.
    each: the first aim's value of each run.   deviation: of `each`, sample standard; None for fewer than two.
    epochs: trained by all its runs.   on_front: no other trial is at least as good in every aim and better in one.
    run: the folder of its best run.   why: it was stopped, or failed.
    """

    rank: int | None
    trial: int
    mean: float | None
    values: Values
    each: tuple[float, ...]
    deviation: float | None
    epochs: int
    seconds: float
    setting: Mapping[str, Any]
    status: str
    run: str
    on_front: bool
    why: str = ""

    @property
    def num_runs(self) -> int:
        """How many runs the mean is of."""
        return len(self.each)

    def to_json(self) -> dict[str, Any]:
        """All fields in types that JSON knows."""
        lists = {"values": list(self.values), "each": list(self.each), "setting": dict(self.setting)}
        return {**vars(self), **lists, "num_runs": self.num_runs}


def leaderboard(state: SweepState) -> list[Row]:
    """A row for every trial: by the first aim, then those without a value by number.

    A trial is ranked once all its runs have a value, at whatever epoch they stand; failed ones are not ranked.
    """
    ordered = sorted((trial for trial in state.trials if _is_ranked(trial)), key=lambda trial: _key(trial, state.aims))
    front = pareto_front([(trial.number, trial.values or ()) for trial in ordered], state.aims)
    places = {trial.number: rank for rank, trial in enumerate(ordered, start=1)}
    others = [trial for trial in state.trials if trial.number not in places]
    return [
        _row(trial, places.get(trial.number), state.aims, on_front=trial.number in front)
        for trial in (*ordered, *others)
    ]


def pareto_front(found: Sequence[tuple[int, Values]], aims: Sequence[Aim]) -> set[int]:
    """The numbers of the trials that none dominates: at least as good in every aim and better in one.

    found: number and values of each; one that lacks a value is on no front.   For a single aim: its best ones.
    """
    costs = {
        number: _costs(values, aims) for number, values in found if len(values) == len(aims) and None not in values
    }
    front: dict[int, tuple[float, ...]] = {}
    for number, cost in sorted(costs.items(), key=lambda item: item[1]):
        if not any(_dominates(other, cost) for other in front.values()):
            front[number] = cost  # sorted: none that follows can dominate one that is here
    return set(front)


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def _costs(values: Values, aims: Sequence[Aim]) -> tuple[float, ...]:
    return tuple(_cost(value or 0.0, aim) for value, aim in zip(values, aims, strict=True))


def _cost(value: float, aim: Aim) -> float:
    return -value if aim.mode == "max" else value


def _is_ranked(trial: Trial) -> bool:
    return trial.value is not None and trial.status != "failed"


def _key(trial: Trial, aims: Sequence[Aim]) -> tuple[float, int]:
    return (_cost(trial.value or 0.0, aims[0]), trial.number)


def _row(trial: Trial, rank: int | None, aims: Sequence[Aim], *, on_front: bool) -> Row:
    each = tuple(_firsts(trial))
    runs = [run for run in trial.runs if run.values and run.values[0] is not None]
    best = min(runs, key=lambda run: _cost((run.values or (0.0,))[0] or 0.0, aims[0]), default=trial.runs[0])
    return Row(
        rank=rank,
        trial=trial.number,
        mean=statistics.fmean(each) if each else None,
        values=trial.values or (),
        each=each,
        deviation=statistics.stdev(each) if len(each) > 1 else None,
        epochs=trial.epoch,
        seconds=trial.seconds,
        setting=trial.setting,
        status=trial.status,
        run=best.folder,
        on_front=on_front,
        why=trial.why or next((run.reason for run in trial.runs if run.reason), ""),
    )


def _firsts(trial: Trial) -> Iterator[float]:
    for run in trial.runs:
        if run.values and run.values[0] is not None:
            yield run.values[0]
