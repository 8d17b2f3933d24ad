"""Which samples to show, and how as pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpo_cli.components.data.arrays import Features, RawData
    from hpo_cli.components.data.partition import Indices

_COLOUR = 3


def of_each_class(raw: RawData, rows: Indices, *, num_each: int, most_classes: int) -> list[list[int]]:
    """Up to `num_each` of `rows` a class, in their order; without classes, lists of as many samples."""
    if raw.task != "classification":
        starts = range(0, min(len(rows), num_each * most_classes), num_each)
        return [rows[start : start + num_each].tolist() for start in starts]
    labels = raw.y[rows]
    return [rows[labels == label][:num_each].tolist() for label in np.unique(labels)[:most_classes]]


def pixels(sample: Features, *, low: float, high: float) -> NDArray[np.uint8]:
    """An image [c, h, w] as grey [h, w] or RGB [h, w, 3]; other numbers of channels as their mean.

    low, high: the values that become black and white, for what is not uint8.
    """
    if sample.dtype != np.uint8:
        share = (sample.astype(np.float64) - low) / ((high - low) or 1.0)
        sample = np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)
    if len(sample) == _COLOUR:
        return np.ascontiguousarray(sample.transpose(1, 2, 0))
    grey: NDArray[np.uint8] = np.rint(sample.mean(axis=0)).astype(np.uint8)
    return grey
