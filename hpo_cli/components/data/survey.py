"""What a person should know about a data set before training on it, as one record."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hpo_cli.components.data.balance import imbalance
from hpo_cli.components.data.findings import (
    Copies,
    Outlier,
    Pair,
    find_copies,
    find_correlated,
    find_flat,
    find_outliers,
)
from hpo_cli.components.data.parts import class_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from hpo_cli.components.data.arrays import RawData, Targets, Task
    from hpo_cli.components.data.partition import Indices, Partition

NUM_BINS = 10
NUM_FREQUENT = 12

Counts = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Feature:
    """A column of a table, over the training part."""

    name: str
    low: float
    mean: float
    high: float
    deviation: float

    @property
    def is_constant(self) -> bool:
        """Whether it says nothing."""
        return self.low == self.high


@dataclass(frozen=True)
class Target:
    """What is to be predicted. class_counts: {part: {class: samples}}, None for numbers.

    numbers: their statistics in training.   bins: the training samples in each of NUM_BINS equal intervals.
    """

    name: str
    class_counts: Counts | None = None
    numbers: Feature | None = None
    bins: tuple[int, ...] = ()

    @property
    def imbalance(self) -> float | None:
        """The largest class of the training part by the smallest; None for numbers."""
        return imbalance(list(self.class_counts["train"].values())) if self.class_counts else None


@dataclass(frozen=True)
class Text:
    """Characters of a text. frequent: of training, the most frequent first; unseen: of val, never met in training."""

    characters: int
    vocabulary: int
    frequent: tuple[tuple[str, int], ...]
    unseen: tuple[str, ...]


@dataclass(frozen=True)
class Survey:
    """All that is known. Of the test part only how many samples it has, and how many of them training has too.

    sizes: {part: samples}.   low, high: of the inputs in training.   flat: rows of nearly empty samples.
    """

    task: Task
    sizes: dict[str, int]
    input_shape: tuple[int, ...]
    dtype: str
    low: float
    high: float
    targets: tuple[Target, ...] = ()
    features: tuple[Feature, ...] = ()
    correlated: tuple[Pair, ...] = ()
    copies: Copies | None = None
    outliers: tuple[Outlier, ...] = ()
    flat: tuple[int, ...] = ()
    text: Text | None = None

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON, with each target's imbalance."""
        plain = asdict(self)
        for target, values in zip(self.targets, plain["targets"], strict=True):
            values["imbalance"] = target.imbalance
        return plain


def survey(raw: RawData, parts: Partition, *, task: Task) -> Survey:
    """Look at a data set. parts: the rows of each part; the test part is looked at for copies of training alone."""
    x, test = raw.x[parts.train], raw.test[0] if raw.test else raw.x[parts.test]
    found = Survey(
        task=task,
        sizes={"train": len(parts.train), "val": len(parts.val), "test": len(test)},
        input_shape=tuple(raw.x.shape[1:]),
        dtype=str(raw.x.dtype),
        low=float(x.min()),
        high=float(x.max()),
    )
    if task == "language":
        return replace(found, text=_text(raw, parts))
    targets = tuple(_targets(raw, parts, task))
    copies = find_copies(raw.x, raw.y, train=parts.train, val=parts.val, test=test)
    look = _with_features if raw.x.ndim == 2 else _with_samples  # noqa: PLR2004 - [n, features] is a table
    return look(replace(found, targets=targets, copies=copies), raw, parts.train)


def _with_features(found: Survey, raw: RawData, rows: Indices) -> Survey:
    x = raw.x[rows].astype(np.float64)
    names = raw.feature_names or tuple(f"feature {index}" for index in range(x.shape[1]))
    return replace(
        found,
        features=tuple(_feature(name, column) for name, column in zip(names, x.T, strict=True)),
        correlated=tuple(find_correlated(x, names=names)),
        outliers=tuple(find_outliers(x, rows=rows, names=names)),
    )


def _with_samples(found: Survey, raw: RawData, rows: Indices) -> Survey:
    """Of images and signals, which are whole samples first: how bright and how varied each is."""
    x, axes = raw.x[rows], tuple(range(1, raw.x.ndim))
    looks = np.stack([x.mean(axis=axes, dtype=np.float64), x.std(axis=axes, dtype=np.float64)], axis=1)
    outliers = find_outliers(looks, rows=rows, names=("its mean", "its deviation"))
    return replace(found, flat=tuple(find_flat(looks[:, 1], rows=rows)), outliers=tuple(outliers))


def _feature(name: str, values: NDArray[np.generic]) -> Feature:
    exact = values.astype(np.float64)
    return Feature(name, float(exact.min()), float(exact.mean()), float(exact.max()), float(exact.std()))


def _targets(raw: RawData, parts: Partition, task: Task) -> Iterator[Target]:
    if task == "classification":
        yield _class_target("class", raw.y, raw.test[1] if raw.test else None, parts, class_names(raw))
        return
    for index in range(raw.y.shape[1]):
        column = raw.columns[index] if raw.columns else None
        name = column.name if column else f"target {index}" if raw.y.shape[1] > 1 else "target"
        y, test = raw.y[:, index], raw.test[1][:, index] if raw.test else None
        if column and column.class_names:
            yield _class_target(name, y.astype(np.int64), test, parts, column.class_names)
        else:
            yield _number_target(name, y[parts.train])


def _class_target(name: str, y: Targets, test: Targets | None, parts: Partition, names: Sequence[str]) -> Target:
    labels = {"train": y[parts.train], "val": y[parts.val], "test": y[parts.test] if test is None else test}
    return Target(name, {part: _counts(values.astype(np.int64), names) for part, values in labels.items()})


def _counts(labels: Indices, names: Sequence[str]) -> dict[str, int]:
    return dict(zip(names, np.bincount(labels, minlength=len(names)).tolist(), strict=True))


def _number_target(name: str, values: Targets) -> Target:
    bins = np.histogram(values.astype(np.float64), bins=NUM_BINS)[0].tolist()
    return Target(name, numbers=_feature(name, values), bins=tuple(bins))


def _text(raw: RawData, parts: Partition) -> Text:
    names = raw.class_names or ()
    counts = Counter(dict(enumerate(np.bincount(raw.x[parts.train].ravel(), minlength=len(names)).tolist())))
    unseen = sorted({int(token) for token in np.unique(raw.x[parts.val])} - {t for t, n in counts.items() if n})
    return Text(
        characters=raw.x.size,
        vocabulary=len(names),
        frequent=tuple((names[token], count) for token, count in counts.most_common(NUM_FREQUENT)),
        unseen=tuple(names[token] for token in unseen),
    )
