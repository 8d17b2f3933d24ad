import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from hpo_cli.components.data.balance import class_weights, imbalance

counts = st.lists(st.integers(1, 500), min_size=2, max_size=12)


@given(counts)
def test_weights_are_scikit_learns_balanced_ones(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    expected = compute_class_weight("balanced", classes=np.arange(len(counts)), y=labels)
    np.testing.assert_allclose(class_weights(counts), expected, rtol=1e-12)


@given(counts)
def test_every_class_weighs_the_same_and_the_mean_sample_one(counts):
    total = [weight * count for weight, count in zip(class_weights(counts), counts, strict=True)]
    np.testing.assert_allclose(total, total[0])
    assert sum(total) == pytest.approx(sum(counts))


def test_imbalance_is_the_largest_class_by_the_smallest():
    assert imbalance([30, 10, 300]) == 30
    assert imbalance([5, 5]) == 1
    assert imbalance([5, 0]) == math.inf
