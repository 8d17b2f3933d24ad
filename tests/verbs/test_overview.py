"""The help shows every verb, word, group, option and key there is, and names what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo_cli.cli import VERBS
from hpo_cli.options import GROUPS, list_options, main_config
from hpo_cli.verbs.overview import PURPOSES
from tests.command_line import call, refuse_in_one_line


def page(*words: str) -> str:
    answer = call(*words)
    assert answer.code == 0
    assert answer.err == ""
    return answer.out


def test_the_overview_has_everything() -> None:
    text = page("--help")
    assert text == page("-h")
    words = text.split()
    assert set(VERBS) <= set(words)
    for group in GROUPS:
        assert group in words
        for name in list_options(group):
            assert {name, f"{name},"} & set(words)
    for key, value in main_config().defaults.items():
        assert isinstance(value, dict) or f"  {key}=" in text


def test_every_verb_stands_under_what_it_is_for() -> None:
    placed = [verb for verbs in PURPOSES.values() for verb in verbs]
    assert sorted([*placed, "completion"]) == sorted(VERBS)
    text = page("--help")
    places = [text.index(f"\n{purpose}\n") for purpose in PURPOSES]
    assert places == sorted(places)
    assert text.index("  nudge ") < text.index("make runs from runs") < text.index("  branch ")
    assert all(len(line) <= 110 for line in text[: text.index("words  (key=value)")].splitlines())


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_describes_its_options_and_an_option_all_its_keys(group: str) -> None:
    text = " ".join(page("--help", group).split())
    for option in list_options(group).values():
        assert f"{group}={option.name} {option.description}" in text
        if group != "experiment":
            own = page("--help", f"{group}={option.name}")
            assert all(f"{group}.{key}=" in own for key in option.keys)


def test_an_option_shows_its_keys_with_defaults_rules_and_ranges() -> None:
    text = page("optimizer=momentum", "--help")
    assert "optimizer.momentum=0.9" in text
    assert "at least 0 and below 1" in text
    assert "try 0.001 .. 0.01 (log)" in text
    assert "optimizer=adam" not in text
    assert "one of auto, device, workers" in page("--help", "data=digits")
    assert "checkpoint.keep_last=2" in page("--help", "checkpoint")
    assert "  lr=" in page("--help", "lr")


@pytest.mark.parametrize("form", [["--config-dir", "{}"], ["-cd", "{}"], ["--config-dir={}"]])
def test_a_folder_of_ones_own_is_shown(tmp_path: Path, form: list[str]) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("# My net\n_target_: my.Net\nsize: 3 # of it\n")
    flags = [part.format(tmp_path) for part in form]
    assert "transformer, mine" in page(*flags, "--help")
    assert "My net" in page(*flags, "--help", "model")
    assert "model.size=3" in page("--help", "model=mine", *flags)
    assert "My net" not in page("--help")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["optimizr"], "optimizer"), (["optimizer=adm"], "adam"), (["epoch"], "epochs"), (["zzz"], "groups are"),
        (["--config-dir", "nowhere"], "no such folder"), (["--config-dri", "x"], "--config-dri"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused(words: list[str], meant: str) -> None:
    assert meant in refuse_in_one_line("--help", *words)


@pytest.mark.parametrize("flags", [["--resolve"], ["-m"]])
def test_other_flags_do_not_disturb(flags: list[str]) -> None:
    assert page("--help", *flags) == page("--help")
