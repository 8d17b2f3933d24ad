"""Samples as pixels: images as they were before they were standardised, signals as lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpo_cli.components.data.arrays import DataSpec, Split
from hpo_cli.components.data.samples import pixels

Pixels = NDArray[np.uint8]

SMALLEST = 64
"""Smaller images are enlarged, whole pixels at a time, so that a person can see them."""

SIGNAL_SHAPE = (80, 120)
"""Height and width of a drawn signal in pixels."""

_IMAGES, _SIGNALS = 4, 3
_PAPER = 240
_INKS = (0, 96, 160)


def pictures(split: Split, spec: DataSpec, indices: Sequence[int]) -> list[Pixels]:
    """Samples of a split, grey [h, w] or RGB [h, w, 3], all of one shape; none for tables and tokens."""
    x = split.x
    if x.dtype.kind != "f" or x.ndim not in (_IMAGES, _SIGNALS):
        return []
    if x.ndim == _SIGNALS:
        low, high = float(x.min()), float(x.max())
        return [drawn_signal(x[index], low=low, high=high) for index in indices]
    mean, scale = np.reshape(spec.input_mean or 0.0, (-1, 1, 1)), np.reshape(spec.input_scale or 1.0, (-1, 1, 1))
    return [_enlarged(pixels((x[index] * scale + mean).astype(np.float32), low=0.0, high=1.0)) for index in indices]


def drawn_signal(channels: NDArray[Any], *, low: float, high: float) -> Pixels:
    """A signal [c, length] as dark lines on light grey, between `low` at the bottom and `high` at the top."""
    height, width = SIGNAL_SHAPE
    page = np.full(SIGNAL_SHAPE, _PAPER, dtype=np.uint8)
    across = np.linspace(0, channels.shape[1] - 1, width)
    for index, values in enumerate(channels):
        shares = (np.interp(across, np.arange(channels.shape[1]), values) - low) / ((high - low) or 1.0)
        rows = np.rint((1.0 - np.clip(shares, 0, 1)) * (height - 1)).astype(int).tolist()
        for column, (row, before) in enumerate(zip(rows, [rows[0], *rows[:-1]], strict=True)):
            page[min(row, before) : max(row, before) + 1, column] = _INKS[index % len(_INKS)]
    return page


def _enlarged(image: Pixels) -> Pixels:
    times = max(1, SMALLEST // max(image.shape[:2]))
    return image.repeat(times, axis=0).repeat(times, axis=1)
