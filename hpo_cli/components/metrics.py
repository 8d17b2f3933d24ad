"""Metrics as sums that add over batches and across processes, one table of names by the loss's `head`.

`metric_sums` runs on the device without waiting for it; `metrics_from_sums` turns the total into numbers.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

Head = Literal["classes", "one", "targets"]

METRICS: Mapping[Head, tuple[str, ...]] = MappingProxyType(
    {"classes": ("accuracy",), "one": ("accuracy",), "targets": ("mae", "r2")}
)

_NOISE = 1e-12  # a variance below this share of the mean square is rounding error of float64 sums


def metric_sums(outputs: Tensor, targets: Tensor, *, head: Head) -> Tensor:
    """Add up one batch: float64, 1-d, on the outputs' device (float32 on mps, which has no float64).

    outputs: [b, num_outputs], or [b, 1] for `one`; targets: int64 [b], or float [b, k] for `targets`.
    For classes and one: [samples, correct]. For targets, length 1 + 4 k:
    [samples, |error|.., error^2.., target.., target^2..], each over the k columns.
    """
    import torch

    dtype = torch.float32 if outputs.device.type == "mps" else torch.float64
    parts: tuple[Tensor, ...]
    if head == "targets":
        wanted = targets.detach().to(dtype)
        error = outputs.detach().to(dtype) - wanted
        parts = (error.abs().sum(0), error.square().sum(0), wanted.sum(0), wanted.square().sum(0))
    else:
        guessed = outputs.argmax(1) if head == "classes" else (outputs.squeeze(1) > 0)
        parts = ((guessed == targets).sum(0, keepdim=True).to(dtype),)
    return torch.cat((outputs.new_full((1,), len(outputs), dtype=dtype, requires_grad=False), *parts))


def metrics_from_sums(sums: Tensor, *, head: Head, target_scale: Sequence[float] | None = None) -> dict[str, float]:
    """Compute the metrics of `METRICS[head]` from the sums of any number of batches; NaN where undefined.

    accuracy: share of correct samples, 0 .. 1. mae: mean absolute error over samples and columns, in original
    units when `target_scale` (what a column was divided by, one number a column) is given. r2: coefficient of
    determination, the mean over columns, undefined for a column that does not vary.
    """
    samples, *rest = sums.tolist()
    if head != "targets":
        return {"accuracy": rest[0] / samples if samples else math.nan}
    num_columns = len(rest) // 4
    absolute, squared, total, mean_square = (rest[i * num_columns :][:num_columns] for i in range(4))
    scale = [1.0] * num_columns if target_scale is None else target_scale
    maes = [a * s / samples if samples else math.nan for a, s in zip(absolute, scale, strict=True)]
    r2s = [
        _r2(samples, squared=e, total=t, total_square=q) for e, t, q in zip(squared, total, mean_square, strict=True)
    ]
    return {"mae": sum(maes) / num_columns, "r2": sum(r2s) / num_columns}


def _r2(samples: float, *, squared: float, total: float, total_square: float) -> float:
    if not samples:
        return math.nan
    variation = total_square - total * total / samples
    return 1.0 - squared / variation if variation > _NOISE * total_square else math.nan
