"""What may be wrong with samples: copies, contradictions, outliers, features that say nothing or the same."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hpo_cli.components.data.arrays import Features, Targets
    from hpo_cli.components.data.partition import Indices

CORRELATED = 0.98
OUTLYING = 3.5
"""Robust z-score from which a value is an outlier: Iglewicz & Hoaglin 1993, "How to Detect and Handle Outliers"."""
FLAT = 0.01
"""A sample whose deviation is below this share of the data's is nearly empty."""
MOST_FEATURES = 2000  # beyond, all pairs would take gigabytes


@dataclass(frozen=True)
class Copies:
    """Samples that are there twice. in_train: training samples that equal an earlier one.

    in_val, in_test: samples of that part that training has too: they are known, so their score says little.
    contradictions: samples of train and val that have an equal with another target.
    examples: rows (from 1) of training samples that are equal, the first few pairs.
    """

    in_train: int
    in_val: int
    in_test: int
    contradictions: int
    examples: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Outlier:
    """A value far from the others. row: counted from 1.   score: its robust z-score."""

    row: int
    feature: str
    value: float
    score: float


@dataclass(frozen=True)
class Pair:
    """Two features that say nearly the same. r: Pearson's correlation over the training part."""

    one: str
    other: str
    r: float


def find_copies(
    x: Features, y: Targets, *, train: Indices, val: Indices, test: Features, num_examples: int = 2
) -> Copies:
    """Equal samples. train, val: rows of x; test: the samples of the test part."""
    keys = dict(zip([*train.tolist(), *val.tolist()], _keys(x, [*train.tolist(), *val.tolist()]), strict=True))
    first: dict[bytes, int] = {}
    pairs = []
    for row in train.tolist():
        if keys[row] in first:
            pairs.append((first[keys[row]] + 1, row + 1))
        first.setdefault(keys[row], row)
    targets: dict[bytes, set[bytes]] = defaultdict(set)
    for row, key in keys.items():
        targets[key].add(y[row].tobytes())
    return Copies(
        in_train=len(pairs),
        in_val=sum(keys[row] in first for row in val.tolist()),
        in_test=sum(key in first for key in _keys(test, range(len(test)))),
        contradictions=sum(len(targets[key]) > 1 for key in keys.values()),
        examples=tuple(pairs[:num_examples]),
    )


def _keys(x: Features, rows: Sequence[int]) -> list[bytes]:
    """A digest a sample; 0.0 and -0.0 are the same number."""
    return [hashlib.blake2b((x[row] + x.dtype.type(0)).tobytes(), digest_size=16).digest() for row in rows]


def find_outliers(values: NDArray[np.float64], *, rows: Indices, names: Sequence[str], most: int = 5) -> list[Outlier]:
    """The samples with the largest robust z-scores above OUTLYING, the worst first, one value for each.

    values: [n, k], of the samples `rows`. z = 0.6745 |x - median| / MAD; where more than half of the values are
    equal, the mean absolute deviation stands in: |x - median| / (1.2533 MeanAD).
    """
    distance = np.abs(values - np.median(values, axis=0))
    spread = np.median(distance, axis=0) / 0.6745
    spread = np.where(spread > 0, spread, 1.2533 * distance.mean(axis=0))
    score = np.divide(distance, spread, out=np.zeros_like(distance), where=spread > 0)
    worst = score.argmax(axis=1)
    of_sample = score[np.arange(len(score)), worst]
    found = [i for i in np.argsort(-of_sample, kind="stable")[:most].tolist() if of_sample[i] > OUTLYING]
    return [Outlier(int(rows[i]) + 1, names[worst[i]], float(values[i, worst[i]]), float(of_sample[i])) for i in found]


def find_correlated(values: NDArray[np.float64], *, names: Sequence[str], most: int = 10) -> list[Pair]:
    """Pairs of columns of values [n, k] with |r| above CORRELATED, the strongest first."""
    varying = np.flatnonzero(np.ptp(values, axis=0) > 0)
    if not 2 <= len(varying) <= MOST_FEATURES:  # noqa: PLR2004 - a pair
        return []
    r: NDArray[np.float64] = np.asarray(np.corrcoef(values[:, varying], rowvar=False))
    ones, others = np.nonzero(np.triu(np.abs(r) > CORRELATED, k=1))
    order = np.argsort(-np.abs(r[ones, others]), kind="stable")[:most]
    return [
        Pair(names[varying[ones[i]]], names[varying[others[i]]], float(r[ones[i], others[i]])) for i in order.tolist()
    ]


def find_flat(deviations: NDArray[np.float64], *, rows: Indices) -> list[int]:
    """The rows (from 1) of images and signals that are constant or nearly so. deviations: [n], within each sample."""
    return [int(row) + 1 for row in rows[deviations <= FLAT * np.sqrt(np.mean(deviations**2))]]
