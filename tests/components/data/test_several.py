"""Several targets a sample, classes beside numbers."""

import numpy as np
import pytest

from hpo_cli.components.data.arrays import RawData, TargetColumn
from hpo_cli.components.data.split import prepare
from hpo_cli.errors import ConfigError

KIND, PRICE = TargetColumn("kind", ("cat", "cow", "dog")), TargetColumn("price")


def raw_of(columns=(PRICE, KIND), kinds=None):
    draw = np.random.default_rng(0)
    kinds = np.arange(60) % 3 if kinds is None else kinds
    y = np.stack([draw.normal(100, 20, 60), kinds], axis=1).astype(np.float32)
    return RawData(draw.random((60, 4), dtype=np.float32), y, columns=columns)


def split(raw, task="several", **keys):
    shares = {"val_fraction": 0.2, "test_fraction": 0.2, "subset": 1.0, "standardize": True, "split_seed": 0, **keys}
    return prepare(raw, task=task, **shares)


def test_numbers_are_standardised_and_class_indices_stay():
    splits = split(raw_of())
    assert splits.train.y.dtype == np.float32
    assert splits.train.y[:, 0].mean() == pytest.approx(0, abs=1e-6)
    assert splits.train.y[:, 0].std() == pytest.approx(1, abs=1e-6)
    assert all(set(part.y[:, 1]) == {0, 1, 2} for part in (splits.train, splits.val, splits.test))


def test_the_numbers_can_be_read_back():
    raw, splits = raw_of(), split(raw_of())
    mean, scale = splits.spec.target_mean, splits.spec.target_scale
    assert (mean[1], scale[1]) == (0.0, 1.0)
    read_back = np.concatenate([part.y * scale + mean for part in (splits.train, splits.val, splits.test)])
    np.testing.assert_allclose(np.sort(read_back, axis=0), np.sort(raw.y, axis=0), rtol=1e-5)


def test_what_a_model_must_know():
    raw, spec = raw_of(), split(raw_of()).spec
    assert raw.task == spec.task == "several"
    assert (spec.columns, spec.num_targets, spec.class_names, spec.class_counts) == ((PRICE, KIND), 2, None, {})


def test_the_first_column_of_classes_is_split_evenly():
    splits = split(raw_of())
    for part, size in ((splits.train, 12), (splits.val, 4), (splits.test, 4)):
        assert np.bincount(part.y[:, 1].astype(int)).tolist() == [size] * 3


def test_a_rare_class_is_named():
    kinds = np.where(np.arange(60) < 2, 2, np.arange(60) % 2)
    with pytest.raises(ConfigError, match="class 'dog' has too few samples \\(2\\)"):
        split(raw_of(kinds=kinds))


def test_numbers_alone_need_no_classes():
    columns = (PRICE, TargetColumn("weight"))
    splits = split(raw_of(columns))
    np.testing.assert_allclose(splits.train.y.std(axis=0), 1, rtol=1e-5)


@pytest.mark.parametrize("columns", [None, (PRICE,), (PRICE, KIND, KIND)])
def test_columns_without_a_description_are_refused(columns):
    with pytest.raises(ConfigError, match=r"data\.task=several: needs data whose target columns are described"):
        split(raw_of(columns))


@pytest.mark.parametrize("index", [3, -1, 0.5])
def test_an_index_without_a_name_is_refused(index):
    with pytest.raises(ConfigError, match="column 'kind' holds a value that is no index of its 3 classes"):
        split(raw_of(kinds=np.where(np.arange(60) == 7, index, np.arange(60) % 3)))


def test_without_standardisation_numbers_stay():
    spec = split(raw_of(), standardize=False).spec
    assert (spec.target_mean, spec.target_scale) == ((0.0, 0.0), (1.0, 1.0))


def test_tokens_must_be_windows_with_names():
    windows = np.arange(40).reshape(10, 4) % 5
    shapes = RawData(windows, windows[:, :3], class_names=tuple("abcde"), ordered=True)
    with pytest.raises(ConfigError, match="needs samples that are windows of tokens"):
        split(shapes, task="language", standardize=False)
    unnamed = RawData(windows, windows, class_names=tuple("abcd"), ordered=True)
    with pytest.raises(ConfigError, match=r"a token lies outside 0 \.\. 3, the 4 that have a name"):
        split(unnamed, task="language", standardize=False)
    with pytest.raises(ConfigError, match=r"data\.task=language: needs .*set data\.task=several"):
        split(raw_of(), task="language", standardize=False)
