"""What must hold before a data set can be split; each rule says what to change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpo_cli.errors import ConfigError, Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpo_cli.components.data.arrays import RawData
    from hpo_cli.components.data.partition import Indices


def check_shares(val_fraction: float | None, *, test_fraction: float | None, subset: float) -> None:
    """Refuse fractions that leave a part empty, and a subset outside 0 .. 1.

    val_fraction: None for folds.   test_fraction: None for a published test split.
    """
    given = {"data.val_fraction": val_fraction, "data.test_fraction": test_fraction}
    fractions = {key: value for key, value in given.items() if value is not None}
    problems = [
        Problem(key, "must be above 0 and below 1", "0.1 and 0.2 are usual", value)
        for key, value in fractions.items()
        if not 0 < value < 1
    ]
    if not problems and sum(fractions.values()) >= 1:
        rule = f"with data.test_fraction={test_fraction} nothing is left to train on"
        problems.append(Problem("data.val_fraction", rule, "keep their sum below 1", val_fraction))
    if not 0 < subset <= 1:
        problems.append(Problem("data.subset", "must be above 0 and at most 1", "1 uses all samples", subset))
    if problems:
        raise ConfigError.of(problems)


def check_folds(folds: int | None, fold: int | None, *, is_ordered: bool) -> None:
    """Refuse one of the two keys without the other, a fold that is not there, and folds of ordered samples."""
    if folds is None and fold is None:
        return
    if folds is None:
        raise ConfigError("data.fold", fold, rule="says which of how many", fix="set data.folds=5")
    if folds < 2:  # noqa: PLR2004 - one part validates, the others train
        raise ConfigError("data.folds", folds, rule="must be at least 2", fix="5 and 10 are usual")
    if is_ordered:
        rule = "these samples follow each other, and folds would mix what comes before and after"
        raise ConfigError("data.folds", folds, rule=rule, fix="leave it out and set data.val_fraction")
    if fold is None:
        raise ConfigError("data.folds", folds, rule="one run validates on one of them", fix="set data.fold=1")
    if not 1 <= fold <= folds:
        raise ConfigError("data.fold", fold, rule=f"must be 1 .. {folds}, as data.folds={folds} says")


def check_fold_sizes(strata: Indices, names: tuple[str, ...] | None, *, folds: int) -> None:
    """Refuse a class without a sample for every fold. strata: of all samples that are not test."""
    counts = np.bincount(strata, minlength=len(names or ("",))).tolist()
    for name, count in zip(names or ("",), counts, strict=True):
        if count < folds:
            what = f"class {name!r} has {count} samples" if names else f"there are {count} samples"
            raise ConfigError("data.folds", folds, rule=f"{what} that are not test", fix=f"lower it to {count} or less")


def check_seed(split_seed: int) -> None:
    """Refuse a negative seed: the generator takes none."""
    if split_seed < 0:
        raise ConfigError("data.split_seed", split_seed, rule="must be 0 or more")


def check_finite(raw: RawData) -> None:
    """Refuse NaN and infinity in inputs and targets, those of a published test split included."""
    parts = {"inputs": raw.x, "targets": raw.y}
    if raw.test:
        parts |= {"test inputs": raw.test[0], "test targets": raw.test[1]}
    for name, values in parts.items():
        count = _num_non_finite(values)
        if count:
            raise ConfigError("data", rule=f"the {name} hold {count} NaN or infinite values", fix="clean them first")


def _num_non_finite(values: NDArray[np.generic]) -> int:
    if not np.issubdtype(values.dtype, np.floating):
        return 0
    return sum(int((~np.isfinite(row_block)).sum()) for row_block in np.array_split(values, 1 + values.size // 2**20))


def check_sizes(strata: Indices, names: tuple[str, ...] | None, *, num_parts: int) -> None:
    """Refuse a single class, and a class without a sample for every part. names None: regression."""
    if names is None:
        if len(strata) < num_parts:
            raise ConfigError(
                "data", rule=f"{len(strata)} samples cannot be split in {num_parts} parts", fix="add samples"
            )
        return
    counts = np.bincount(strata, minlength=len(names)).tolist()
    if len(names) == 1:
        raise ConfigError("data", rule=f"all samples are of one class, {names[0]!r}", fix="add samples of another")
    problems = [
        Problem(
            "data", f"class {name!r} has too few samples ({count}) {_NEEDED[num_parts]}", "add samples or leave it out"
        )
        for name, count in zip(names, counts, strict=True)
        if count < num_parts
    ]
    if len(problems) > _LISTED:
        rule = f"{len(problems)} of its {len(names)} classes have too few samples {_NEEDED[num_parts]}"
        raise ConfigError("data", rule=rule, fix="is this the right target? numbers are data.task=regression loss=mse")
    if problems:
        raise ConfigError.of(problems)


_LISTED = 5
"""Up to so many small classes are told one by one."""

_NEEDED = {
    2: "to be in train and val (2 needed)",
    3: "to be in train, val and test (3 needed)",
}


def check_subset(subset: float, num_train: int, *, num_classes: int) -> None:
    """Refuse a subset of the training part without room for one sample of each class (0 for regression)."""
    num_used = round(subset * num_train)
    if num_used < max(1, num_classes):
        rule = f"leaves {num_used} of {num_train} training samples"
        if num_classes:
            rule += f" for {num_classes} classes"
        raise ConfigError("data.subset", subset, rule=rule, fix="raise it")


def check_tokens(raw: RawData, *, standardize: bool) -> None:
    """Refuse arrays that are no windows of tokens, tokens that the vocabulary does not name, and standardising them."""
    num_tokens = len(raw.class_names or ())
    if raw.task != "language" or raw.x.dtype != np.int64 or raw.x.shape != raw.y.shape:
        rule = "needs samples that are windows of tokens, and the token that follows each"
        raise ConfigError("data.task", "language", rule=rule, fix=f"set data.task={raw.task}")
    highest = max(int(raw.x.max(initial=0)), int(raw.y.max(initial=0)))
    if highest >= num_tokens or min(int(raw.x.min(initial=0)), int(raw.y.min(initial=0))) < 0:
        rule = f"a token lies outside 0 .. {num_tokens - 1}, the {num_tokens} that have a name"
        raise ConfigError("data", rule=rule, fix="name every token")
    if standardize:
        raise ConfigError("data.standardize", True, rule="tokens have no mean", fix="set data.standardize=false")  # noqa: FBT003 - the value received


def check_columns(raw: RawData) -> None:
    """Refuse several targets without a description of each, and an index that its class names do not reach."""
    if raw.columns is None or raw.y.ndim != 2 or len(raw.columns) != raw.y.shape[1]:  # noqa: PLR2004 - [n, columns]
        rule = "needs data whose target columns are described"
        raise ConfigError("data.task", "several", rule=rule, fix="set data.task=classification or regression")
    problems = [
        Problem("data", f"column {column.name!r} holds a value that is no index of its {len(names)} classes")
        for column, values in zip(raw.columns, raw.y.T, strict=True)
        if (names := column.class_names) and not np.isin(values, np.arange(len(names))).all()
    ]
    if problems:
        raise ConfigError.of(problems)
