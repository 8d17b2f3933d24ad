"""What a logger has of a run that an earlier process began, and how it goes on there without a gap or a double point.

Rows are in our own record before a logger gets them, so a logger that was killed knows at most as much:
- CSVLogger deletes the file of an earlier process: it gets every row of the record again.
- TensorBoardLogger loses what it had in memory: its readers are told to forget the points beyond the checkpoint, and
  it gets the living rows there again.
- MLFlowLogger would begin a second run: it gets the id of the first, and the last row if it lacks that.
- WandbLogger goes on under the same id by itself; what it had in memory when it was killed is not in its files.
- Any other logger gets the rows that are new.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hpo_cli.plan import RunPlan
from hpo_cli.record import jsonl
from hpo_cli.record.flat import flatten_plan
from hpo_cli.record.folder import METRICS
from hpo_cli.record.living import living_rows
from hpo_cli.record.metrics import COUNTERS

Row = Mapping[str, Any]


def recorded_rows(folder: Path) -> list[Row]:
    """Every row that a run wrote, abandoned ones included, in the order of the file."""
    rows = jsonl.decode(_content(folder)).rows
    return [row for row in rows if type(row.get("step")) is int and "event" not in row]


def going_on(logger: Any, plan: RunPlan, *, folder: Path, after: int) -> dict[str, Any]:
    """Arguments with which a logger like `logger` goes on where an earlier process was."""
    match _kind(logger):
        case "TensorBoardLogger":
            return {"purge_step": after + 1}
        case "MLFlowLogger":
            found = _mlflow_run(logger, experiment=str(plan.logger.args.get("experiment_name")), run=folder.name)
            return {"run_id": found} if found else {}
    return {}


def catch_up(logger: Any, plan: RunPlan, *, folder: Path | None, after: int) -> None:
    """Give a logger the plan's settings, and what it lacks of the rows in `folder`."""
    rows = recorded_rows(folder) if folder else []
    if not rows or folder is None:
        logger.log_hyperparams(flatten_plan(plan.to_dict()))
        return
    if _kind(logger) != "MLFlowLogger" or not _is_known_to_mlflow(logger, rows[0]):  # it takes a setting once
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # CSVLogger says that it deletes what we give it again
            logger.log_hyperparams(flatten_plan(plan.to_dict()))
    missing = MISSING.get(_kind(logger))
    for row in missing(logger, rows, _beyond(folder, after)) if missing else ():
        log_row(logger, row)
    logger.save()


def log_row(logger: Any, row: Row) -> None:
    """Log the metrics of one row; what our record has as null was not finite."""
    metrics = {name: float("nan") if value is None else value for name, value in row.items() if name not in COUNTERS}
    logger.log_metrics(metrics, step=row["step"])


def _beyond(folder: Path, after: int) -> list[Row]:
    return [row for row in living_rows(_content(folder)) if row["step"] > after]


def _content(folder: Path) -> bytes:
    path = folder / METRICS
    return path.read_bytes() if path.exists() else b""


def _kind(logger: Any) -> str:
    return type(logger).__name__


def _mlflow_run(logger: Any, *, experiment: str, run: str) -> str | None:
    """The id of the newest run of this name; None where the store has none, or was begun anew."""
    client = logger._mlflow_client  # noqa: SLF001 - `experiment` would create a run
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return None
    runs = client.search_runs([found.experiment_id], f"tags.mlflow.runName = '{run}'", order_by=["start_time DESC"])
    if not runs:
        return None
    name: str = runs[0].info.run_id
    client.update_run(name, status="RUNNING")
    return name


def _is_known_to_mlflow(logger: Any, row: Row) -> bool:
    names = [name for name in row if name not in COUNTERS]
    history = logger.experiment.get_metric_history(logger.run_id, names[0]) if names else []
    return any(point.step == row["step"] for point in history)


def _mlflow_missing(logger: Any, rows: Sequence[Row], beyond: Sequence[Row]) -> Sequence[Row]:  # noqa: ARG001
    if not _is_known_to_mlflow(logger, rows[0]):
        return rows
    return () if _is_known_to_mlflow(logger, rows[-1]) else rows[-1:]


MISSING: Mapping[str, Callable[[Any, Sequence[Row], Sequence[Row]], Sequence[Row]]] = MappingProxyType(
    {
        "CSVLogger": lambda _logger, rows, _beyond: rows,
        "TensorBoardLogger": lambda _logger, _rows, beyond: beyond,
        "MLFlowLogger": _mlflow_missing,
    }
)
"""Logger -> which rows it lacks, of all rows and of the living ones beyond the checkpoint."""
