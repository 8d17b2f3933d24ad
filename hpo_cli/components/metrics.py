"""Metrics as sums that add over batches and across processes; `Measure` says which ones a run has.

`metric_sums` runs on the device without waiting for it; `metrics_from_sums` turns the total into numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from hpo_cli.components.data.arrays import DataSpec, TargetColumn
    from hpo_cli.plan import Head

_NOISE = 1e-12  # a variance below this share of the mean square is rounding error of float64 sums


@dataclass(frozen=True)
class Measure:
    """What is measured besides the loss.

    head: classes and one: accuracy; targets: mae and r2, means over the columns; several: accuracy of each class
    column and mae and r2 of each number column, under the column's name.
    positions: targets a sample when it is a window of tokens, which adds perplexity; None for one target a sample.
    target_scale: what a column of numbers was divided by, so that mae is in the data's units.
    """

    head: Head
    positions: int | None = None
    columns: tuple[TargetColumn, ...] = ()
    target_scale: tuple[float, ...] | None = None

    @property
    def has_accuracy(self) -> bool:
        """Whether one accuracy speaks for all targets."""
        return self.head in ("classes", "one")

    @property
    def targets_per_sample(self) -> int:
        """How many targets a sample counts as in the accuracy."""
        return self.positions or 1


def measure_of(head: Head, spec: DataSpec) -> Measure:
    """The measure of a loss with this head on data like `spec`."""
    positions = spec.input_shape[-1] if spec.task == "language" else None
    return Measure(head, positions, spec.columns or (), spec.target_scale)


def metric_names(measure: Measure) -> tuple[str, ...]:
    """The metrics beside the loss, by the names that `metrics_from_sums` gives them."""
    if measure.head == "several":
        return tuple(
            f"{column.name}_{name}"
            for column in measure.columns
            for name in (("accuracy",) if column.class_names else ("mae", "r2"))
        )
    if measure.head == "targets":
        return ("mae", "r2")
    return ("accuracy",) if measure.positions is None else ("accuracy", "perplexity")


def metric_sums(outputs: Tensor, targets: Tensor, *, measure: Measure) -> Tensor:
    """Add up one batch: float64, 1-d, on the outputs' device (float32 on mps, which has no float64).

    outputs: [b, num_outputs], or [b, num_tokens, positions]; targets: int64 [b] or [b, positions], or float [b, k].
    Begins with [samples]. Then, for classes and one: correct, and with positions the sum of -log p; for targets,
    each over the k columns: |error|.., error^2.., target.., target^2..; for several: correct of a class column and
    the four sums of a number column, column after column.
    """
    dtype = torch.float32 if outputs.device.type == "mps" else torch.float64
    outputs = outputs.detach()
    samples = outputs.new_full((1,), len(outputs), dtype=dtype)
    if measure.head == "several":
        return torch.cat((samples, *_column_sums(outputs, targets.detach(), measure.columns, dtype=dtype)))
    if measure.head == "targets":
        return torch.cat((samples, _number_sums(outputs, targets.detach(), dtype=dtype)))
    guessed = outputs.argmax(1) if measure.head == "classes" else (outputs.squeeze(1) > 0)
    correct = (guessed == targets).sum().to(dtype).reshape(1)
    if measure.positions is None:
        return torch.cat((samples, correct))
    return torch.cat((samples, correct, functional.cross_entropy(outputs, targets, reduction="sum").to(dtype)[None]))


def metrics_from_sums(sums: Tensor, *, measure: Measure) -> dict[str, float]:
    """Compute the metrics from the sums of any number of batches; NaN where undefined.

    accuracy: share of correct targets, 0 .. 1. perplexity: e to the mean -log p of a token.
    mae: mean absolute error over samples, in original units where the measure has target_scale. r2: coefficient of
    determination, undefined for a column that does not vary.
    """
    samples, *rest = sums.tolist()
    if measure.head == "several":
        return _several(samples, rest, measure)
    if measure.head == "targets":
        mae, r2 = _numbers(samples, rest, scale=measure.target_scale)
        return {"mae": mae, "r2": r2}
    count = samples * measure.targets_per_sample
    found = {"accuracy": rest[0] / count if count else math.nan}
    if measure.positions is not None:
        found["perplexity"] = _exp(rest[1] / count) if count else math.nan
    return found


def _column_sums(
    outputs: Tensor, targets: Tensor, columns: Sequence[TargetColumn], *, dtype: torch.dtype
) -> Iterator[Tensor]:
    start = 0
    for index, column in enumerate(columns):
        width = len(column.class_names or ()) or 1
        own, wanted = outputs[:, start : start + width], targets[:, index : index + 1]
        start += width
        if column.class_names:
            yield (own.argmax(1) == wanted.squeeze(1)).sum().to(dtype).reshape(1)
        else:
            yield _number_sums(own, wanted, dtype=dtype)


def _number_sums(outputs: Tensor, targets: Tensor, *, dtype: torch.dtype) -> Tensor:
    wanted = targets.to(dtype)
    error = outputs.to(dtype) - wanted
    return torch.cat((error.abs().sum(0), error.square().sum(0), wanted.sum(0), wanted.square().sum(0)))


def _several(samples: float, rest: Sequence[float], measure: Measure) -> dict[str, float]:
    found: dict[str, float] = {}
    start = 0
    for index, column in enumerate(measure.columns):
        if column.class_names:
            found[f"{column.name}_accuracy"] = rest[start] / samples if samples else math.nan
            start += 1
            continue
        scale = (measure.target_scale[index],) if measure.target_scale else None
        mae, r2 = _numbers(samples, rest[start : start + 4], scale=scale)
        found |= {f"{column.name}_mae": mae, f"{column.name}_r2": r2}
        start += 4
    return found


def _numbers(samples: float, sums: Sequence[float], *, scale: Sequence[float] | None) -> tuple[float, float]:
    """(mae, r2), the means over the columns."""
    num_columns = len(sums) // 4
    absolute, squared, total, mean_square = (sums[i * num_columns :][:num_columns] for i in range(4))
    units = [1.0] * num_columns if scale is None else scale
    maes = [a * s / samples if samples else math.nan for a, s in zip(absolute, units, strict=True)]
    r2s = [
        _r2(samples, squared=e, total=t, total_square=q) for e, t, q in zip(squared, total, mean_square, strict=True)
    ]
    return sum(maes) / num_columns, sum(r2s) / num_columns


def _r2(samples: float, *, squared: float, total: float, total_square: float) -> float:
    if not samples:
        return math.nan
    variation = total_square - total * total / samples
    return 1.0 - squared / variation if variation > _NOISE * total_square else math.nan


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf  # noqa: PLR2004 - beyond it a float overflows
