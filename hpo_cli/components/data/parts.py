"""Which rows of a data set go to which part: cut in order, by class, or as one of several folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hpo_cli.components.data.checks import (
    check_fold_sizes,
    check_folds,
    check_seed,
    check_shares,
    check_sizes,
    check_subset,
)
from hpo_cli.components.data.partition import folded, in_order, partition

if TYPE_CHECKING:
    from hpo_cli.components.data.arrays import RawData, Task
    from hpo_cli.components.data.partition import Indices, Partition

Names = tuple[str, ...]


@dataclass(frozen=True)
class SplitKeys:
    """The keys of a split, as `split.prepare` explains them."""

    val_fraction: float
    test_fraction: float
    subset: float
    split_seed: int
    folds: int | None = None
    fold: int | None = None


@dataclass(frozen=True)
class Strata:
    """What every part must hold some of. names: None when there are no classes, and `labels` int64 [n] zeros then."""

    names: Names | None
    labels: Indices


def find_parts(raw: RawData, *, task: Task, keys: SplitKeys) -> Partition:
    """The rows of each part; `test` is empty where the data set publishes its own.

    Raises ConfigError for impossible shares and folds, and for classes without a sample for every part.
    """
    test_fraction = 0.0 if raw.test else keys.test_fraction
    check_seed(keys.split_seed)
    check_shares(
        keys.val_fraction if keys.folds is None else None,
        test_fraction=None if raw.test else test_fraction,
        subset=keys.subset,
    )
    check_folds(keys.folds, keys.fold, is_ordered=raw.ordered)
    strata = strata_of(raw, task)
    check_sizes(strata.labels, strata.names, num_parts=2 if raw.test else 3)
    if keys.folds is None or keys.fold is None:
        shares = {"val_fraction": keys.val_fraction, "test_fraction": test_fraction, "subset": keys.subset}
        cut = in_order(len(raw.y), **shares) if raw.ordered else None
        parts = cut or partition(strata.labels, **shares, seed=keys.split_seed)
    else:
        parts = folded(
            strata.labels, test_fraction=test_fraction, folds=keys.folds, fold=keys.fold, subset=keys.subset,
            seed=keys.split_seed,
        )  # fmt: skip
        check_fold_sizes(np.delete(strata.labels, parts.test), strata.names, folds=keys.folds)
    num_train = len(strata.labels) - len(parts.val) - len(parts.test)
    check_subset(keys.subset, num_train, num_classes=len(strata.names or ()))
    return parts


def strata_of(raw: RawData, task: Task) -> Strata:
    """The classes of a classification, those of the first target column that has some, or none."""
    if task == "classification":
        return Strata(class_names(raw), np.asarray(raw.y, dtype=np.int64))
    for index, column in enumerate(raw.columns or ()):
        if column.class_names:
            return Strata(column.class_names, raw.y[:, index].astype(np.int64))
    return Strata(None, np.zeros(len(raw.y), dtype=np.int64))


def class_names(raw: RawData) -> Names:
    """The names of the classes, their numbers where they have none."""
    return raw.class_names or tuple(str(label) for label in range(int(raw.y.max(initial=0)) + 1))
