import builtins
import datetime as dt
import gzip

import numpy as np
import pandas as pd
import pytest

from hpo_cli.components.data.arrays import TargetColumn
from hpo_cli.components.data.split import prepare
from hpo_cli.components.data.tables import table
from hpo_cli.errors import ConfigError

GOOD = "length,width,species\n1.5,2,iris\n2.5,3,aster\n3.5,4,iris\n4.5,5,rose\n"


@pytest.fixture
def csv(tmp_path):
    def write(content, name="flowers.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


def refusal(**keys):
    with pytest.raises(ConfigError) as caught:
        table(**{"task": "classification", "target": "species", **keys})
    lines = [str(problem) for problem in caught.value.problems]
    assert all("\n" not in line for line in lines)
    return "\n".join(lines)


def test_a_csv_of_named_classes(csv):
    raw = table(path=csv(GOOD), target="species", task="classification")
    np.testing.assert_array_equal(raw.x, np.array([[1.5, 2], [2.5, 3], [3.5, 4], [4.5, 5]], dtype=np.float32))
    assert raw.x.dtype == np.float32
    assert raw.class_names == ("aster", "iris", "rose")
    np.testing.assert_array_equal(raw.y, [1, 0, 1, 2])
    assert raw.y.dtype == np.int64


def test_whole_number_classes_are_sorted_as_numbers(csv):
    raw = table(path=csv("a,species\n1,10\n2,9\n3,-1\n4,10.0\n"), target="species", task="classification")
    assert raw.class_names == ("-1", "9", "10")
    np.testing.assert_array_equal(raw.y, [2, 1, 0, 2])


def test_true_and_false_are_classes_and_numbers(csv):
    raw = table(path=csv("a,species\nTrue,False\nFalse,True\n"), target="species", task="classification")
    assert raw.class_names == ("False", "True")
    np.testing.assert_array_equal(raw.x, [[1], [0]])


def test_regression_on_one_and_on_several_targets(csv):
    path = csv("a,b,c\n1,2,3\n4,5,7\n")
    one = table(path=path, target="b", task="regression")
    np.testing.assert_array_equal(one.x, [[1, 3], [4, 7]])
    np.testing.assert_array_equal(one.y, [[2], [5]])
    assert (one.y.dtype, one.class_names) == (np.float32, None)
    two = table(path=path, target=["c", "a"], task="regression")
    np.testing.assert_array_equal(two.y, [[3, 1], [7, 4]])


MIXED = "a,kind,price,grade,sold\n1,cat,2.5,3,True\n2,dog,3.5,1,False\n3,cat,4.5,3,True\n4,emu,5.5,2,True\n"


def test_several_targets_are_classes_or_numbers_by_what_they_hold(csv):
    raw = table(path=csv(MIXED), target=["price", "kind", "sold", "grade"], task="several")
    assert raw.columns == (
        TargetColumn("price"),
        TargetColumn("kind", ("cat", "dog", "emu")),
        TargetColumn("sold", ("False", "True")),
        TargetColumn("grade"),
    )
    np.testing.assert_array_equal(raw.y, [[2.5, 0, 1, 3], [3.5, 1, 0, 1], [4.5, 0, 1, 3], [5.5, 2, 1, 2]])
    assert (raw.y.dtype, raw.task, raw.class_names) == (np.float32, "several", None)
    assert raw.feature_names == ("a",)


def test_a_column_of_numbers_is_a_class_when_it_is_named_so(csv):
    raw = table(
        path=csv(MIXED), target=["kind", "grade"], task="several", drop=["price", "sold"], class_targets=["grade"]
    )
    assert raw.columns[1] == TargetColumn("grade", ("1", "2", "3"))
    np.testing.assert_array_equal(raw.y[:, 1], [2, 0, 2, 1])


SEVERAL_REFUSED = {
    "one column": ({"target": "kind"}, "data.target=[kind]: several needs two target columns or more"),
    "no target": (
        {"class_targets": ["grad"]},
        "data.class_targets=[grad]: 'grad' is no target column; did you mean grade?",
    ),
    "fractions": ({"class_targets": ["price"]}, "data.target=price: is no class column"),
    "other task": (
        {"task": "regression", "target": ["grade", "price"], "class_targets": ["grade"]},
        "data.class_targets=[grade]: has no effect with data.task=regression",
    ),
}


@pytest.mark.parametrize("case", SEVERAL_REFUSED)
def test_several_targets_that_do_not_fit_are_refused(csv, case):
    keys, expected = SEVERAL_REFUSED[case]
    defaults = {"task": "several", "target": ["kind", "price", "grade"], "drop": ["sold"]}
    assert refusal(path=csv(MIXED), **{**defaults, **keys}).startswith(expected)


def test_missing_values_in_several_targets_are_refused(csv):
    keys = {"task": "several", "target": ["kind", "price"], "drop": ["sold"]}
    assert "data.target=price: has 1 empty" in refusal(path=csv(MIXED.replace(",2.5,", ",,")), **keys)
    assert "data.target=kind: has 1 empty" in refusal(path=csv(MIXED.replace("emu", "")), **keys)


def test_columns_are_dropped(csv):
    raw = table(path=csv("id,a,y\nx1,1,0\nx2,2,1\n"), target="y", task="classification", drop=["id"])
    np.testing.assert_array_equal(raw.x, [[1], [2]])


@pytest.mark.parametrize(("separator", "mark"), [(";", ";"), ("tab", "\t"), ("\t", "\t"), ("|", "|")])
def test_other_separators(csv, separator, mark):
    path = csv(GOOD.replace(",", mark))
    raw = table(path=path, target="species", task="classification", separator=separator)
    assert raw.x.shape == (4, 2)


def test_spaces_after_commas_a_byte_order_mark_and_gzip(csv, tmp_path):
    plain = table(path=csv(GOOD), target="species", task="classification")
    spaced = b"\xef\xbb\xbf" + GOOD.replace(",", ", ").encode()
    for path in (csv(spaced), csv(gzip.compress(GOOD.encode()), "flowers.csv.gz")):
        raw = table(path=path, target="species", task="classification")
        np.testing.assert_array_equal(raw.x, plain.x)
        assert raw.class_names == plain.class_names


def test_parquet_equals_csv(csv, tmp_path):
    path = csv(GOOD)
    pd.read_csv(path).to_parquet(tmp_path / "flowers.parquet")
    one = table(path=path, target="species", task="classification")
    other = table(path=str(tmp_path / "flowers.parquet"), target="species", task="classification")
    np.testing.assert_array_equal(one.x, other.x)
    np.testing.assert_array_equal(one.y, other.y)


def test_a_table_can_be_split(csv):
    rows = "\n".join(f"{i},{i % 3},{'ab'[i % 2]}" for i in range(40))
    raw = table(path=csv(f"p,q,species\n{rows}\n"), target="species", task="classification")
    splits = prepare(
        raw, task="classification", val_fraction=0.2, test_fraction=0.2, subset=1, standardize=True, split_seed=0
    )
    assert splits.spec.class_counts["train"] == {"a": 12, "b": 12}


BAD_FILES = {
    "empty": ("", "is empty"),
    "blank": ("\n\n\n", "is empty"),
    "header only": ("length,species\n", "has a header but no rows"),
    "latin-1": ("länge,species\n1,a\n".encode("latin-1"), "is not text in UTF-8"),
    "a picture": (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "is not text in UTF-8"),
    "zeros": (b"\x00" * 64, "has a header but no rows"),
    "ragged": ("a,species\n1,x\n1,2,3,4\n", "cannot be read: "),
    "long rows": ("a,species\n1,2,x\n1,2,y\n", "more fields than its header"),
    "open quote": ('a,species\n1,"x\n', "cannot be read: "),
    "twice": ("a,a,species,species\n1,2,x,y\n", "names columns twice: 'a', 'species'"),
    "unknown target": ("length,specie\n1,x\n", "data.target=species: no such column; did you mean specie?"),
    "far target": ("length,flower\n1,x\n", "no such column; the file has 'length', 'flower'"),
    "wrong separator": ("length;species\n1;x\n", "set data.separator=';'"),
    "tabs": ("length\tspecies\n1\tx\n", "set data.separator='tab'"),
    "text among numbers": (
        "a,b,species\n1,2,x\n2,oops,y\n3,what,y\n4,4,y\n5,5,y\n",
        "column 'b' has 'oops' in row 2 among its numbers",
    ),
    "text features": (
        "city,a,two words,species\nParis,1,b,x\nRome,2,c,y\n",
        (
            "columns 'city', 'two words' hold no numbers, and features must be numbers; leave them out with "
            '\'data.drop=["city","two words"]\''
        ),
    ),
    "empty feature": (
        "a,b,species\n1,,x\n2,3,y\n4,,y\n",
        "in column 'b' (2); fill them in, remove those rows, or data.drop=[b]",
    ),
    "empty column": ("a,b,species\n1,,x\n2,,y\n", "in column 'b' (2)"),
    "infinite feature": ("a,b,species\n1,inf,x\n2,3,y\n", "in column 'b' (1)"),
    "too large for float32": ("a,b,species\n1,1e39,x\n2,3,y\n", "in column 'b' (1)"),
    "empty class": ("a,species\n1,\n2,y\n3,z\n", "data.target=species: has 1 empty or NA values"),
    "one class": ("a,species\n1,x\n2,x\n", "data.target=species: has one value only, 'x'"),
    "fractions": ("a,species\n1,0.5\n2,0.7\n", "set data.task=regression"),
    "no features": ("species\nx\ny\n", "leaves no feature column"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_csv_is_refused_on_one_line(csv, case):
    content, expected = BAD_FILES[case]
    assert expected in refusal(path=csv(content))


BAD_TARGETS = {
    "text": ("a,y\n1,2\n2,few\n", "data.target=y: has 'few' in row 2, and regression needs numbers"),
    "names": ("a,y\n1,u\n2,v\n", "data.target=y: has 'u' in row 1, and regression needs numbers"),
    "missing": ("a,y\n1,2\n2,\n3,4\n", "data.target=y: has 1 empty, NaN or infinite values"),
    "constant": ("a,y\n1,2.5\n2,2.5\n", "data.target=y: has one value only, '2.5'"),
}


@pytest.mark.parametrize("case", BAD_TARGETS)
def test_a_bad_regression_target_is_refused(csv, case):
    content, expected = BAD_TARGETS[case]
    assert expected in refusal(path=csv(content), target="y", task="regression")


def test_problems_with_columns_come_together(csv):
    lines = refusal(path=csv(GOOD), target="spezies", drop=["lenght", "widht"]).splitlines()
    assert len(lines) == 3
    assert [line.split(":")[0] for line in lines] == ["data.target=spezies", "data.drop=lenght", "data.drop=widht"]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"drop": ["species"]}, "data.drop=species: is the target column too"),
        ({"drop": ["length", "width"]}, "leaves no feature column"),
        ({"target": ["species", "length"]}, "classification has one target column"),
        ({"target": []}, "data.target=[]: names no column"),
        ({"separator": "::"}, "data.separator=::: must be one character"),
    ],
)
def test_keys_that_do_not_fit_the_file(csv, keys, expected):
    assert expected in refusal(path=csv(GOOD), **keys)


def test_many_bad_columns_are_shortened(csv):
    names = ",".join(f"c{i}" for i in range(9))
    line = refusal(path=csv(f"a,{names},species\n1,{'u,' * 9}x\n2,{'v,' * 9}y\n"))
    assert "'c4' and 4 more hold no numbers" in line


def test_a_missing_file_offers_a_near_name(csv, tmp_path):
    csv(GOOD)
    assert refusal(path=str(tmp_path / "flower.csv")).endswith("there is no such file; did you mean flowers.csv?")
    assert "files there: flowers.csv" in refusal(path=str(tmp_path / "zzz"))
    assert "is a folder, not a file; files there: flowers.csv" in refusal(path=str(tmp_path))
    assert "does not exist either" in refusal(path=str(tmp_path / "nowhere" / "x.csv"))


@pytest.mark.parametrize("damage", [lambda content: content[:-20], lambda _: b"", lambda _: b"PAR1" * 40])
def test_a_torn_parquet_is_refused(tmp_path, damage):
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": [1.0, 2.0], "species": ["x", "y"]}).to_parquet(path)
    path.write_bytes(damage(path.read_bytes()))
    assert "cannot be read: " in refusal(path=str(path))


def test_a_torn_gzip_is_refused(csv):
    packed = gzip.compress((GOOD + "1,2,iris\n" * 500).encode())
    assert "cannot be read: " in refusal(path=csv(packed[:-30], "t.csv.gz"))


def test_parquet_dates_and_categories_are_no_numbers(tmp_path):
    path = tmp_path / "t.parquet"
    day = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    frame = pd.DataFrame({"when": [day, day], "kind": pd.Categorical(["u", "v"]), "a": [1, 2], "species": ["x", "y"]})
    frame.to_parquet(path)
    assert "columns 'when', 'kind' hold no numbers" in refusal(path=str(path))


def test_parquet_nulls_in_whole_numbers_are_found(tmp_path):
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "species": ["x", "y"]}).to_parquet(path)
    assert "in column 'a' (1)" in refusal(path=str(path))


@pytest.mark.parametrize("package", ["pandas", "pyarrow"])
def test_without_a_package_the_extra_is_named(monkeypatch, tmp_path, package):
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": [1, 2], "species": ["x", "y"]}).to_parquet(path)
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.split(".")[0] == package:
            raise ImportError(name=package)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    monkeypatch.setattr("importlib.import_module", missing)
    line = refusal(path=str(path))
    assert "pip install 'hpo-run[tables]'" in line
    assert package in line
