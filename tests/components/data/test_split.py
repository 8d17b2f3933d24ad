import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.preprocessing import StandardScaler

from hpo_cli.components.data import standardize
from hpo_cli.components.data.arrays import RawData
from hpo_cli.components.data.bundled import breast_cancer, diabetes, digits
from hpo_cli.components.data.split import prepare
from hpo_cli.errors import ConfigError


def split(raw, task="classification", **keys):
    defaults = {"val_fraction": 0.2, "test_fraction": 0.2, "subset": 1.0, "standardize": True, "split_seed": 0}
    return prepare(raw, task=task, **{**defaults, **keys})


def raw_of(sizes, shape=(3,), names=None):
    y = np.repeat(np.arange(len(sizes)), sizes)
    x = np.random.default_rng(0).normal(5, 3, (len(y), *shape)).astype(np.float32)
    return RawData(x, y, class_names=names or tuple("abcdefgh"[: len(sizes)]))


def refusal(raw, **keys):
    with pytest.raises(ConfigError) as caught:
        split(raw, **keys)
    assert all("\n" not in str(problem) for problem in caught.value.problems)
    return str(caught.value)


def test_digits():
    splits = split(digits())
    assert splits.spec.input_shape == (1, 8, 8)
    assert splits.spec.class_names == tuple("0123456789")
    assert (splits.spec.task, splits.spec.num_targets, splits.spec.target_mean) == ("classification", 1, None)
    sizes = [len(part.y) for part in (splits.train, splits.val, splits.test)]
    assert sizes == [1079, 359, 359]
    assert [sum(splits.spec.class_counts[name].values()) for name in ("train", "val", "test")] == sizes
    for part, name in ((splits.train, "train"), (splits.val, "val"), (splits.test, "test")):
        assert part.x.dtype == np.float32
        assert part.y.dtype == np.int64
        assert splits.spec.class_counts[name] == {str(d): int((part.y == d).sum()) for d in range(10)}


def test_images_are_standardised_per_channel_by_training_statistics():
    draw = np.random.default_rng(0)
    x = (draw.normal(0, 1, (60, 3, 4, 5)) * [[[[1]], [[10]], [[100]]]] + 7).astype(np.float32)
    splits = split(RawData(x, np.arange(60) % 2, class_names=("a", "b")))
    np.testing.assert_allclose(splits.train.x.mean(axis=(0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(splits.train.x.std(axis=(0, 2, 3)), 1, rtol=1e-6)
    assert np.abs(splits.val.x.mean(axis=(0, 2, 3))).max() > 1e-4  # its own mean was not used


def test_tables_are_standardised_as_scikit_learn_does():
    raw = breast_cancer()
    plain, splits = split(raw, standardize=False), split(raw)
    scaler = StandardScaler().fit(plain.train.x.astype(np.float64))
    for part, source in ((splits.train, plain.train), (splits.val, plain.val), (splits.test, plain.test)):
        np.testing.assert_allclose(part.x, scaler.transform(source.x.astype(np.float64)), rtol=1e-5, atol=1e-6)


def test_rows_keep_their_labels():
    raw = digits()
    lookup = {image.tobytes(): label for image, label in zip(raw.x, raw.y, strict=True)}
    for part in (plain := split(raw, standardize=False)).train, plain.val, plain.test:
        assert all(lookup[image.tobytes()] == label for image, label in zip(part.x, part.y, strict=True))


numbers = st.builds(np.float32, st.integers(-(10**6), 10**6).map(lambda n: n / 1000))


@settings(max_examples=60)
@given(arrays(np.float32, (20, 2), elements=numbers), st.integers(0, 1000))
def test_the_training_part_has_mean_0_and_deviation_1(x, seed):
    splits = split(RawData(x, np.arange(20) % 2, class_names=("a", "b")), split_seed=seed)
    for column in splits.train.x.T.astype(np.float64):
        constant = column.min() == column.max()
        assert column.mean() == pytest.approx(0, abs=1e-5)
        assert column.std() == pytest.approx(0 if constant else 1, abs=1e-5)


def test_an_outlier_beyond_float32_is_refused():
    raw = raw_of([10, 10], shape=(1,))
    test_x = np.full((2, 1), 1e30, dtype=np.float32)
    tiny = RawData(raw.x * np.float32(1e-30), raw.y, class_names=("a", "b"), test=(test_x, np.array([0, 1])))
    assert "too far from the training part" in refusal(tiny)
    assert split(tiny, standardize=False).test.x.max() == np.float32(1e30)


def test_large_offsets_lose_no_precision():
    x = (2.0**23 + np.arange(30) % 7).astype(np.float32)[:, None]
    splits = split(RawData(x, np.arange(30) % 2, class_names=("a", "b")))
    assert splits.train.x.mean() == pytest.approx(0, abs=1e-6)
    assert splits.train.x.std() == pytest.approx(1, abs=1e-6)


def test_a_constant_feature_has_scale_1():
    x = np.full((20, 2), 0.1, dtype=np.float32)
    x[:, 1] = np.arange(20)
    splits = split(RawData(x, np.arange(20) % 2, class_names=("a", "b")))
    np.testing.assert_allclose(splits.train.x[:, 0], 0, atol=1e-7)
    np.testing.assert_allclose(splits.test.x[:, 0], 0, atol=1e-7)


@pytest.mark.parametrize("elements", [1, 100, 10_000])
def test_the_block_size_makes_no_difference(monkeypatch, elements):
    raw = raw_of([30, 30], shape=(2, 5))
    expected = split(raw).train.x
    monkeypatch.setattr(standardize, "BLOCK_ELEMENTS", elements)
    np.testing.assert_allclose(split(raw).train.x, expected, rtol=1e-6)


def test_pixels_are_standardised_or_scaled_to_1():
    x = np.random.default_rng(0).integers(0, 256, (40, 1, 4, 4)).astype(np.uint8)
    raw = RawData(x, np.arange(40) % 2, class_names=("a", "b"))
    same = RawData(x.astype(np.float32), raw.y, class_names=raw.class_names)
    np.testing.assert_array_equal(split(raw).train.x, split(same).train.x)
    plain = split(raw, standardize=False)
    assert plain.train.x.dtype == np.float32
    np.testing.assert_allclose(plain.train.x, split(same, standardize=False).train.x / 255, rtol=1e-6)


def test_regression_targets_are_standardised_and_can_be_read_back():
    raw = diabetes()
    splits = split(raw, task="regression")
    assert splits.spec.class_counts == {}
    assert (splits.spec.class_names, splits.spec.num_targets, splits.spec.input_shape) == (None, 1, (10,))
    assert splits.train.y.dtype == np.float32
    assert splits.train.y.mean() == pytest.approx(0, abs=1e-6)
    assert splits.train.y.std() == pytest.approx(1, abs=1e-6)
    parts = (splits.train, splits.val, splits.test)
    read_back = np.concatenate([part.y * splits.spec.target_scale + splits.spec.target_mean for part in parts])
    np.testing.assert_allclose(np.sort(read_back[:, 0]), np.sort(raw.y[:, 0]), rtol=1e-5)


def test_without_standardisation_targets_stay():
    splits = split(diabetes(), task="regression", standardize=False)
    assert (splits.spec.target_mean, splits.spec.target_scale) == ((0.0,), (1.0,))
    assert set(splits.val.y[:, 0]) <= set(diabetes().y[:, 0])


def test_several_targets_each_have_their_scale():
    draw = np.random.default_rng(0)
    raw = RawData(draw.random((50, 4), dtype=np.float32), draw.normal([1, 100], [1, 50], (50, 2)).astype(np.float32))
    splits = split(raw, task="regression")
    assert splits.spec.num_targets == 2
    np.testing.assert_allclose(splits.train.y.std(axis=0), 1, rtol=1e-5)


def test_a_published_test_split_is_used_and_scaled_like_training():
    raw = raw_of([30, 30])
    test_x = raw_of([4, 2]).x + 100
    published = RawData(raw.x, raw.y, class_names=("a", "b"), test=(test_x, np.array([0, 0, 0, 0, 1, 1])))
    splits = split(published, test_fraction=0.9)
    assert splits.spec.class_counts["test"] == {"a": 4, "b": 2}
    assert len(splits.train.y) + len(splits.val.y) == 60
    assert splits.test.x.mean() > 20
    np.testing.assert_array_equal(split(published, test_fraction=0.1).train.x, splits.train.x)


def test_a_subset_leaves_validation_and_test_labels_alone():
    full, thin = split(digits(), standardize=False), split(digits(), standardize=False, subset=0.1)
    np.testing.assert_array_equal(full.val.x, thin.val.x)
    np.testing.assert_array_equal(full.test.x, thin.test.x)
    assert len(thin.train.y) == round(0.1 * len(full.train.y))
    assert set(thin.train.y) == set(range(10))


def test_standardisation_uses_the_subset_alone():
    thin = split(breast_cancer(), subset=0.1)
    np.testing.assert_allclose(thin.train.x.mean(axis=0), 0, atol=1e-5)


def test_a_class_that_is_too_small_is_named():
    assert "class 'c' has too few samples (2) to be in train, val and test (3 needed)" in refusal(raw_of([9, 9, 2]))
    assert split(raw_of([9, 9, 3])).spec.class_counts["val"]["c"] == 1


def test_a_class_without_samples_is_named():
    assert "class 'c' has too few samples (0)" in refusal(raw_of([9, 9], names=("a", "b", "c")))


def test_a_column_of_texts_is_one_line_and_not_one_a_text() -> None:
    line = refusal(raw_of([9, *[1] * 40], names=tuple(f"text {i}" for i in range(41))))
    assert "40 of its 41 classes have too few samples to be in train, val and test (3 needed)" in line
    assert "\n" not in line


def test_with_a_published_test_split_two_samples_are_enough():
    raw = raw_of([9, 2])
    published = RawData(raw.x, raw.y, class_names=("a", "b"), test=(raw.x, raw.y))
    assert split(published).spec.class_counts["train"] == {"a": 8, "b": 1}
    small = raw_of([9, 1])
    line = refusal(RawData(small.x, small.y, class_names=("a", "b"), test=(small.x, small.y)))
    assert "class 'b' has too few samples (1) to be in train and val (2 needed)" in line


def test_one_class_is_refused():
    assert "all samples are of one class, 'a'" in refusal(raw_of([9]))


def test_too_few_rows_for_regression():
    raw = RawData(np.ones((2, 1), np.float32), np.ones((2, 1), np.float32))
    assert "2 samples cannot be split in 3 parts" in refusal(raw, task="regression")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"val_fraction": 0.5, "test_fraction": 0.5}, "data.val_fraction=0.5: with data.test_fraction=0.5 nothing"),
        ({"val_fraction": 0.0}, "data.val_fraction=0.0: must be above 0 and below 1"),
        ({"test_fraction": 1.0}, "data.test_fraction=1.0: must be above 0 and below 1"),
        ({"val_fraction": float("nan")}, "data.val_fraction=nan: must be above 0"),
        ({"subset": 0.0}, "data.subset=0.0: must be above 0 and at most 1"),
        ({"subset": 1.1}, "data.subset=1.1: must be above 0 and at most 1"),
        ({"subset": 0.02}, "data.subset=0.02: leaves 0 of 12 training samples for 2 classes"),
        ({"split_seed": -1}, "data.split_seed=-1: must be 0 or more"),
    ],
)
def test_impossible_shares_are_refused(keys, expected):
    assert expected in refusal(raw_of([10, 10]), **keys)


def test_all_wrong_shares_are_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        split(raw_of([10, 10]), val_fraction=2, test_fraction=-1, subset=3)
    assert [problem.key for problem in caught.value.problems] == [
        "data.val_fraction",
        "data.test_fraction",
        "data.subset",
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_counted(value):
    raw = raw_of([10, 10])
    raw.x[3, 1] = raw.x[7, 0] = value
    assert "the inputs hold 2 NaN or infinite values" in refusal(raw)
    clean = raw_of([10, 10])
    published = RawData(clean.x, clean.y, class_names=("a", "b"), test=(raw.x, raw.y))
    assert "the test inputs hold 2 NaN" in refusal(published)


def test_a_target_that_is_not_finite_is_refused():
    y = np.arange(20, dtype=np.float32)[:, None]
    y[4] = np.nan
    assert "the targets hold 1 NaN" in refusal(RawData(raw_of([20]).x, y), task="regression")
