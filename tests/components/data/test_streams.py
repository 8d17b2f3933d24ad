import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_cli.components.data.partition import in_order, partition
from hpo_cli.components.data.streams import stream_order

counts = st.integers(1, 300)
sizes = st.integers(1, 40)


@given(counts, sizes)
def test_each_window_comes_once(num_samples, batch_size):
    order = stream_order(num_samples, batch_size=batch_size)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(num_samples))


@given(counts, sizes)
def test_each_row_of_a_batch_goes_on_where_the_batch_before_stopped(num_samples, batch_size):
    order = stream_order(num_samples, batch_size=batch_size)
    whole = num_samples // batch_size
    batches = order[: whole * batch_size].reshape(whole, batch_size)
    np.testing.assert_array_equal(np.diff(batches, axis=0), np.ones((max(0, whole - 1), batch_size), dtype=np.int64))
    if whole:
        np.testing.assert_array_equal(batches[0], np.arange(batch_size) * whole)


@given(counts, sizes)
def test_what_is_left_over_is_less_than_a_batch(num_samples, batch_size):
    rest = stream_order(num_samples, batch_size=batch_size)[num_samples // batch_size * batch_size :]
    assert len(rest) < batch_size
    np.testing.assert_array_equal(rest, np.arange(num_samples - len(rest), num_samples))


def test_a_shuffled_order_would_be_noticed():
    order = np.random.default_rng(0).permutation(100).reshape(10, 10)
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(np.diff(order, axis=0), 1)


@given(st.integers(3, 500), st.floats(0.01, 0.45), st.floats(0.01, 0.45), st.floats(0.01, 1))
def test_parts_in_order_are_as_large_as_shuffled_ones(num_samples, val, test, subset):
    shares = {"val_fraction": val, "test_fraction": test, "subset": subset}
    ordered = in_order(num_samples, **shares)
    shuffled = partition(np.zeros(num_samples, dtype=np.int64), **shares, seed=0)
    for name in ("train", "val", "test"):
        rows = getattr(ordered, name)
        assert len(rows) == len(getattr(shuffled, name)) > 0
        assert (np.diff(rows) == 1).all()
    assert ordered.train[0] == 0
    assert ordered.train[-1] < ordered.val[0]
    assert ordered.val[-1] + 1 == ordered.test[0]
    assert ordered.test[-1] == num_samples - 1


def test_a_published_test_split_leaves_two_parts():
    found = in_order(10, val_fraction=0.2, test_fraction=0.0, subset=1.0)
    assert (found.train.tolist(), found.val.tolist(), found.test.tolist()) == ([*range(8)], [8, 9], [])
