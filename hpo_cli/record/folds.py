"""A cross-validation: a parent folder with one run a fold, and what they say together."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo_cli.errors import UserError
from hpo_cli.record.atomic import write_json
from hpo_cli.record.contents import mapping
from hpo_cli.record.folder import FOLDS, RESULT


@dataclass(frozen=True)
class FoldsSummary:
    """What the folds' runs reached. values: {metric: one value a fold}, at the end of training.

    best: the objective's best value of each fold, which is chosen on the validation part and so flatters.
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


def summarize(parent: Path, runs: Sequence[Path]) -> FoldsSummary:
    """Read the results of the folds and write folds.json. Raises UserError for a fold without a whole result."""
    results = [_result(run) for run in runs]
    names = [name for name in results[0]["metrics"] if all(name in result["metrics"] for result in results)]
    summary = FoldsSummary(
        parent,
        results[0]["objective"]["name"],
        tuple(run.name for run in runs),
        {name: tuple(float(result["metrics"][name]) for result in results) for name in names},
        tuple(float(result["objective"]["value"]) for result in results),
    )
    write_json(parent / FOLDS, summary.to_json())
    return summary


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and the sample standard deviation (n - 1); NaN for a single value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else math.nan


def _described(values: Sequence[float]) -> dict[str, Any]:
    mean, deviation = mean_and_deviation(values)
    return {"mean": mean, "deviation": deviation, "values": list(values)}


def _result(run: Path) -> dict[str, Any]:
    try:
        found = mapping(json.loads((run / RESULT).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(f"{run}: has no readable {RESULT}, so the folds cannot be put together") from error
    if mapping(found.get("objective")).get("value") is None or not mapping(found.get("metrics")):
        raise UserError(f"{run}: was not validated once, so the folds cannot be put together")
    return dict(found)
