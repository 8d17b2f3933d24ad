"""The words of commands that compose: overrides, a few flags, and the command that composes the same again."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo_cli.errors import UserError
from hpo_cli.verbs.composing import ComposeWords, composed, composing_parser, read_words


def read(*words: str) -> ComposeWords:
    return read_words(composing_parser("", about=""), words)[0]


def test_overrides_keep_their_order_and_flags_may_stand_anywhere(tmp_path: Path) -> None:
    found = read("lr=1", "--config-dir", str(tmp_path), "+a=2", "-cn", "main", "~b", "lr=3")
    assert found.overrides == ("lr=1", "+a=2", "~b", "lr=3")
    assert found.config_dir == tmp_path
    assert found.config_name == "main"


@pytest.mark.parametrize(
    "words", [[], ["lr=1"], ["tags=[a,'b c']", "~x"], ["--config-dir", "{}", "--config-name", "m", "a=b"]]
)
def test_the_command_reads_back_to_the_same_words(tmp_path: Path, words: list[str]) -> None:
    found = read(*(word.format(tmp_path) for word in words))
    name, *rest = found.command
    assert name == "hpo-run"
    assert read(*rest) == found


@pytest.mark.parametrize("words", [["--nope"], ["-x"], ["--config-dir", "nowhere"], ["--config-dir"], ["lr=1", "--lr"]])
def test_wrong_flags_are_refused(words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        read(*words)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fold", [(), ("data.fold=2",)])
def test_the_fitting_batch_size_of_a_cross_validation_is_that_of_a_fold(fold: tuple[str, ...]) -> None:
    words = ("data=iris", "data.folds=2", *fold, "trainer=cpu", "model.width=8")
    found = composed(read(*words, "batch_size=auto"))
    assert found.plan.batch_size == 64  # half of the 128 flowers that are not tested on
    assert found.words.overrides == (*words, "batch_size=64")
    assert found.plan.data.fold == (2 if fold else None)


@pytest.mark.parametrize("word", ["data.folds=some", "data.folds=1", "~data"])
def test_what_is_wrong_is_said_before_anything_is_measured(word: str) -> None:
    with pytest.raises(UserError) as caught:
        composed(read(word, "batch_size=auto"))
    assert "data" in str(caught.value)


def test_composed_gives_a_checked_plan() -> None:
    found = composed(read("epochs=3"))
    assert found.plan.epochs == 3
    assert found.composition.overrides == ("epochs=3",)
