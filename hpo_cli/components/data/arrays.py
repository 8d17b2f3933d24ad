"""The records that data pass through: as read, as split, and what is known about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Task: TypeAlias = Literal["classification", "regression"]
Features: TypeAlias = NDArray[np.float32] | NDArray[np.uint8]
Targets: TypeAlias = NDArray[np.int64] | NDArray[np.float32]


@dataclass(frozen=True)
class RawData:
    """A data set as it was read, before any split.

    x: images [n, c, h, w], sequences [n, c, length] or tables [n, features]; uint8 means pixels of 0 .. 255.
    y: int64 [n] for classes 0 .. k-1, float32 [n, k] for k regression targets.
    test: (x, y) of a published test split; `x` and `y` above then hold the rest.
    """

    x: Features
    y: Targets
    class_names: tuple[str, ...] | None = None
    test: tuple[Features, Targets] | None = None


@dataclass(frozen=True)
class Split:
    """The samples of one part: x float32 [n, ...]; y int64 [n] or float32 [n, k]."""

    x: NDArray[np.float32]
    y: Targets


@dataclass(frozen=True)
class DataSpec:
    """What a model, a loss and a report must know about the data.

    input_shape: the shape of one sample.   num_targets: target columns, 1 for classification.
    class_counts: {"train" | "val" | "test": {class name: samples}}, empty for regression.
    target_mean, target_scale: one float a target, for regression; output * scale + mean
    is in the file's units.
    """

    task: Task
    input_shape: tuple[int, ...]
    class_names: tuple[str, ...] | None
    num_targets: int
    class_counts: dict[str, dict[str, int]]
    target_mean: tuple[float, ...] | None = None
    target_scale: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Splits:
    """The three parts of a data set, ready for training, and what is known about them."""

    train: Split
    val: Split
    test: Split
    spec: DataSpec
