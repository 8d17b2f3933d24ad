"""`hpo-run show SWEEP`: a sweep on one page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Literal

from hpo_cli.console import output
from hpo_cli.console.sweep_page import page
from hpo_cli.record.sweeps import read_best, read_sweep_record
from hpo_cli.sweep.fold import SweepState, read_sweep
from hpo_cli.sweep.members import read_histories
from hpo_cli.sweep.tally import Tally

DEFAULT_OUTPUTS = "outputs"


def show_sweep(folder: Path, *, outputs: str, form: Literal["page", "json"]) -> int:
    """Print all about the sweep in `folder`. Raises UserError."""
    record, state = read_sweep_record(folder), read_sweep(folder)
    if form == "json":
        output.write_json(record.to_json() | _details(state))
    else:
        reference = state.id if outputs == DEFAULT_OUTPUTS and Path(outputs) in folder.parents else str(folder)
        output.write(page(state, record, ref=shlex.quote(reference)))
    return 0


def _details(state: SweepState) -> dict[str, Any]:
    tally = Tally()
    tally.take(state)
    return {
        "settings": vars(state.settings),
        "space": state.space.to_json(),
        "aims": [vars(aim) for aim in state.aims],
        "counts": tally.counts(state),
        "best": read_best(state.folder),
        "failed": [{"trial": one.number, "why": one.why} for one in state.trials if one.status == "failed"],
        "edits": state.edits,
        "refused": state.refused,
        "lineage": {trial: [vars(phase) for phase in phases] for trial, phases in read_histories(state).items()},
    }
