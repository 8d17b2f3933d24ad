from pydoc_data.topics import topics

import numpy as np
import pytest

from hpo_cli.components.data.split import prepare
from hpo_cli.components.data.text import text
from hpo_cli.errors import ConfigError


def decoded(tokens, names):
    return "".join(names[token] for token in tokens.reshape(-1))


@pytest.fixture
def file(tmp_path):
    def write(content, name="book.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def refusal(**keys):
    with pytest.raises(ConfigError) as caught:
        text(**keys)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def parts(raw, **keys):
    shares = {"val_fraction": 0.2, "test_fraction": 0.2, "subset": 1.0, "standardize": False, "split_seed": 0, **keys}
    return prepare(raw, task="language", **shares)


def test_decoding_the_windows_gives_the_text_back(file):
    content = "Ein Männlein steht im Walde,\r\nganz still und stumm. 🌲"
    raw = text(path=file(content), window=7)
    whole = len(content) - (len(content) - 1) % 7  # with the character after the last window
    assert decoded(raw.x, raw.class_names) == content[: whole - 1]
    assert decoded(raw.y, raw.class_names) == content[1:whole]
    assert raw.x.shape == raw.y.shape == ((len(content) - 1) // 7, 7)
    assert (raw.x.dtype, raw.y.dtype) == (np.int64, np.int64)
    assert raw.class_names == tuple(sorted(set(content)))
    assert (raw.task, raw.ordered) == ("language", True)


def test_the_next_character_of_a_position_is_the_input_of_the_one_after_it():
    raw = text(window=50)
    np.testing.assert_array_equal(raw.y.reshape(-1)[:-1], raw.x.reshape(-1)[1:])


def test_without_a_path_it_is_what_python_knows_of_itself():
    raw = text()
    expected = "\n".join(topics[name] for name in sorted(topics))
    assert decoded(raw.x, raw.class_names) == expected[: raw.x.size]
    assert len(expected) - raw.x.size <= 64
    np.testing.assert_array_equal(text().x, raw.x)


def test_lower_turns_capitals_into_small_letters(file):
    path = file("Aa Bb Cc Dd")
    assert text(path=path, window=2).class_names == tuple(" ABCDabcd")
    assert decoded((raw := text(path=path, window=2, lower=True)).x, raw.class_names) == "aa bb cc d"


def test_the_mark_at_the_start_of_a_file_is_no_character(file):
    raw = text(path=file(b"\xef\xbb\xbfabcabcabc"), window=2)
    assert raw.class_names == ("a", "b", "c")


def test_three_windows_are_the_least(file):
    assert text(path=file("abcabca"), window=2).x.shape == (3, 2)
    assert "data.window=3: the text has 7 characters, too few for 3 windows" in refusal(path=file("abcabca"), window=3)
    assert refusal(path=file("abcabca"), window=3).endswith("set at most data.window=2")
    assert text(path=file("abcabca"), window=2).x.shape == (3, 2)


@pytest.mark.parametrize("content", ["", "a", "abc"])
def test_a_text_without_room_for_any_window_is_refused(file, content):
    assert refusal(path=file(content)).endswith("name a longer text with data.path")


def test_files_that_are_no_text_are_refused(file, tmp_path):
    assert "is not text in UTF-8 (byte 3)" in refusal(path=file(b"abc\xff\xfe"))
    assert "cannot be read: No such file" in refusal(path=str(tmp_path / "nowhere.txt"))
    assert "cannot be read: Is a directory" in refusal(path=str(tmp_path))
    assert "the text is one character, repeated" in refusal(path=file("a" * 99), window=2)


def test_parts_follow_each_other_and_share_no_character_to_foretell():
    raw = text()
    splits = parts(raw, val_fraction=0.15, test_fraction=0.15)
    found = [splits.train, splits.val, splits.test]
    np.testing.assert_array_equal(np.concatenate([part.x for part in found]), raw.x)
    np.testing.assert_array_equal(np.concatenate([part.y for part in found]), raw.y)
    assert [len(part.x) for part in found] == [5086, 1090, 1090]
    assert all(part.x.dtype == part.y.dtype == np.int64 for part in found)


def test_what_a_model_must_know(file):
    raw = text(path=file("abcd" * 50), window=5)
    spec = parts(raw).spec
    assert (spec.task, spec.input_shape, spec.num_tokens, spec.class_names) == ("language", (5,), 4, tuple("abcd"))
    assert (spec.class_counts, spec.num_targets, spec.target_mean, spec.columns) == ({}, 1, None, None)


def test_a_subset_keeps_the_beginning_of_the_training_text():
    raw = text()
    full, thin = parts(raw), parts(raw, subset=0.1)
    np.testing.assert_array_equal(thin.train.x, raw.x[: round(0.1 * len(full.train.x))])
    np.testing.assert_array_equal(thin.val.x, full.val.x)
    np.testing.assert_array_equal(thin.test.y, full.test.y)


def test_the_split_seed_changes_nothing():
    raw = text()
    np.testing.assert_array_equal(parts(raw, split_seed=5).val.x, parts(raw).val.x)


def test_characters_cannot_be_standardised():
    with pytest.raises(ConfigError, match=r"data\.standardize=true: tokens have no mean; set data\.standardize=false"):
        parts(text(), standardize=True)
