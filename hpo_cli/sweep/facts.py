"""What a run reached, in the terms of its sweep: one report an epoch, reduced to the best or the last value so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hpo_cli.record import folder as places
from hpo_cli.record import ledger
from hpo_cli.record.contents import DamagedError, count, mapping, read_result, text
from hpo_cli.record.metrics import number, read_metrics
from hpo_cli.sweep.search.contract import Aim
from hpo_cli.sweep.state import Values

COUNTED = ("params", "seconds", "steps", "epochs")
"""Aims that are no metrics: what a run costs."""


@dataclass(frozen=True)
class Facts:
    """epoch: whole epochs trained.   reports: epoch -> values so far.   values: at the end, None before the first.

    status: of its result, empty where it has none.   who: whose command ended it.
    """

    epoch: int = 0
    reports: Mapping[int, Values] = field(default_factory=dict)
    values: Values | None = None
    seconds: float = 0.0
    status: str = ""
    reason: str = ""
    who: str = ""


def read_facts(folder: Path, aims: Sequence[Aim], reduce: Literal["best", "last"]) -> Facts:
    """What the run in `folder` reached so far, by its files; nothing where there is none."""
    try:
        events = ledger.read_ledger(folder).events
    except OSError:
        return Facts()
    try:
        rows = read_metrics(folder / places.METRICS)
    except (OSError, DamagedError):
        rows = []
    try:
        result = mapping(read_result(str(folder)))
    except DamagedError:
        result = {}
    state = ledger.fold(events)
    known = {"params": count(mapping(state.data).get("parameters"))}
    reports = reports_of(rows, aims, reduce, known=known)
    end = mapping(state.ended)
    seconds = number(result.get("seconds")) or 0.0
    return Facts(
        epoch=max(reports, default=0),
        reports=reports,
        values=_final(reports, rows, aims, known={**known, "seconds": seconds}),
        seconds=seconds,
        status=text(result.get("status")),
        reason=text(end.get("reason")) or text(end.get("why")),
        who=text(end.get("who")),
    )


def reports_of(
    rows: Iterable[Mapping[str, Any]],
    aims: Sequence[Aim],
    reduce: Literal["best", "last"],
    *,
    known: Mapping[str, float | None] | None = None,
    after: Values | None = None,
) -> dict[int, Values]:
    """Epoch -> the value of each aim after it. known: of aims that are no metrics.   after: values before the rows."""
    best: list[float | None] = list(after or [None] * len(aims))
    reports: dict[int, Values] = {}
    metrics = [aim.name for aim in aims if aim.name not in COUNTED]
    for row in rows:
        if not any(name in row for name in metrics) or type(row.get("epoch")) is not int:
            continue
        for place, aim in enumerate(aims):
            value = _counted(aim.name, row, known or {}) if aim.name in COUNTED else number(row.get(aim.name))
            best[place] = better(best[place], value, aim.mode) if reduce == "best" else value
        reports[row["epoch"]] = tuple(best)
    return reports


def better(first: float | None, second: float | None, mode: str) -> float | None:
    """The better of two values; any value is better than none."""
    if first is None or second is None:
        return second if first is None else first
    return max(first, second) if mode == "max" else min(first, second)


def _counted(name: str, row: Mapping[str, Any], known: Mapping[str, float | None]) -> float | None:
    in_row = {"steps": "step", "epochs": "epoch"}.get(name)
    return number(row.get(in_row)) if in_row else known.get(name)


def _final(
    reports: Mapping[int, Values],
    rows: Sequence[Mapping[str, Any]],
    aims: Sequence[Aim],
    *,
    known: Mapping[str, float | None],
) -> Values | None:
    if not reports:
        return None
    last = rows[-1] if rows else {}
    newest = reports[max(reports)]
    return tuple(
        _counted(aim.name, last, known) if aim.name in COUNTED else value
        for aim, value in zip(aims, newest, strict=True)
    )
