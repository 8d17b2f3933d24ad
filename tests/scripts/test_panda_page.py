"""docs/panda.md: its commands exist, and its diary is the one that scripts/diary.py wrote."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hpo_cli.cli import VERBS
from tests.command_line import REPOSITORY, child

PAGE = (REPOSITORY / "docs" / "panda.md").read_text(encoding="utf-8")
SAID = re.findall(r"(?:`|\$ )hpo-run ([a-z][a-z-]+)(?= |`)", PAGE)
DIARY = PAGE.partition("<!-- the diary: written by scripts/diary.py -->")[2]


def test_the_page_speaks_of_verbs() -> None:
    assert len(SAID) > 20


@pytest.mark.parametrize("word", sorted(set(SAID)))
def test_each_verb_of_the_page_exists(word: str) -> None:
    assert word in VERBS


@pytest.mark.parametrize("verb", ["nudge", "rollback", "checkpoint", "branch", "twin", "tree", "replay", "export"])
def test_the_diary_used_it(verb: str) -> None:
    assert f"\n$ hpo-run {verb} first" in DIARY


def test_the_diary_says_when_and_where_it_was_written() -> None:
    assert re.search(r"Written by `python scripts/diary.py` on \d{4}-\d\d-\d\d, \w+, \d+ cores", DIARY)
    assert "identical" in DIARY


def test_the_automatic_hands_of_the_page_are_words_of_the_config(tmp_path: Path) -> None:
    (words,) = re.findall(r"^hpo-run (rescue\..*)$", PAGE, flags=re.MULTILINE)
    answer = child("--cfg", "job", *words.split(), cwd=tmp_path)
    assert answer.code == 0, answer.err
    assert "'nan': true" in answer.out
