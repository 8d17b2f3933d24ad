import numpy as np
import pytest

from hpo_cli.components.data.arrays import RawData
from hpo_cli.components.data.bundled import diabetes, digits
from hpo_cli.components.data.selection import keep_classes
from hpo_cli.components.data.split import prepare
from hpo_cli.errors import ConfigError

X = np.arange(8, dtype=np.float32)[:, None]
PETS = RawData(X, np.array([0, 1, 2, 3, 0, 1, 2, 3]), ("ant", "bee", "cat", "dog"), test=(X + 10, np.arange(8) % 4))


def test_others_are_dropped_and_labels_renumbered_in_the_old_order():
    kept = keep_classes(PETS, ["dog", "bee"], task="classification")
    assert kept.class_names == ("bee", "dog")
    np.testing.assert_array_equal(kept.x[:, 0], [1, 3, 5, 7])
    np.testing.assert_array_equal(kept.y, [0, 1, 0, 1])
    np.testing.assert_array_equal(kept.test[0][:, 0], [11, 13, 15, 17])
    np.testing.assert_array_equal(kept.test[1], [0, 1, 0, 1])
    assert kept.y.dtype == np.int64


def test_names_that_are_numbers_may_be_written_as_such():
    kept, raw = keep_classes(digits(), [0, "1", 4], task="classification"), digits()
    assert kept.class_names == ("0", "1", "4")
    np.testing.assert_array_equal(kept.x, raw.x[np.isin(raw.y, [0, 1, 4])])
    unnamed = keep_classes(RawData(X, np.arange(8) % 3), [0, 2], task="classification")
    assert unnamed.class_names == ("0", "2")


def test_all_classes_are_the_data_itself():
    kept = keep_classes(PETS, PETS.class_names, task="classification")
    np.testing.assert_array_equal(kept.y, PETS.y)
    assert kept.class_names == PETS.class_names


def test_the_split_and_its_statistics_are_those_of_the_kept_classes():
    keys = {"val_fraction": 0.2, "test_fraction": 0.2, "subset": 1.0, "standardize": True, "split_seed": 0}
    raw = digits()
    splits = prepare(raw, task="classification", classes=[3, 8], **keys)
    kept = np.isin(raw.y, [3, 8])
    alone = prepare(
        RawData(raw.x[kept], (raw.y[kept] == 8).astype(np.int64), ("3", "8")), task="classification", **keys
    )
    assert splits.spec == alone.spec
    np.testing.assert_array_equal(splits.train.x, alone.train.x)
    assert splits.train.x.mean() == pytest.approx(0, abs=1e-6)


REFUSED = [
    (["bea", "cat"], "data.classes=bea: no such class; did you mean bee?"),
    ([7, "cat"], "data.classes=7: no such class; the data has ant, bee, cat, dog"),
    (["cat", "cat"], "data.classes=cat: is named twice; name it once"),
    (["cat"], "data.classes=[cat]: needs two classes or more; the data has ant, bee, cat, dog"),
    ([], "data.classes=[]: needs two classes or more"),
]


@pytest.mark.parametrize(("classes", "line"), REFUSED)
def test_what_cannot_be_chosen_is_refused(classes, line):
    with pytest.raises(ConfigError) as caught:
        keep_classes(PETS, classes, task="classification")
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_all_wrong_names_come_at_once():
    with pytest.raises(ConfigError) as caught:
        keep_classes(PETS, ["x", "y", "ant"], task="classification")
    assert len(caught.value.problems) == 2


def test_numbers_have_no_classes():
    with pytest.raises(ConfigError, match=r"none to choose from \(data\.task=regression\)"):
        keep_classes(diabetes(), [1, 2], task="regression")
