"""A cross-validation: a parent folder with one run a fold, and what they say together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo_cli.errors import UserError
from hpo_cli.record.atomic import write_json
from hpo_cli.record.contents import DamagedError, Values, count, mapping, read_plan, read_result, text
from hpo_cli.record.folder import FOLDS, RESULT, is_run
from hpo_cli.record.metrics import number
from hpo_cli.record.reading import read_run


@dataclass(frozen=True)
class FoldsSummary:
    """What the folds' runs reached. values: {metric: one value a fold}, at the end of training.

    best: the objective's best value of each fold, which is chosen on the validation part and so flatters.
    NaN stands for a value that was not finite, and then for the mean and the deviation, too.
    """

    folder: Path
    objective: str
    runs: tuple[str, ...]
    values: Mapping[str, tuple[float, ...]]
    best: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """The content of folds.json."""
        metrics = {name: _described(values) for name, values in self.values.items()}
        return {
            "folds": len(self.runs),
            "runs": list(self.runs),
            "objective": {"name": self.objective, "best": _described(self.best)},
            "metrics": metrics,
        }


def fold_folder(parent: Path, fold: int) -> Path:
    """Where fold `fold` (from 1) of a cross-validation trains."""
    return parent / f"{parent.name}-{fold}"


def folds_in(parent: Path) -> dict[int, Path]:
    """{number: run} of the folds that have a folder in `parent`, by their numbers."""
    named = {path: path.name.removeprefix(f"{parent.name}-") for path in parent.iterdir()}
    found = {int(word): path for path, word in named.items() if word.isdecimal() and is_run(path)}
    return dict(sorted(found.items()))


def summarize(parent: Path) -> FoldsSummary:
    """The results of all folds together. Raises UserError for a fold that is missing or has not finished."""
    runs = _all_folds(parent)
    results = [_result(fold, run) for fold, run in runs.items()]
    names = [name for name in results[0]["metrics"] if all(name in result["metrics"] for result in results)]
    return FoldsSummary(
        parent,
        text(mapping(results[0].get("objective")).get("name")),
        tuple(run.name for run in runs.values()),
        {name: tuple(_number(result["metrics"][name]) for result in results) for name in names},
        tuple(_number(mapping(result.get("objective")).get("value")) for result in results),
    )


def write_summary(summary: FoldsSummary) -> None:
    """Write folds.json into the parent folder."""
    write_json(summary.folder / FOLDS, summary.to_json())


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and the sample standard deviation (n - 1), NaN for a single value; both NaN where a value is."""
    if not all(map(math.isfinite, values)):
        return math.nan, math.nan
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else math.nan


def _described(values: Sequence[float]) -> dict[str, Any]:
    mean, deviation = mean_and_deviation(values)
    return {"mean": mean, "deviation": deviation, "values": list(values)}


def _number(value: object) -> float:
    found = number(value)
    return math.nan if found is None else float(found)


def _all_folds(parent: Path) -> dict[int, Path]:
    """The runs of all folds of the plan, by their numbers."""
    found = folds_in(parent)
    missing = [fold for fold in range(1, _planned(next(iter(found.values()))) + 1) if fold not in found]
    if missing:
        folds = f"fold{'s' * (len(missing) > 1)} {', '.join(map(str, missing))}"
        fix = f"train it with data.fold={missing[0]} hydra.run.dir={fold_folder(parent, missing[0])}"
        raise UserError(f"{parent}: {folds} of {len(found) + len(missing)} missing; {fix}")
    return found


def _planned(run: Path) -> int:
    """How many folds the plan of one of them has. Raises UserError."""
    try:
        folds = count(mapping(read_plan(run).get("data")).get("folds"))
    except DamagedError as error:
        raise UserError(f"{run}: {error}, so nothing tells how many folds there are") from error
    if folds is None:
        raise UserError(f"{run}: its plan has no data.folds, so it is no fold of a cross-validation")
    return folds


def _result(fold: int, run: Path) -> Values:
    try:
        found = read_result(run)
    except DamagedError as error:
        raise UserError(f"{run}: fold {fold} has no readable {RESULT}, so the folds cannot be put together") from error
    status = found["status"] if found else read_run(run).status
    if found is None or status != "finished":
        known = f"is {status}" if found or status == "running" else f"has no readable {RESULT} (status: {status})"
        raise UserError(f"{run}: fold {fold} {known}, and only finished folds are put together; `hpo-run show {run}`")
    if not mapping(found.get("metrics")):
        raise UserError(f"{run}: fold {fold} was not validated once, so the folds cannot be put together")
    return found
