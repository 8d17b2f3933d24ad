"""What must hold before a data set can be split; each rule says what to change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpo_cli.errors import ConfigError, Problem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hpo_cli.components.data.arrays import RawData
    from hpo_cli.components.data.partition import Indices


def check_shares(val_fraction: float, *, test_fraction: float | None, subset: float) -> None:
    """Refuse fractions that leave a part empty, and a subset outside 0 .. 1. None: a published test split."""
    fractions = {"data.val_fraction": val_fraction}
    if test_fraction is not None:
        fractions["data.test_fraction"] = test_fraction
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
    if problems:
        raise ConfigError.of(problems)


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
