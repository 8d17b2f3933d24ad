"""The keys `sweep.*`: every wrong word at once, what is null decided by the space, what is meaningless refused."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from hpo_cli.errors import ConfigError
from hpo_cli.grammar import sweep_settings
from hpo_cli.options import SWEEP, list_groups, list_options
from hpo_cli.sweep.settings import SweepSettings, decide, trials_anew
from hpo_cli.sweep.space import Dimension, Space
from tests.command_line import problems_of

if TYPE_CHECKING:
    from pathlib import Path

LISTS = Space(
    (Dimension("lr", ("lr",), choices=(1, 2, 3)), Dimension("e", ("epochs",), low=1, high=4, step=1, kind="int"))
)
RANGE = Space((Dimension("lr", ("lr",), low=0.1, high=1),))


def problems(*words: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        sweep_settings(words)
    return str(caught.value).splitlines()


def test_the_record_has_the_keys_of_the_file() -> None:
    fields = {field.name for field in dataclasses.fields(SweepSettings)} - {"option"}
    assert fields == set(list_options(SWEEP)["default"].keys)


def test_an_option_sets_its_keys_and_words_win() -> None:
    found = sweep_settings(["sweep.trials=7", "sweep=asha", "sweep.zip=[[lr,batch_size]]", "sweep.factors=[1,2]"])
    assert (found.option, found.search, found.scheduler, found.trials) == ("asha", "random", "asha", 7)
    assert found.zip == (("lr", "batch_size"),)
    assert found.factors == (1.0, 2.0)
    assert sweep_settings([]).search is None
    assert (sweep_settings(["sweep=bohb"]).search, sweep_settings(["sweep=bohb"]).scheduler) == ("tpe", "hyperband")


def test_everything_that_is_wrong_is_told_at_once() -> None:
    words = ("sweep=asah", "sweep.trails=5", "sweep.eta=1", "sweep.groups=[optimiser]", "sweep.target=high", "lr=3")
    lines = {line.partition(":")[0]: line for line in problems(*words)}
    assert lines["sweep=asah"].endswith("did you mean asha?")
    assert lines["sweep.trails=5"].endswith("did you mean sweep.trials?")
    assert lines["sweep.eta=1"].endswith("must be at least 2")
    assert lines["sweep.groups=optimiser"].endswith("did you mean optimizer?")
    assert {"sweep.target=high", "lr=3"} <= set(lines)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("sweep=pbt", "sweep.search=grid"), "draws its members at once, and grid does not"),
        (("sweep=pbt", "sweep.search=tpe"), "set sweep.search=random or qmc"),
        (("sweep=sensitivity", "sweep.scheduler=asha"), "compares what they reach in the same time"),
        (("sweep.dir=a", "sweep.resume=b"), "give one of them"), (("sweep.zip=[lr,x]",), "a list of lists of keys"),
        (("sweep.trials=0",), "at least 1"), (("sweep.trials=",), "must be a whole number"),
        (("sweep.retries=1.5",), "whole number"),
    ],
)  # fmt: skip
def test_what_is_meaningless_is_refused(words: tuple[str, ...], line: str) -> None:
    (found,) = problems(*words)
    assert line in found


@pytest.mark.parametrize("search", ["grid", "random", "qmc", "tpe", "gp", "cmaes", "zoom"])
@pytest.mark.parametrize("scheduler", ["none", "median", "plateau", "asha", "hyperband"])
def test_any_search_goes_with_any_other_scheduler(search: str, scheduler: str) -> None:
    found = sweep_settings([f"sweep.search={search}", f"sweep.scheduler={scheduler}"])
    assert decide(found, LISTS).scheduler == scheduler


@pytest.mark.parametrize(
    ("words", "space", "search", "trials"),
    [
        ((), LISTS, "grid", 12), ((), RANGE, "random", 20), ((), Space(()), "grid", 1),
        (("sweep=tpe",), LISTS, "tpe", 20),
        (("sweep.trials=5",), LISTS, "grid", 5), (("sweep.trials=50",), LISTS, "grid", 12),
        (("sweep=pbt",), RANGE, "random", 8),
        (("sweep=random",), Space(()), "random", 1), (("sweep.scheduler=pbt",), LISTS, "random", 8),
        (("sweep=sensitivity",), RANGE, "sensitivity", None), (("sweep=asha",), RANGE, "random", 60),
    ],
)  # fmt: skip
def test_null_is_decided_by_the_space(words: tuple[str, ...], space: Space, search: str, trials: int | None) -> None:
    found = decide(sweep_settings(words), space)
    assert (found.search, found.trials) == (search, trials)


def test_a_grid_of_a_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"lr: is a range without steps .* write lr=range\(low,high,step\)"):
        decide(sweep_settings(["sweep=grid"]), RANGE)


def test_a_way_of_ones_own_needs_only_what_it_changes(tmp_path: Path) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "short.yaml").write_text("# Mine\nsearch: tpe\ntrials: 3\n")
    found = sweep_settings(["sweep=short"], config_dir=tmp_path)
    assert (found.search, found.trials, found.eta) == ("tpe", 3, 3)
    assert SWEEP not in list_groups(config_dir=tmp_path)


def test_words_of_a_sweep_without_m_are_refused_with_the_way_out() -> None:
    lines = problems_of("sweep=tpe", "sweep.trials=5", "lr=1,2")
    assert [line.rpartition("; ")[2] for line in lines] == [
        "add -m", "add -m", "give one value, or a list as [a,b]; add -m for a sweep".rpartition("; ")[2],
    ]  # fmt: skip
    assert all("sweep" in line for line in lines)


def test_help_lists_the_ways_and_their_keys(capsys: pytest.CaptureFixture[str]) -> None:
    text = _help(capsys, "sweep")
    assert "sweep=asha" in text
    assert "sweep.trials=null" in text
    assert "sweep.scheduler=asha" in _help(capsys, "sweep=asha")
    assert "batch_size=32" in _help(capsys, "batch")
    assert "with schedule.mode=exp_range" in _help(capsys, "schedule=cyclical")


def _help(capsys: pytest.CaptureFixture[str], topic: str) -> str:
    from hpo_cli.cli import main

    assert main(["--help", topic]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("sweep.dir=", "sweep.dir=: must be a folder"),
        ("sweep.resume=", "sweep.resume=: must be a folder"),
        ("sweep.factors=[]", "sweep.factors=[]: must name a factor"),
        ("sweep.storage=foo", "must be a URL, none or null; write sweep.storage=sqlite:///sweep.db"),
    ],
)
def test_values_without_a_meaning_are_refused(word: str, line: str) -> None:
    (said,) = problems(word)
    assert line in said


def test_a_grid_beyond_a_million_settings_is_not_listed() -> None:
    many = tuple(Dimension(name, (name,), low=1, high=1001, kind="int", step=1) for name in ("model.width", "epochs"))
    with pytest.raises(ConfigError, match="would list 1,002,001 settings"):
        decide(sweep_settings(["sweep=grid"]), Space(many))
    assert decide(sweep_settings(["sweep=random"]), Space(many)).trials == 20


def test_a_number_of_trials_that_was_left_open_follows_the_space() -> None:
    two, three = (Space((Dimension("lr", ("lr",), choices=tuple(range(n))),)) for n in (2, 3))
    was = decide(sweep_settings([]), two)
    assert trials_anew(was, was, space=two, new=three) is None  # a grid ends by itself
    drawn = decide(sweep_settings(["sweep=random"]), RANGE)
    assert trials_anew(drawn, drawn, space=RANGE, new=RANGE) == 20
    given = dataclasses.replace(was, trials=1)
    assert trials_anew(given, given, space=two, new=three) == 1
    with pytest.raises(ConfigError, match="a grid lists its values"):
        trials_anew(was, was, space=two, new=RANGE)
