"""The records that data pass through: as read, as split, and what is known about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Task: TypeAlias = Literal["classification", "regression", "several", "language"]
Features: TypeAlias = NDArray[np.float32] | NDArray[np.uint8] | NDArray[np.int64]
Targets: TypeAlias = NDArray[np.int64] | NDArray[np.float32]


@dataclass(frozen=True)
class TargetColumn:
    """One of several targets: a class (the sample holds its index in `class_names`), or a number without names."""

    name: str
    class_names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class RawData:
    """A data set as it was read, before any split.

    x: images [n, c, h, w], sequences [n, c, length] or tables [n, features]; uint8 means pixels of 0 .. 255.
    int64 [n, window] holds tokens 0 .. len(class_names) - 1.
    y: int64 [n] for classes 0 .. k-1, float32 [n, k] for k regression targets or several columns, int64
    [n, window] for the token that follows each one of x.
    test: (x, y) of a published test split; `x` and `y` above then hold the rest.
    columns: what each column of y is, where classes and numbers stand side by side.
    ordered: the samples follow each other: parts are cut in order (training, validation, test), unshuffled.
    feature_names: of the columns of a table, where they have names.
    """

    x: Features
    y: Targets
    class_names: tuple[str, ...] | None = None
    test: tuple[Features, Targets] | None = None
    columns: tuple[TargetColumn, ...] | None = None
    ordered: bool = False
    feature_names: tuple[str, ...] | None = None

    @property
    def task(self) -> Task:
        """What these arrays can be learnt as."""
        if self.columns is not None:
            return "several"
        if self.y.dtype.kind == "f":
            return "regression"
        return "language" if self.y.ndim > 1 else "classification"


@dataclass(frozen=True)
class Split:
    """The samples of one part: x float32 [n, ...] or int64 tokens [n, window]; y as in RawData."""

    x: NDArray[np.float32] | NDArray[np.int64]
    y: Targets


@dataclass(frozen=True)
class DataSpec:
    """What a model, a loss and a report must know about the data.

    input_shape: the shape of one sample.   num_targets: target columns, 1 for classes and tokens.
    class_names: of the classes, or the vocabulary of a language.
    class_counts: {"train" | "val" | "test": {class name: samples}}, for classification alone.
    target_mean, target_scale: one float a target, for regression and several; output * scale + mean
    is in the file's units (0 and 1 for a column of classes).
    num_tokens: how many kinds of tokens the samples are made of; None for samples of numbers.
    columns: what each target column is, for several.
    input_mean, input_scale: one float a channel of images; x * scale + mean is the sample in 0 .. 1.
    """

    task: Task
    input_shape: tuple[int, ...]
    class_names: tuple[str, ...] | None
    num_targets: int
    class_counts: dict[str, dict[str, int]]
    target_mean: tuple[float, ...] | None = None
    target_scale: tuple[float, ...] | None = None
    num_tokens: int | None = None
    columns: tuple[TargetColumn, ...] | None = None
    input_mean: tuple[float, ...] | None = None
    input_scale: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Splits:
    """The three parts of a data set, ready for training, and what is known about them."""

    train: Split
    val: Split
    test: Split
    spec: DataSpec
