"""From a data set as read to standardised training, validation and test parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpo_cli.components.data.arrays import DataSpec, Split, Splits
from hpo_cli.components.data.checks import check_finite, check_seed, check_shares, check_sizes, check_subset
from hpo_cli.components.data.partition import partition
from hpo_cli.components.data.standardize import Scaling, measured_scaling, plain_scaling, scaled

if TYPE_CHECKING:
    from hpo_cli.components.data.arrays import Features, RawData, Targets, Task
    from hpo_cli.components.data.partition import Indices, Partition


def prepare(
    raw: RawData,
    *,
    task: Task,
    val_fraction: float,
    test_fraction: float,
    subset: float,
    standardize: bool,
    split_seed: int,
) -> Splits:
    """Split a data set (by class for classification) and standardise it by its training part alone.

    val_fraction, test_fraction: shares of all samples, above 0. A published test split is used where there is
    one; test_fraction then has no effect and val_fraction is a share of the rest.
    subset: share of the training part that is used, 0 .. 1; validation and test do not change with it.
    standardize: features (channels for images and sequences) and regression targets get mean 0 and
    deviation 1; without it, pixels are divided by 255 and all else stays.
    Raises ConfigError for impossible fractions, NaN or infinite values, a single class, a class too small.
    """
    check_shares(val_fraction, test_fraction=None if raw.test else test_fraction, subset=subset)
    check_seed(split_seed)
    check_finite(raw)
    names = _class_names(raw) if task == "classification" else None
    strata = np.asarray(raw.y, dtype=np.int64) if names else np.zeros(len(raw.y), dtype=np.int64)
    check_sizes(strata, names, num_parts=2 if raw.test else 3)
    parts = partition(
        strata,
        val_fraction=val_fraction,
        test_fraction=0.0 if raw.test else test_fraction,
        subset=subset,
        seed=split_seed,
    )
    check_subset(subset, len(strata) - len(parts.val) - len(parts.test), num_classes=len(names or ()))
    return _assembled(raw, parts, names=names, standardize=standardize)


def _assembled(raw: RawData, parts: Partition, *, names: tuple[str, ...] | None, standardize: bool) -> Splits:
    x_scaling = measured_scaling(raw.x, parts.train) if standardize else plain_scaling(raw.x)
    y_scaling = None if names else _target_scaling(raw.y, parts.train, standardize=standardize)
    test_x, test_y = raw.test or (raw.x, raw.y)
    test_rows = np.arange(len(test_x)) if raw.test else parts.test

    def part(x: Features, y: Targets, rows: Indices) -> Split:
        targets = y[rows] if y_scaling is None else scaled(_floats(y), rows, scaling=y_scaling)
        return Split(scaled(x, rows, scaling=x_scaling), targets)

    splits = {
        "train": part(raw.x, raw.y, parts.train),
        "val": part(raw.x, raw.y, parts.val),
        "test": part(test_x, test_y, test_rows),
    }
    spec = DataSpec(
        task="classification" if names else "regression",
        input_shape=raw.x.shape[1:],
        class_names=names,
        num_targets=1 if names else raw.y.shape[1],
        class_counts={key: _counts(split.y, names) for key, split in splits.items()} if names else {},
        target_mean=tuple(y_scaling.mean.tolist()) if y_scaling else None,
        target_scale=tuple(y_scaling.scale.tolist()) if y_scaling else None,
    )
    return Splits(**splits, spec=spec)


def _floats(y: Targets) -> Features:
    return y.astype(np.float32, copy=False)


def _target_scaling(y: Targets, rows: Indices, *, standardize: bool) -> Scaling:
    return measured_scaling(_floats(y), rows) if standardize else plain_scaling(_floats(y))


def _class_names(raw: RawData) -> tuple[str, ...]:
    return raw.class_names or tuple(str(label) for label in range(int(raw.y.max(initial=0)) + 1))


def _counts(y: Targets, names: tuple[str, ...]) -> dict[str, int]:
    counts = np.bincount(y.astype(np.int64), minlength=len(names))
    return dict(zip(names, counts.tolist(), strict=True))
