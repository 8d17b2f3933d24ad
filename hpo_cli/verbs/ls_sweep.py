"""`hpo-run ls SWEEP`: the trials of a sweep, by its log: as fast for ten thousand as for ten."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

from hpo_cli.console import output, styles
from hpo_cli.console.figures import NOTHING, duration, figure
from hpo_cli.console.output import Line, Span, line
from hpo_cli.console.setting_words import setting_words
from hpo_cli.console.sweep_lines import reason_of
from hpo_cli.console.tables import Column, table
from hpo_cli.record.sweep_record import read_sweep_record
from hpo_cli.report.curves import with_running
from hpo_cli.sweep.fold import SweepState, read_sweep
from hpo_cli.sweep.members import as_it_is
from hpo_cli.sweep.standings import standing_word
from hpo_cli.sweep.state import Trial


def list_trials(folder: Path, *, by: str, limit: int | None, form: Literal["json", "table"]) -> int:
    """Print the trials, the newest or the best first. by: `started` or `objective`; limit: None or 0 for all."""
    state = as_it_is(with_running(read_sweep(folder)))
    trials = sorted(state.trials, key=lambda trial: _rank(state, trial)) if by == "objective" else state.trials[::-1]
    shown = trials[: limit or None]
    if form == "json":
        output.write_json([_row(state, trial) for trial in shown])
    elif not shown:
        output.write([line(f"No trials in {folder} yet. `hpo-run show {state.id}` tells how the sweep stands.")])
    else:
        output.write(_listing(state, shown, hidden=len(trials) - len(shown)))
    return 0


def _rank(state: SweepState, trial: Trial) -> tuple[float, int]:
    if trial.value is None:
        return math.inf, trial.number
    return (trial.value if state.aims[0].mode == "min" else -trial.value), trial.number


def _listing(state: SweepState, trials: list[Trial], *, hidden: int) -> list[Line]:
    best = state.best()
    winner = best.number if best is not None else 0
    columns = [
        Column("trial", "right"),
        Column("run", spare=2),
        Column("setting", flexible=True),
        Column("status"),
        *(Column(aim.name, "right") for aim in state.aims),
        Column("epochs", "right"),
        Column("time", "right", spare=1),
    ]
    standing = read_sweep_record(state.folder).status
    rows = [
        _cells(state, trial, standing=standing, style=styles.WINNER if trial.number == winner else "")
        for trial in trials
    ]
    width = output.width() if output.is_styled() else None
    tail = [line(Span(f"{hidden} more; --limit 0 shows all", styles.QUIET))] if hidden else []
    return [*table(columns, rows, width=width), *tail]


def _cells(state: SweepState, trial: Trial, *, standing: str, style: str) -> list[Span]:
    words = setting_words(trial.setting, state.space.keys)
    why = f"  {reason_of(trial)}" if trial.status in ("failed", "stopped") else ""
    values = trial.values or (None,) * len(state.aims)
    epochs = str(trial.epoch) if trial.epoch == state.epochs else f"{trial.epoch}/{state.epochs}"
    return [
        Span(str(trial.number), style),
        Span(_runs(trial)),
        Span(words + why.rstrip()),
        Span(standing_word(trial.status, state, standing=standing), styles.STATUS.get(trial.status, styles.WAITS)),
        *(Span(NOTHING if value is None else figure(value), style) for value in values),
        Span(epochs),
        Span(duration(trial.seconds) if trial.seconds else NOTHING),
    ]


def _runs(trial: Trial) -> str:
    first, last = trial.runs[0].folder, trial.runs[-1].folder
    return first if first == last else f"{first}..{last.rpartition('-')[2]}"


def _row(state: SweepState, trial: Trial) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "runs": [run.folder for run in trial.runs],
        "status": trial.status,
        "setting": dict(trial.setting),
        "values": dict(zip((aim.name for aim in state.aims), trial.values or (None,) * len(state.aims), strict=True)),
        "epochs": trial.epoch,
        "seconds": trial.seconds,
        "why": reason_of(trial),
    }
