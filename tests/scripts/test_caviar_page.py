"""docs/caviar.md: its commands exist, its words are words of a sweep, and its sweep is what scripts/caviar.py wrote."""

from __future__ import annotations

import re
import shlex
import sys

import pytest

from hpo_cli.cli import VERBS
from hpo_cli.options import SWEEP, list_options
from tests.command_line import REPOSITORY

PAGE = (REPOSITORY / "docs" / "caviar.md").read_text(encoding="utf-8")
GUIDE = PAGE.partition("<!-- the sweep: written by scripts/caviar.py -->")[0]
SAID = re.findall(r"(?:`|\$ |^)hpo-run ([a-z][a-z-]+)(?= |`)", GUIDE, flags=re.MULTILINE)
KEYS = set(re.findall(r"\bsweep\.([a-z_]+)(?==|`|\b)", GUIDE)) - {"jsonl", "lock", "db"}
METHODS = set(re.findall(r"^\| `([a-z]+)` \|", GUIDE, flags=re.MULTILINE))


def test_the_page_speaks_of_verbs() -> None:
    assert len(SAID) > 10


@pytest.mark.parametrize("word", sorted(set(SAID)))
def test_each_verb_of_the_page_exists(word: str) -> None:
    assert word in VERBS


def test_each_key_of_the_page_is_one_of_a_sweep() -> None:
    known = set(list_options(SWEEP)["default"].defaults)
    assert not KEYS - known
    assert len(KEYS) > 12


def test_the_table_has_every_search() -> None:
    assert not METHODS ^ (set(list_options(SWEEP)) - {"default"})


def test_the_script_sums_up_a_log(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
    import caviar

    settings = ({"optimizer": "sgd", "lr": 0.1}, {"optimizer": "sgd", "lr": 0.2}, {"optimizer": "adam", "lr": 1e-3})
    trials = [
        caviar.Trial(one, epoch, value) for one, epoch, value in zip(settings, (9, 1, 3), (0.7, 0.2, 0.8), strict=True)
    ]
    assert caviar.by_optimizer(trials) == [("`adam`", 1, 0, "0.8000", "0.001"), ("`sgd`", 2, 1, "0.7000", "0.1")]
    assert "3 trials took 13 epochs where 27 would" in caviar.learnt(trials)
    sys.modules.pop("caviar")


def test_the_commands_of_the_script_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))
    import caviar

    from hpo_cli.verbs.composing import ComposeWords
    from hpo_cli.verbs.multirun import ask, read

    for data in caviar.DATA.values():
        words = caviar.WORDS.format(data=data.words, optimizers=caviar.OPTIMIZERS, workers=2, sweep="x")
        asked = ask(read(ComposeWords(tuple(shlex.split(words)[1:]), None, "config")))
        assert asked.settings.trials == 40
        assert {one.keys[0] for one in asked.space.dimensions} >= {"optimizer"}
    sys.modules.pop("caviar")
