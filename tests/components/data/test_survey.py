import numpy as np
import pytest

from hpo_cli.components.data.arrays import RawData, TargetColumn
from hpo_cli.components.data.bundled import diabetes, digits, iris
from hpo_cli.components.data.concerns import concerns
from hpo_cli.components.data.parts import SplitKeys, find_parts
from hpo_cli.components.data.samples import of_each_class, pixels
from hpo_cli.components.data.split import prepare
from hpo_cli.components.data.survey import survey


def surveyed(raw, task="classification"):
    return survey(raw, find_parts(raw, task=task, keys=SplitKeys(0.2, 0.2, 1.0, 0)), task=task)


def prepared(raw, task="classification"):
    return prepare(raw, task=task, val_fraction=0.2, test_fraction=0.2, subset=1.0, standardize=False, split_seed=0)


def test_it_counts_what_training_would_use():
    found, splits = surveyed(digits()), prepared(digits())
    assert found.targets[0].class_counts == splits.spec.class_counts
    assert found.sizes == {name: len(getattr(splits, name).y) for name in ("train", "val", "test")}
    assert (found.low, found.high, found.dtype, found.input_shape) == (0, 16, "float32", (1, 8, 8))
    assert found.features == ()
    assert list(concerns(found)) == []


def test_features_are_those_of_the_training_part():
    found, train = surveyed(iris()), prepared(iris()).train.x.astype(np.float64)
    assert [one.name for one in found.features] == list(iris().feature_names)
    for one, column in zip(found.features, train.T, strict=True):
        assert (one.low, one.high) == (column.min(), column.max())
        assert (one.mean, one.deviation) == (pytest.approx(column.mean()), pytest.approx(column.std()))


def test_numbers_have_a_histogram():
    found, train = surveyed(diabetes(), "regression"), prepared(diabetes(), "regression").train.y[:, 0]
    (target,) = found.targets
    assert target.class_counts is None
    assert target.imbalance is None
    assert list(target.bins) == np.histogram(train, bins=10)[0].tolist()
    assert sum(target.bins) == len(train)
    assert target.numbers.mean == pytest.approx(train.mean(dtype=np.float64))


def test_several_targets_are_each_looked_at():
    y = np.column_stack([np.arange(60) % 3, np.arange(60)]).astype(np.float32)
    columns = (TargetColumn("kind", ("a", "b", "c")), TargetColumn("size"))
    raw = RawData(np.arange(60, dtype=np.float32)[:, None], y, columns=columns)
    kind, size = surveyed(raw, "several").targets
    assert kind.class_counts["train"] == {"a": 12, "b": 12, "c": 12}
    assert kind.imbalance == 1
    assert (size.name, sum(size.bins)) == ("size", 36)


def test_texts_are_counted_and_what_training_never_meets_is_named():
    tokens = np.zeros((20, 5), dtype=np.int64)
    tokens[:4] = 1
    tokens[13] = 2
    raw = RawData(tokens, tokens, class_names=("x", "y", "z"), ordered=True)
    found = surveyed(raw, "language")
    assert (found.text.characters, found.text.vocabulary) == (100, 3)
    assert found.text.frequent == (("x", 40), ("y", 20), ("z", 0))
    assert found.text.unseen == ("z",)
    assert list(concerns(found)) == ["1 character of val never in training: 'z'"]


def table(y, x=None):
    names = tuple("abcdefgh"[: int(y.max()) + 1])
    x = np.random.default_rng(0).normal(size=(len(y), 2)).astype(np.float32) if x is None else x
    return RawData(x, y, class_names=names)


def test_imbalance_is_warned_of_above_ten_with_the_way_out():
    assert list(concerns(surveyed(table(np.repeat([0, 1], [1000, 100]))))) == []
    (line,) = concerns(surveyed(table(np.repeat([0, 1], [1100, 100]))))
    assert line == "the largest class has 11 times the samples of the smallest; try loss.class_weights=balanced"


def test_small_classes_are_named():
    assert "fewer than 10 training samples of class b (9)" in list(
        concerns(surveyed(table(np.repeat([0, 1], [40, 15]))))
    )


def test_copies_contradictions_and_constants_are_warned_of():
    x = np.zeros((60, 2), dtype=np.float32)
    x[:, 0] = np.arange(60) // 2
    lines = list(concerns(surveyed(table(np.arange(60) % 2, x))))
    assert any("validation samples are in training too, which flatters its score" in line for line in lines)
    assert any("test samples are in training too" in line for line in lines)
    assert any("have an equal with another target: no model can have both right" in line for line in lines)
    assert "1 feature is constant: feature 1" in lines


def test_nearly_empty_images_are_warned_of():
    x = np.random.default_rng(0).integers(0, 256, (40, 1, 4, 4)).astype(np.uint8)
    x[:] = np.where(np.arange(40)[:, None, None, None] == 0, 7, x)
    raw = RawData(x, np.arange(40) % 2, class_names=("a", "b"))
    parts = find_parts(raw, task="classification", keys=SplitKeys(0.2, 0.2, 1.0, 0))
    found = survey(raw, parts, task="classification")
    assert found.flat == ((1,) if 0 in parts.train else ())
    x[parts.train[:2]] = 9
    again = survey(raw, parts, task="classification")
    assert set(again.flat) >= {int(row) + 1 for row in parts.train[:2]}
    assert any("nearly empty" in line for line in concerns(again))


def test_the_test_part_is_only_counted():
    """Whatever its values are, nothing but copies of training can be told from the survey."""
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    y = np.arange(50) % 2
    one, other = (
        surveyed(RawData(x, y, ("a", "b"), test=(values, y))).to_dict() for values in (x + 100, np.zeros_like(x) - 7e6)
    )
    assert one == other


def test_a_test_part_cut_from_the_data_is_only_counted_too():
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    raw = RawData(x, np.arange(60) % 2, ("a", "b"))
    parts = find_parts(raw, task="classification", keys=SplitKeys(0.2, 0.2, 1.0, 0))
    one = survey(raw, parts, task="classification").to_dict()
    x[parts.test] = -7e6 + x[parts.test]
    assert survey(raw, parts, task="classification").to_dict() == one
    x[parts.train[0]] = 7e6
    assert survey(raw, parts, task="classification").high == 7e6


def test_samples_of_each_class_are_training_ones_in_order():
    raw = digits()
    parts = find_parts(raw, task="classification", keys=SplitKeys(0.2, 0.2, 1.0, 0))
    found = of_each_class(raw, parts.train, num_each=3, most_classes=4)
    assert [[raw.y[row] for row in rows] for rows in found] == [[label] * 3 for label in range(4)]
    order = parts.train.tolist()
    assert all([order.index(row) for row in rows] == sorted(order.index(row) for row in rows) for rows in found)
    numbers = diabetes()
    assert of_each_class(numbers, np.arange(7), num_each=3, most_classes=2) == [[0, 1, 2], [3, 4, 5]]


def test_samples_become_pixels():
    colour = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    np.testing.assert_array_equal(pixels(colour, low=0, high=255), colour.transpose(1, 2, 0))
    grey = np.array([[[0.0, 8.0], [16.0, 4.0]]], dtype=np.float32)
    np.testing.assert_array_equal(pixels(grey, low=0, high=16), [[0, 128], [255, 64]])
    assert pixels(np.ones((5, 2, 2), dtype=np.float32), low=1, high=1).shape == (2, 2)
