"""Which sample goes to which part: a pure function of the labels, the fractions and the seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Partition:
    """Row numbers of each part, shuffled; `test` is empty where the data set publishes its own."""

    train: Indices
    val: Indices
    test: Indices


def partition(strata: Indices, *, val_fraction: float, test_fraction: float, subset: float, seed: int) -> Partition:
    """Disjoint stratified parts of all rows; `subset` then thins the training part alone.

    strata: int64 [n], 0 .. k-1 without a gap; one stratum gives a plain random split.
    Each stratum needs a sample for every part (fraction above 0) and one for training.
    The order is an argsort of PCG64's raw bits, which numpy promises to keep from version to version.
    """
    order = np.argsort(np.random.PCG64(seed).random_raw(len(strata)), kind="stable")
    labels = strata[order]
    sizes = np.bincount(strata)
    num_test = _allot(sizes, test_fraction, room=sizes - 2)
    num_val = _allot(sizes, val_fraction, room=sizes - num_test - 1)
    held_out = num_test + num_val
    num_train = _allot(sizes - held_out, subset, room=sizes - held_out)
    rank = _rank_within(labels, sizes)
    ends = [ends_of[labels] for ends_of in (num_test, held_out, held_out + num_train)]
    return Partition(
        train=order[(rank >= ends[1]) & (rank < ends[2])],
        val=order[(rank >= ends[0]) & (rank < ends[1])],
        test=order[rank < ends[0]],
    )


def folded(strata: Indices, *, test_fraction: float, folds: int, fold: int, subset: float, seed: int) -> Partition:
    """Stratified k-fold cross-validation: `val` is part `fold` (1 .. folds) of all samples that are not test.

    Each of them is in the `val` of exactly one fold. The folds differ by at most one sample, in all and in each
    stratum. The test part is that of `partition` with the same seed; `subset` thins the training part alone.
    """
    order = np.argsort(np.random.PCG64(seed).random_raw(len(strata)), kind="stable")
    labels = strata[order]
    sizes = np.bincount(strata)
    num_test = _allot(sizes, test_fraction, room=sizes - 2)
    rank = _rank_within(labels, sizes)
    is_test = rank < num_test[labels]
    rest = sizes - num_test
    dealt = np.cumsum(rest) - rest  # as cards are: each stratum goes on where the one before it ended
    is_val = ~is_test & ((rank - num_test[labels] + dealt[labels]) % folds == fold - 1)
    is_train = ~is_test & ~is_val
    candidates = order[is_train]
    num_candidates = np.bincount(strata[candidates], minlength=len(sizes))
    kept = _allot(num_candidates, subset, room=num_candidates)
    thinned = _rank_within(strata[candidates], num_candidates) < kept[strata[candidates]]
    return Partition(train=candidates[thinned], val=order[is_val], test=order[is_test])


def in_order(num_samples: int, *, val_fraction: float, test_fraction: float, subset: float) -> Partition:
    """The parts of samples that follow each other: training first, then validation, then test, each in order.

    As many samples a part as `partition` gives; `subset` keeps the beginning of the training part.
    """
    sizes = np.array([num_samples], dtype=np.int64)
    num_test = _allot(sizes, test_fraction, room=sizes - 2)
    num_val = _allot(sizes, val_fraction, room=sizes - num_test - 1)
    before_test = num_samples - int(num_test[0])
    before_val = before_test - int(num_val[0])
    num_train = int(_allot(np.array([before_val]), subset, room=np.array([before_val]))[0])
    rows = np.arange(num_samples)
    return Partition(train=rows[:num_train], val=rows[before_val:before_test], test=rows[before_test:])


def _rank_within(labels: Indices, sizes: Indices) -> Indices:
    """For each row, how many rows of the same label come before it."""
    grouped = np.argsort(labels, kind="stable")
    rank = np.empty_like(labels)
    rank[grouped] = np.arange(len(labels)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return rank


def _allot(sizes: Indices, fraction: float, *, room: Indices) -> Indices:
    """Each stratum's share by largest remainders, 1 to `room`: within 1 of size * fraction."""
    if fraction == 0:
        return np.zeros_like(sizes)
    exact = sizes * fraction
    counts = np.maximum(np.floor(exact).astype(np.int64), 1)
    missing = max(0, round(float(exact.sum())) - int(counts.sum()))
    largest_remainders = np.argsort(counts - exact, kind="stable")[:missing]
    counts[largest_remainders] += 1
    bounded: Indices = np.minimum(counts, room)
    return bounded
