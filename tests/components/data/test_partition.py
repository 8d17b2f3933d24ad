import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hpo_cli.components.data.partition import partition

fractions = st.floats(0.01, 0.6)
class_sizes = st.lists(st.integers(3, 80), min_size=1, max_size=6)
seeds = st.integers(0, 2**63)


def labels_of(sizes, seed=0):
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))


def parts(sizes, val, test, subset=1.0, seed=0):
    return partition(labels_of(sizes), val_fraction=val, test_fraction=test, subset=subset, seed=seed)


@given(class_sizes, fractions, fractions, seeds)
def test_parts_are_disjoint_and_cover_everything(sizes, val, test, seed):
    assume(val + test < 1)
    found = parts(sizes, val, test, seed=seed)
    rows = np.concatenate([found.train, found.val, found.test])
    np.testing.assert_array_equal(np.sort(rows), np.arange(sum(sizes)))


@given(class_sizes, fractions, fractions, seeds)
def test_every_class_is_in_every_part(sizes, val, test, seed):
    assume(val + test < 1)
    labels, found = labels_of(sizes), parts(sizes, val, test, seed=seed)
    for rows in (found.train, found.val, found.test):
        assert set(labels[rows]) == set(range(len(sizes)))


@given(class_sizes, fractions, fractions, st.floats(0.01, 1))
def test_counts_are_within_one_of_the_exact_share(sizes, val, test, subset):
    assume(min(sizes) * (1 - val - test) >= 1)
    labels, found = labels_of(sizes), parts(sizes, val, test, subset)
    for label, size in enumerate(sizes):
        num_val, num_test = (labels[found.val] == label).sum(), (labels[found.test] == label).sum()
        assert abs(num_val - val * size) <= 1
        assert abs(num_test - test * size) <= 1
        assert abs((labels[found.train] == label).sum() - subset * (size - num_val - num_test)) <= 1


@given(st.lists(st.integers(50, 200), min_size=1, max_size=9), st.floats(0.1, 0.4), st.floats(0.1, 0.4))
def test_the_rounding_does_not_add_up_over_classes(sizes, val, test):
    found = parts(sizes, val, test)
    nearest = 0.5 + 1e-9  # a half may go either way: the sum of the shares is no exact product
    assert len(found.val) == pytest.approx(val * sum(sizes), abs=nearest)
    assert len(found.test) == pytest.approx(test * sum(sizes), abs=nearest)


@given(class_sizes, st.floats(0.05, 0.4), st.floats(0.05, 0.4), st.floats(0.01, 1), seeds)
def test_a_subset_thins_the_training_part_alone(sizes, val, test, subset, seed):
    full, thin = parts(sizes, val, test, seed=seed), parts(sizes, val, test, subset, seed=seed)
    np.testing.assert_array_equal(full.val, thin.val)
    np.testing.assert_array_equal(full.test, thin.test)
    assert set(thin.train) <= set(full.train)
    assert set(labels_of(sizes)[thin.train]) == set(range(len(sizes)))


@given(class_sizes, seeds)
def test_the_test_part_does_not_depend_on_the_validation_fraction(sizes, seed):
    one, other = parts(sizes, 0.1, 0.2, seed=seed), parts(sizes, 0.4, 0.2, seed=seed)
    np.testing.assert_array_equal(np.sort(one.test), np.sort(other.test))


@given(class_sizes, seeds)
def test_the_same_seed_gives_the_same_parts(sizes, seed):
    one, other = parts(sizes, 0.2, 0.2, seed=seed), parts(sizes, 0.2, 0.2, seed=seed)
    for name in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_seeds_differ_and_the_order_is_shuffled():
    one, other = parts([100, 100], 0.2, 0.2, seed=0), parts([100, 100], 0.2, 0.2, seed=1)
    assert set(one.test) != set(other.test)
    assert (np.diff(one.train) < 0).sum() > 20


def test_the_split_is_frozen():
    """These rows must never change: runs of different versions are compared on the same split."""
    found = partition(np.arange(12) % 2, val_fraction=0.2, test_fraction=0.2, subset=1.0, seed=0)
    assert (found.train.tolist(), found.val.tolist(), found.test.tolist()) == FROZEN


FROZEN = ([1, 6, 0, 7, 4, 10, 5, 9], [3, 8], [11, 2])


def test_a_class_is_equally_likely_to_go_anywhere():
    hits = np.zeros(10)
    for seed in range(2000):
        hits[parts([10], 0.2, 0.3, seed=seed).test] += 1
    assert hits.sum() == 6000
    assert np.abs(hits - 600).max() < 5 * np.sqrt(2000 * 0.3 * 0.7)


def test_no_test_part_where_the_data_has_its_own():
    found = parts([5, 5], 0.2, 0.0)
    assert len(found.test) == 0
    assert len(found.val) == pytest.approx(2)
