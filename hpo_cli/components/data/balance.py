"""How even classes are, and the weights that make up for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

IMBALANCED = 10.0
"""From this ratio on, a model can look good by knowing the large classes alone."""


def imbalance(counts: Sequence[int]) -> float:
    """Samples of the largest class for one of the smallest: 1 is even, infinity an empty class.

    >>> imbalance([50, 100]), imbalance([7, 7, 7]), imbalance([3, 0])
    (2.0, 1.0, inf)
    """
    return max(counts) / min(counts) if min(counts) else float("inf")


def class_weights(counts: Sequence[int]) -> list[float]:
    """A weight a class: n / (k * n_c), so that every class weighs the same in all and the mean sample weighs 1.

    counts: samples of each class, all above 0.
    Source: King & Zeng 2001, "Logistic Regression in Rare Events Data"; scikit-learn's class_weight="balanced".
    >>> class_weights([30, 10])
    [0.6666666666666666, 2.0]
    """
    total = sum(counts)
    return [total / (len(counts) * count) for count in counts]
