"""Zero mean and unit variance by the statistics of some rows, in blocks: images stay bytes until here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hpo_cli.components.data.arrays import Features
    from hpo_cli.components.data.partition import Indices

Floats: TypeAlias = NDArray[np.float64]

BLOCK_ELEMENTS = 2**18  # 2 MB as float64, so that a block stays in a core's cache
PIXEL_MAX = 255.0
IMAGE_AXES = 4  # [n, c, h, w]


@dataclass(frozen=True)
class Scaling:
    """standardised = (x - mean) / scale, with one mean and one scale a feature or channel (axis 1)."""

    mean: Floats
    scale: Floats


def measured_scaling(x: Features, rows: Indices) -> Scaling:
    """Mean and standard deviation over `rows` of x [n, c, ...], for each c; a constant one has scale 1."""
    axes = (0, *range(2, x.ndim))
    count = len(rows) * int(np.prod(x.shape[2:], dtype=np.int64))
    total = np.zeros(x.shape[1])
    first = x[rows[:1]].max(axis=axes)
    constant = np.ones(x.shape[1], dtype=bool)
    for block in _blocks(x, rows):
        total += block.sum(axis=axes, dtype=np.float64)
        constant &= (block.min(axis=axes) == first) & (block.max(axis=axes) == first)
    mean = total / count
    squares = np.zeros(x.shape[1])
    for block in _blocks(x, rows):
        squares += np.square(block - _along_axis_1(mean, x.ndim)).sum(axis=axes)
    return Scaling(mean, np.where(constant, 1.0, np.sqrt(squares / count)))


def plain_scaling(x: Features) -> Scaling:
    """No standardisation: x as it is, except that pixels of 0 .. 255 become 0 .. 1."""
    scale = PIXEL_MAX if x.dtype == np.uint8 else 1.0
    return Scaling(np.zeros(x.shape[1]), np.full(x.shape[1], scale))


def unit_scaling(x: Features, rows: Indices, *, scaling: Scaling) -> Scaling:
    """What brings samples that `scaling` made back to 0 .. 1: x * scale + mean, one of each a channel.

    0 and 1 are the least and the largest value of the training rows over all channels; of pixels, 0 and 255.
    """
    low, high = 0.0, PIXEL_MAX
    if x.dtype != np.uint8:
        low = min(float(block.min()) for block in _blocks(x, rows))
        high = max(float(block.max()) for block in _blocks(x, rows))
    width = high - low or 1.0
    return Scaling((scaling.mean - low) / width, scaling.scale / width)


def scaled(x: Features, rows: Indices, *, scaling: Scaling) -> NDArray[np.float32]:
    """`rows` of x [n, c, ...], scaled, as float32. Raises ConfigError for a value that float32 cannot hold then."""
    out = np.empty((len(rows), *x.shape[1:]), dtype=np.float32)
    start = 0
    try:
        with np.errstate(over="raise"):
            for block in _blocks(x, rows):
                centred = block - _along_axis_1(scaling.mean, x.ndim)
                out[start : start + len(block)] = centred / _along_axis_1(scaling.scale, x.ndim)
                start += len(block)
    except FloatingPointError:
        rule = "a value is too far from the training part to be standardised in float32"
        raise ConfigError("data", rule=rule, fix="clean the outliers") from None
    return out


def _blocks(x: Features, rows: Indices) -> Iterator[Features]:
    num_rows = max(1, BLOCK_ELEMENTS // max(1, int(np.prod(x.shape[1:], dtype=np.int64))))
    for start in range(0, len(rows), num_rows):
        yield x[rows[start : start + num_rows]]


def _along_axis_1(values: Floats, num_dims: int) -> Floats:
    return values.reshape(-1, *(1,) * (num_dims - 2))
