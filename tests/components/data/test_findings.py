import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import median_abs_deviation

from hpo_cli.components.data.findings import find_copies, find_correlated, find_flat, find_outliers


def copies(x, y, train, val, test):
    x = np.asarray(x, dtype=np.float32)[:, None]
    rows = [np.asarray(part, dtype=np.int64) for part in (train, val)]
    return find_copies(x, np.asarray(y), train=rows[0], val=rows[1], test=np.asarray(test, dtype=np.float32)[:, None])


def test_equal_samples_are_counted_by_where_they_are():
    found = copies([1, 2, 1, 3, 1, 2, 9], [0, 0, 0, 0, 0, 0, 0], [0, 1, 2, 3], [4, 5, 6], [3, 3, 8])
    assert (found.in_train, found.in_val, found.in_test) == (1, 2, 2)
    assert found.examples == ((1, 3),)
    assert found.contradictions == 0


def test_contradictions_are_equal_samples_with_other_targets():
    found = copies([1, 1, 1, 2, 3, 2], [0, 1, 0, 5, 6, 7], [0, 1, 2, 3, 4], [5], [])
    assert found.contradictions == 5
    assert copies([1, 1], [4, 4], [0, 1], [], []).contradictions == 0


def test_without_copies_there_is_nothing_to_find():
    found = copies(np.arange(9), np.zeros(9), range(5), range(5, 9), [10])
    assert (found.in_train, found.in_val, found.in_test, found.contradictions, found.examples) == (0, 0, 0, 0, ())


def test_minus_zero_equals_zero():
    assert copies([0.0, -0.0], [0, 0], [0, 1], [], []).in_train == 1


@given(st.lists(st.integers(0, 4), min_size=2, max_size=30), st.integers(1, 29))
def test_counts_are_those_of_a_plain_search(values, cut):
    train, val = range(min(cut, len(values))), range(min(cut, len(values)), len(values))
    found = copies(values, values, train, val, [0, 7])
    seen = [values[i] for i in train]
    assert found.in_train == len(seen) - len(set(seen))
    assert found.in_val == sum(values[i] in seen for i in val)
    assert found.in_test == (0 in seen)


def outliers(values, **keys):
    values = np.asarray(values, dtype=np.float64)
    rows = keys.pop("rows", np.arange(len(values)))
    return find_outliers(values, rows=rows, names=[f"f{i}" for i in range(values.shape[1])], **keys)


def test_scores_are_scipys_robust_ones():
    values = np.random.default_rng(0).normal(5, 2, (200, 3))
    values[17, 1], values[40, 2] = 100, -60
    found = outliers(values, rows=np.arange(200) + 1000)
    assert [(one.row, one.feature, one.value) for one in found[:2]] == [(1018, "f1", 100), (1041, "f2", -60)]
    spread = median_abs_deviation(values, axis=0, scale="normal")
    expected = np.abs(values - np.median(values, axis=0)) / spread
    assert found[0].score == pytest.approx(expected[17, 1], rel=1e-4)
    assert found[1].score == pytest.approx(expected[40, 2], rel=1e-4)
    assert all(one.score > 3.5 for one in found)
    assert len(found) <= 5


def test_even_values_hold_no_outliers():
    assert outliers(np.linspace(0, 1, 50)[:, None]) == []
    assert outliers(np.ones((20, 2))) == []


def test_where_most_values_are_equal_the_mean_deviation_stands_in():
    values = np.zeros((20, 1))
    values[3] = 1
    (one,) = outliers(values)
    assert (one.row, one.score) == (4, pytest.approx(1 / (1.2533 * 0.05)))


def test_correlated_columns_are_paired():
    draw = np.random.default_rng(0)
    base = draw.normal(size=(300, 3))
    values = np.column_stack([base, -base[:, 0], base[:, 1] + 0.05 * draw.normal(size=300), np.ones(300)])
    found = find_correlated(values, names=list("abcdef"))
    assert [(pair.one, pair.other) for pair in found] == [("a", "d"), ("b", "e")]
    assert found[0].r == pytest.approx(-1)
    assert found[1].r == pytest.approx(np.corrcoef(values[:, 1], values[:, 4])[0, 1])


def test_one_column_correlates_with_none():
    assert find_correlated(np.arange(5.0)[:, None], names=["a"]) == []
    assert find_correlated(np.ones((5, 3)), names=["a", "b", "c"]) == []


def test_flat_samples_are_found():
    deviations = np.array([1.0, 0.0, 1.2, 0.001, 0.9])
    assert find_flat(deviations, rows=np.array([4, 9, 2, 7, 1])) == [10, 8]
    assert find_flat(np.ones(4), rows=np.arange(4)) == []
