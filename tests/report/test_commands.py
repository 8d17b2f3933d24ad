"""What a report tells people to type is what they would have to type."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from hpo_cli.report import commands
from hpo_cli.report.leaderboard import leaderboard
from hpo_cli.sweep.fold import SweepState
from tests.report.sweeps import read

VALUES = [
    0.01,
    1e-5,
    3,
    True,
    None,
    "adam",
    "a b",
    "it's",
    "a,b",
    "[x]",
    [0.9, 0.99],
    {"gamma": 2.0},
    "",
    "1e3",
    "null",
]


def parsed(command: str) -> dict[str, Any]:
    """Key -> value of the overrides, as Hydra's own parser reads them."""
    words = [word for word in shlex.split(command)[1:] if not word.startswith("-")]
    return {one.key_or_group: plain(one) for one in OverridesParser.create().parse_overrides(words)}


def plain(one: Any) -> Any:
    if one.is_choice_sweep():
        return list(one.sweep_iterator())
    value = one.value()
    return value.text if hasattr(value, "text") else value


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_every_value_comes_back_as_it_was(value: Any) -> None:
    (one,) = OverridesParser.create().parse_overrides([commands.word("key", value)])
    found = plain(one)
    if isinstance(value, str) and value not in ("1e3", "null"):
        assert str(found) == value
    elif not isinstance(value, str):
        assert found == value
        assert type(found) is type(value)


def best(state: SweepState, num: int = 2) -> list[Any]:
    return [state.trial(row.trial) for row in leaderboard(state)[:num]]


def test_the_winner_is_trained_by_the_words_of_its_trial(tmp_path: Path) -> None:
    state = read(tmp_path)
    (trial,) = best(state, 1)
    found = parsed(commands.train(state, trial))
    assert {key: found[key] for key in trial.setting} == trial.setting
    assert found["epochs"] == 9


def test_the_winner_is_raised_for_longer(tmp_path: Path) -> None:
    state = read(tmp_path)
    (trial,) = best(state, 1)
    assert commands.raise_as_panda(state, trial) == "hpo-run resume=best:3f9c12 epochs=45"


def test_five_times_the_epochs_of_its_own_plan_where_epochs_are_varied(tmp_path: Path) -> None:
    state = read(tmp_path)
    (trial,) = best(state, 1)
    folder = state.folder / trial.runs[0].folder
    folder.mkdir()
    (folder / "plan.yaml").write_text("epochs: 4\n")
    assert commands.raise_as_panda(state, trial).endswith(" epochs=20")


def test_the_winner_computes_with_as_many_threads_as_it_had(tmp_path: Path) -> None:
    state = read(tmp_path)
    (trial,) = best(state, 1)
    assert commands.train(state, trial, threads=2).endswith(" trainer.threads=2")
    given = commands.train(state, replace(trial, proposed={"words": ["trainer.threads=1"]}), threads=2)
    assert given == "hpo-run trainer.threads=1"


def test_the_sweep_is_repeated_by_its_own_words(tmp_path: Path) -> None:
    state = read(tmp_path)
    assert shlex.split(commands.repeat(state))[2:] == state.began["words"]


def test_two_settings_of_the_same_keys_are_zipped_into_one_command(tmp_path: Path) -> None:
    state = read(tmp_path)
    adam = [trial for trial in best(state, 30) if trial.setting["optimizer"] == "adam"][:2]
    (command,) = commands.with_seeds(state, adam, seeds=7)
    found = parsed(command)
    assert found["lr"] == [trial.setting["lr"] for trial in adam]
    assert found["optimizer"] == "adam"
    assert (found["sweep.seeds"], found["data"]) == (7, "digits")
    (zipped,) = found["sweep.zip"]
    assert set(zipped) == {key for key in adam[0].setting if adam[0].setting[key] != adam[1].setting[key]}


def test_settings_of_different_keys_get_a_command_each(tmp_path: Path) -> None:
    state = read(tmp_path)
    both = [next(trial for trial in best(state, 30) if trial.setting["optimizer"] == name) for name in ("adam", "sgd")]
    found = [parsed(command) for command in commands.with_seeds(state, both)]
    assert [one["lr"] for one in found] == [trial.setting["lr"] for trial in both]
    assert all(one["sweep.seeds"] == 5 and "sweep.zip" not in one for one in found)


def test_a_branch_leaves_its_parent_at_the_step_that_was_decided_then(tmp_path: Path) -> None:
    state = read(tmp_path)
    (trial,) = best(state, 1)
    alone = shlex.split(commands.train(state, trial))[1:]
    assert "branch" not in alone
    state.began["parent"] = {"run": "/runs/a1b2c3", "at": "best", "step": 16}
    assert shlex.split(commands.train(state, trial))[1:] == ["branch", "/runs/a1b2c3", "--at", "step=16", *alone]


def test_no_seeds_tell_branches_or_members_of_a_population_apart(tmp_path: Path) -> None:
    state = read(tmp_path)
    pair = best(state, 2)
    assert commands.with_seeds(state, pair)
    assert not commands.why_no_seeds(state, pair)
    pair[0].num_adopted = 1
    assert commands.with_seeds(state, pair) == []
    assert "population" in commands.why_no_seeds(state, pair)
    pair[0].num_adopted = 0
    state.began["parent"] = {"run": "/runs/a1b2c3", "at": "best", "step": 16}
    assert commands.with_seeds(state, pair) == []
    assert "the same state" in commands.why_no_seeds(state, pair)


def test_frozen_options_of_ones_own_are_named(tmp_path: Path) -> None:
    state = read(tmp_path)
    (trial,) = best(state, 1)
    state.began |= {"config_dir": "/home/ada/mine", "config_name": "other"}
    words = shlex.split(commands.train(state, trial))
    assert words[1:5] == ["--config-dir", str(state.folder / "conf"), "--config-name", "other"]
