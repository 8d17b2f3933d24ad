"""All runs as one table, for notebooks and reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpo_cli.errors import UserError
from hpo_cli.record.contents import DamagedError, read_plan
from hpo_cli.record.flat import flatten_plan
from hpo_cli.record.runs import scan

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from hpo_cli.record.reading import RunRecord

_COLUMNS = [
    "id", "name", "status", "started", "objective", "objective_name", "objective_mode",
    "steps", "epochs_done", "seconds", "path",
]  # fmt: skip


def load_runs(root: Path | str = "outputs") -> pd.DataFrame:
    """The runs below `root`, one row each, newest first.

    Columns: id, name, status, started (UTC), objective (best value), objective_name, objective_mode, steps,
    epochs_done, seconds, path; each metric at the end under its own name; `best.<metric>`; the options
    chosen under their group's name (`optimizer`); the plan under its dotted keys (`lr`, `model.depth`).
    Lists become tuples, absent values are missing.
    Raises UserError without pandas.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise UserError("load_runs: needs pandas; install it with `pip install 'hpo-run[tables]'`") from error
    records = scan(root)
    table = pd.DataFrame([_row(record) for record in records], columns=None if records else _COLUMNS)
    table["started"] = pd.to_datetime(table["started"], utc=True, errors="coerce", format="ISO8601")
    return table


def _row(record: RunRecord) -> dict[str, Any]:
    own = _own(record)
    plan = {key: tuple(value) if isinstance(value, list) else value for key, value in _plan(record).items()}
    best = {f"best.{name}": value.get("value") for name, value in record.best.items() if isinstance(value, dict)}
    return own | record.metrics | best | {key: value for key, value in plan.items() if key not in own}


def _own(record: RunRecord) -> dict[str, Any]:
    aim = record.objective
    return {
        "id": record.id,
        "name": record.name,
        "status": record.status,
        "started": record.started,
        "objective": aim.value if aim else None,
        "objective_name": aim.name if aim else None,
        "objective_mode": aim.mode if aim else None,
        "steps": record.steps,
        "epochs_done": record.epochs,
        "seconds": record.seconds,
        "path": str(record.path),
    }


def _plan(record: RunRecord) -> dict[str, Any]:
    try:
        return flatten_plan(read_plan(record.path))
    except DamagedError:
        return {}
