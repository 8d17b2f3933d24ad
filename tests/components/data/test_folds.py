import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold

from hpo_cli.components.data.arrays import RawData, TargetColumn
from hpo_cli.components.data.bundled import diabetes, digits
from hpo_cli.components.data.partition import folded, partition
from hpo_cli.components.data.split import prepare
from hpo_cli.errors import ConfigError

class_sizes = st.lists(st.integers(12, 60), min_size=1, max_size=6)
numbers_of_folds = st.integers(2, 6)
seeds = st.integers(0, 2**63)
test_fractions = st.sampled_from([0.0, 0.1, 0.3])


def labels_of(sizes):
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(sizes)), sizes))


def all_folds(sizes, folds, *, test=0.2, subset=1.0, seed=0):
    keys = {"test_fraction": test, "folds": folds, "subset": subset, "seed": seed}
    return [folded(labels_of(sizes), fold=fold, **keys) for fold in range(1, folds + 1)]


@given(class_sizes, numbers_of_folds, test_fractions, seeds)
def test_each_sample_validates_exactly_once_or_is_test(sizes, folds, test, seed):
    found = all_folds(sizes, folds, test=test, seed=seed)
    rows = np.concatenate([*(parts.val for parts in found), found[0].test])
    np.testing.assert_array_equal(np.sort(rows), np.arange(sum(sizes)))


@given(class_sizes, numbers_of_folds, test_fractions, seeds)
def test_the_parts_of_a_fold_are_disjoint_and_cover_everything(sizes, folds, test, seed):
    for parts in all_folds(sizes, folds, test=test, seed=seed):
        rows = np.concatenate([parts.train, parts.val, parts.test])
        np.testing.assert_array_equal(np.sort(rows), np.arange(sum(sizes)))


@given(class_sizes, numbers_of_folds, test_fractions)
def test_folds_differ_by_one_sample_at_most_in_all_and_in_each_class(sizes, folds, test):
    found, labels = all_folds(sizes, folds, test=test), labels_of(sizes)
    counts = np.array([np.bincount(labels[parts.val], minlength=len(sizes)) for parts in found])
    assert np.ptp(counts, axis=0).max() <= 1
    assert np.ptp(counts.sum(axis=1)) <= 1
    assert counts.min() >= 1


@given(class_sizes, numbers_of_folds)
def test_the_classes_are_shared_out_as_evenly_as_scikit_learn_does(sizes, folds):
    labels = labels_of(sizes)
    theirs = [np.bincount(labels[val]) for _, val in StratifiedKFold(folds).split(labels, labels)]
    ours = [np.bincount(labels[parts.val]) for parts in all_folds(sizes, folds, test=0.0)]
    np.testing.assert_array_equal(np.sort(theirs, axis=0), np.sort(ours, axis=0))


@given(class_sizes, numbers_of_folds, st.sampled_from([0.1, 0.3]), seeds)
def test_the_test_part_is_that_of_a_run_without_folds(sizes, folds, test, seed):
    plain = partition(labels_of(sizes), val_fraction=0.2, test_fraction=test, subset=1.0, seed=seed)
    for parts in all_folds(sizes, folds, test=test, seed=seed):
        np.testing.assert_array_equal(parts.test, plain.test)


@given(class_sizes, numbers_of_folds, st.floats(0.2, 1))
def test_a_subset_thins_the_training_part_of_a_fold_alone(sizes, folds, subset):
    labels = labels_of(sizes)
    for full, thin in zip(all_folds(sizes, folds), all_folds(sizes, folds, subset=subset), strict=True):
        np.testing.assert_array_equal(full.val, thin.val)
        assert set(thin.train) <= set(full.train)
        exact = subset * np.bincount(labels[full.train], minlength=len(sizes))
        assert np.abs(np.bincount(labels[thin.train], minlength=len(sizes)) - exact).max() <= 1


def test_the_folds_are_frozen():
    """These rows must never change: the folds of a cross-validation may be run by different versions."""
    found = [folded(np.arange(12) % 2, test_fraction=0.2, folds=3, fold=fold, subset=1.0, seed=0) for fold in (1, 2, 3)]
    assert [parts.val.tolist() for parts in found] == FROZEN


FROZEN = [[1, 8, 4, 9], [6, 7, 10], [3, 0, 5]]


def split(raw, task="classification", **keys):
    defaults = {"val_fraction": 0.2, "test_fraction": 0.2, "subset": 1.0, "standardize": False, "split_seed": 0}
    return prepare(raw, task=task, **{**defaults, **keys})


def test_prepared_folds_hold_what_they_should():
    whole = split(digits())
    parts = [split(digits(), folds=4, fold=fold, val_fraction=0.01) for fold in range(1, 5)]
    validated = np.concatenate([part.val.x for part in parts])
    others = np.concatenate([whole.train.x, whole.val.x])
    assert sorted(x.tobytes() for x in validated) == sorted(x.tobytes() for x in others)
    for part in parts:
        np.testing.assert_array_equal(part.test.x, whole.test.x)
        assert sum(part.spec.class_counts["val"].values()) in (359, 360)


def test_a_published_test_split_is_left_out_of_the_folds():
    x = np.arange(20, dtype=np.float32)[:, None]
    raw = RawData(x, np.arange(20) % 2, class_names=("a", "b"), test=(x + 100, np.arange(20) % 2))
    parts = [split(raw, folds=5, fold=fold) for fold in range(1, 6)]
    assert sorted(np.concatenate([part.val.x for part in parts])[:, 0]) == list(range(20))
    assert all(part.test.x.min() == 100 for part in parts)


def test_numbers_and_several_targets_have_folds_too():
    parts = [split(diabetes(), task="regression", folds=3, fold=fold) for fold in (1, 2, 3)]
    assert sum(len(part.val.y) for part in parts) == len(parts[0].val.y) + len(parts[0].train.y)
    y = np.column_stack([np.arange(30) % 3, np.arange(30)]).astype(np.float32)
    raw = RawData(y.copy(), y, columns=(TargetColumn("kind", ("a", "b", "c")), TargetColumn("size")))
    for fold in (1, 2, 3, 4):
        assert np.bincount(split(raw, task="several", folds=4, fold=fold).val.y[:, 0].astype(int)).tolist() == [2, 2, 2]


SMALL = RawData(np.ones((20, 1), np.float32), np.array([0] * 16 + [1] * 4), class_names=("a", "b"))
REFUSED = [
    ({"fold": 1}, "data.fold=1: says which of how many; set data.folds=5"),
    ({"folds": 3}, "data.folds=3: one run validates on one of them; set data.fold=1"),
    ({"folds": 1, "fold": 1}, "data.folds=1: must be at least 2"),
    ({"folds": 3, "fold": 4}, "data.fold=4: must be 1 .. 3, as data.folds=3 says"),
    ({"folds": 3, "fold": 0}, "data.fold=0: must be 1 .. 3"),
    ({"folds": 4, "fold": 1}, "data.folds=4: class 'b' has 3 samples that are not test; lower it to 3 or less"),
    ({"folds": 2, "fold": 1, "subset": 0.01}, "data.subset=0.01: leaves 0 of 8 training samples"),
]


@pytest.mark.parametrize(("keys", "line"), REFUSED)
def test_folds_that_cannot_be_are_refused_in_one_line(keys, line):
    with pytest.raises(ConfigError) as caught:
        split(SMALL, **keys)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_too_few_numbers_for_so_many_folds():
    with pytest.raises(ConfigError, match=r"data\.folds=9: there are 8 samples that are not test"):
        split(RawData(np.ones((10, 1), np.float32), np.ones((10, 1), np.float32)), task="regression", folds=9, fold=1)


def test_samples_that_follow_each_other_have_no_folds():
    tokens = np.zeros((30, 4), dtype=np.int64)
    raw = RawData(tokens, tokens, class_names=("x", "y"), ordered=True)
    with pytest.raises(ConfigError, match=r"data\.folds=3: these samples follow each other"):
        split(raw, task="language", folds=3, fold=1)
