"""From a data set as read to standardised training, validation and test parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpo_cli.components.data.arrays import DataSpec, Split, Splits
from hpo_cli.components.data.checks import check_columns, check_finite, check_tokens
from hpo_cli.components.data.parts import SplitKeys, class_names, find_parts
from hpo_cli.components.data.selection import keep_classes
from hpo_cli.components.data.standardize import (
    IMAGE_AXES,
    Scaling,
    measured_scaling,
    plain_scaling,
    scaled,
    unit_scaling,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hpo_cli.components.data.arrays import Features, RawData, Targets, Task
    from hpo_cli.components.data.partition import Indices, Partition


def prepare(  # noqa: PLR0913 - one for each key of conf/config.yaml
    raw: RawData,
    *,
    task: Task,
    val_fraction: float,
    test_fraction: float,
    subset: float,
    standardize: bool,
    split_seed: int,
    classes: Sequence[object] | None = None,
    folds: int | None = None,
    fold: int | None = None,
) -> Splits:
    """Split a data set and standardise it by its training part alone.

    Each class is split for itself; samples that follow each other are cut in order instead.
    val_fraction, test_fraction: shares of all samples, above 0. A published test split is used where there is
    one; test_fraction then has no effect and val_fraction is a share of the rest.
    subset: share of the training part that is used, 0 .. 1; validation and test do not change with it.
    standardize: features (channels for images and sequences) and targets that are numbers get mean 0 and
    deviation 1; without it, pixels are divided by 255 and all else stays. Tokens and classes always stay.
    split_seed: without effect on samples that follow each other.
    classes: names of those to keep, None for all; the others are dropped before the split.
    folds, fold: cross-validation, where the validation part is number `fold` (1 .. folds) of that many stratified
    parts of all samples that are not test; val_fraction then has no effect.
    Raises ConfigError for impossible fractions, NaN or infinite values, a single class, a class too small,
    tokens outside the vocabulary or to be standardised, target columns that are not described.
    """
    kept = raw if classes is None else keep_classes(raw, classes, task=task)
    check_finite(kept)
    if task == "several":
        check_columns(kept)
    if task == "language":
        check_tokens(kept, standardize=standardize)
    keys = SplitKeys(val_fraction, test_fraction, subset, split_seed, folds=folds, fold=fold)
    return _assembled(kept, find_parts(kept, task=task, keys=keys), task=task, standardize=standardize)


def _assembled(raw: RawData, parts: Partition, *, task: Task, standardize: bool) -> Splits:
    is_tokens = task == "language"
    names = raw.class_names if is_tokens else class_names(raw) if task == "classification" else None
    x_scaling = None if is_tokens else _scaling(raw.x, parts.train, standardize=standardize)
    y_scaling = None if names else _target_scaling(raw, parts.train, standardize=standardize)
    test_x, test_y = raw.test or (raw.x, raw.y)
    test_rows = np.arange(len(test_x)) if raw.test else parts.test

    def part(x: Features, y: Targets, rows: Indices) -> Split:
        targets = y[rows] if y_scaling is None else scaled(_floats(y), rows, scaling=y_scaling)
        return Split(_tokens(x)[rows] if x_scaling is None else scaled(x, rows, scaling=x_scaling), targets)

    in_unit = unit_scaling(raw.x, parts.train, scaling=x_scaling) if x_scaling and raw.x.ndim == IMAGE_AXES else None
    splits = {
        "train": part(raw.x, raw.y, parts.train),
        "val": part(raw.x, raw.y, parts.val),
        "test": part(test_x, test_y, test_rows),
    }
    spec = DataSpec(
        task=task,
        input_shape=raw.x.shape[1:],
        class_names=names,
        num_targets=1 if names else raw.y.shape[1],
        class_counts=_counts_by_part(splits, names) if names and not is_tokens else {},
        target_mean=tuple(y_scaling.mean.tolist()) if y_scaling else None,
        target_scale=tuple(y_scaling.scale.tolist()) if y_scaling else None,
        num_tokens=len(names or ()) if is_tokens else None,
        columns=raw.columns if task == "several" else None,
        input_mean=tuple(in_unit.mean.tolist()) if in_unit else None,
        input_scale=tuple(in_unit.scale.tolist()) if in_unit else None,
    )
    return Splits(**splits, spec=spec)


def _floats(y: Targets) -> Features:
    return y.astype(np.float32, copy=False)


def _tokens(x: Features) -> NDArray[np.int64]:
    return x.astype(np.int64, copy=False)


def _scaling(x: Features, rows: Indices, *, standardize: bool) -> Scaling:
    return measured_scaling(x, rows) if standardize else plain_scaling(x)


def _target_scaling(raw: RawData, rows: Indices, *, standardize: bool) -> Scaling:
    """Of each target column; the index of a class keeps its value."""
    scaling = _scaling(_floats(raw.y), rows, standardize=standardize)
    is_class = np.array([bool(column.class_names) for column in raw.columns or ()] or [False] * raw.y.shape[1])
    return Scaling(np.where(is_class, 0.0, scaling.mean), np.where(is_class, 1.0, scaling.scale))


def _counts_by_part(splits: dict[str, Split], names: tuple[str, ...]) -> dict[str, dict[str, int]]:
    return {key: _counts(split.y, names) for key, split in splits.items()}


def _counts(y: Targets, names: tuple[str, ...]) -> dict[str, int]:
    counts = np.bincount(y.astype(np.int64), minlength=len(names))
    return dict(zip(names, counts.tolist(), strict=True))
