"""What the words of a sweep ask for, decided before anything is trained: in this process, without one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpo_cli.errors import ConfigError
from hpo_cli.sweep.asked import Asked
from hpo_cli.sweep.fold import read_sweep
from hpo_cli.verbs.composing import ComposeWords, composing_parser, read_words
from hpo_cli.verbs.multirun import _existing, _take_over, ask, read
from hpo_cli.verbs.sweeping import begin, change, open_again
from tests.command_line import call, fast_yaml, refuse


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPO_RUN_OUTPUTS", raising=False)


def words(*given: str) -> ComposeWords:
    return read_words(composing_parser("", about=""), given)[0]


def asked(*given: str) -> Asked:
    with fast_yaml():
        return ask(read(words(*given)))


def listed(found: Asked) -> list[dict[str, Any]]:
    return [dict(setting) for setting in found.space.grid()]


def test_plain_lists_are_a_grid_in_hydras_order() -> None:
    found = asked("optimizer=adam,sgd", "lr=0.1,0.01", "epochs=3")
    assert (found.settings.search, found.settings.trials, found.base) == ("grid", 4, ("epochs=3",))
    assert listed(found) == [
        {"optimizer": "adam", "lr": 0.1}, {"optimizer": "adam", "lr": 0.01},
        {"optimizer": "sgd", "lr": 0.1}, {"optimizer": "sgd", "lr": 0.01},
    ]  # fmt: skip
    assert found.plan.epochs == 3


def test_a_range_is_a_random_search_of_twenty() -> None:
    found = asked("lr=interval(1e-4,1e-1)")
    assert (found.settings.search, found.settings.trials) == ("random", 20)


def test_without_anything_varied_it_is_one_trial() -> None:
    assert listed(asked("epochs=2")) == [{}]
    assert asked("epochs=2").settings.trials == 1


def test_a_search_without_ranges_takes_those_of_the_options() -> None:
    found = asked("optimizer=sgd,adam", "sweep=tpe", "sweep.trials=5")
    names = [one.name for one in found.space.dimensions]
    assert "optimizer" in names
    assert len(names) > 2
    for one in found.space.dimensions:
        only = {value for condition in one.when if condition.key == "optimizer" for value in condition.values}
        assert one.name == "optimizer" or only, "ranges of one option never reach another"


def test_several_aims_begin_with_the_runs_own() -> None:
    found = asked("lr=0.1,0.01", "objective=[val/accuracy,params]")
    assert [(aim.name, aim.mode) for aim in found.aims] == [("val/accuracy", "max"), ("params", "min")]
    assert found.plan.objective.name == "val/accuracy"


def test_seeds_and_folds_are_runs_of_a_trial() -> None:
    assert asked("lr=0.1,0.01", "sweep.seeds=3", "seed=5").inner == ({"seed": 5}, {"seed": 6}, {"seed": 7})
    assert asked("lr=0.1,0.01", "seed=1,2").inner == ({"seed": 1}, {"seed": 2})
    assert [dict(one) for one in asked("lr=0.1", "data.folds=2").inner] == [{"data.fold": 1}, {"data.fold": 2}]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["lr=0.1,0.01", "sweep.seeds=2", "seed=1,2"], "sweep.seeds=2: seed= lists them already"),
        (["lr=0.1,0.01", "sweep.trails=3"], "did you mean sweep.trials?"),
        (["lr=0.1,0.01", "sweep=tpee"], "tpe"),
        (["lrr=0.1,0.01"], "did you mean"),
        (["optimizer=adam,sgdd"], "did you mean sgd"),
        (["lr=0.1,0.01", "sweep.zip=[[lr,batch_size]]"], "batch_size"),
        (["lr=0.1,0.01", "batch_size=16,32,64", "sweep.zip=[[lr,batch_size]]"], "zip"),
        (["lr=0.1,0.01", "batch_size=auto"], "is measured for one model"),
        (["lr=interval(1e-4,1e-1)", "sweep=grid"], "lr"),
        (["model.width=16,32", "sweep=pbt"], "pbt"),
        (["lr=0.1,0.01", "sweep.resume=nowhere"], "no sweeps here yet"),
        (["seed=0,abc"], "seed=abc: must be a whole number"),
        (["seed=0,0"], "is listed twice (seed=0)"),
        (["data.folds=5", "data.fold=2,7,8"], "data.fold=8: must be 1 .. 5, as data.folds=5 says"),
        (["sweep=pbt", "model=mlp,cnn", "sweep.groups=[model]"], "none can change of what is searched here"),
        (["sweep=cmaes", "objective=[val/accuracy,params]"], "knows one objective, and there are 2"),
        (["lr=0.1,0.01", "hydra/launcher=nope"], "is no launcher that is installed"),
        (["lr=0.1,0.01", "sweep.mode=min"], "is not how a run is judged by val/accuracy (max)"),
        (["optimizer.lr=0.01", "lr=interval(1e-3,1e-1)"], "optimizer.lr: is the same quantity as lr, which is varied"),
    ],
)
def test_what_is_wrong_is_said_before_anything_begins(given: list[str], said: str, tmp_path: Path) -> None:
    with fast_yaml():
        text = refuse("-m", *given)
    assert said in text
    assert not [path for path in tmp_path.rglob("*") if path.is_file()], "nothing was made"


def begun(*given: str) -> Path:
    with fast_yaml():
        found = words(*given)
        return begin(ask(read(found)), found).state.folder


def test_another_sweep_in_the_same_folder_is_refused() -> None:
    folder = begun("lr=0.1,0.01", "epochs=2", "sweep.dir=one")
    with pytest.raises(ConfigError, match="the words of every trial were: epochs=2"), fast_yaml():
        change(open_again(folder), asked("lr=0.1,0.01", "epochs=3", "sweep.dir=one"), given=["dir"])
    assert "sweep.dir=one" in refuse("-m", "lr=0.1,0.01", "epochs=3", "sweep.dir=one")


def test_a_changed_space_is_told_as_a_difference_and_old_trials_stay() -> None:
    folder = begun("lr=interval(0.01,0.1)", "sweep.trials=3", "sweep.dir=one")
    with fast_yaml():
        lines = change(
            open_again(folder), asked("lr=interval(0.001,0.1)", "sweep.trials=9", "sweep.dir=one"), given=["trials"]
        )
    assert lines[0] == "sweep.trials: was 3, now 9"
    assert any(line.startswith("lr: was 0.01 .. 0.1") and "now 0.001 .. 0.1" in line for line in lines)
    state = read_sweep(folder)
    assert (state.settings.trials, state.space["lr"].low) == (9, 0.001)
    assert [event["changes"] for event in state.edits] == [lines]


def test_the_same_words_change_nothing() -> None:
    given = ("lr=0.1,0.01", "sweep.workers=1", "sweep.dir=one")
    folder = begun(*given)
    with fast_yaml():
        assert change(open_again(folder), asked(*given), given=["workers", "dir"]) == []
    assert not read_sweep(folder).edits


def test_help_names_it() -> None:
    assert "-m" in call("--help").out


def test_a_zipped_list_may_repeat_a_value() -> None:
    found = asked("lr=0.1,0.1,0.01", "batch_size=16,32,16", "sweep.zip=[[lr,batch_size]]")
    assert len(listed(found)) == 3


def resumed(folder: Path, *given: str) -> list[str]:
    with fast_yaml():
        return _take_over(open_again(folder), read(words(f"sweep.resume={folder}", *given)))


def test_words_of_the_sweep_alone_change_one_that_goes_on() -> None:
    folder = begun("lr=interval(0.01,0.1)", "sweep.trials=3", "sweep.dir=one", "sweep.eta=4")
    assert resumed(folder, "sweep.trials=30", "sweep.workers=2", "sweep.eta=4") == [
        "sweep.trials: was 3, now 30", "sweep.workers: was null, now 2",
    ]  # fmt: skip
    state = read_sweep(folder)
    assert (state.settings.trials, state.settings.workers, len(state.edits)) == (30, 2, 1)
    assert resumed(folder, "sweep.trials=30") == []
    assert len(read_sweep(folder).edits) == 1, "what holds already is no change"


@pytest.mark.parametrize("word", ["sweep.eta=5", "sweep=asha", "sweep.seed=7"])
def test_what_cannot_change_while_a_sweep_runs_is_refused_and_not_written(word: str) -> None:
    folder = begun("lr=interval(0.01,0.1)", "sweep.trials=3", "sweep.dir=one")
    before = (folder / "sweep.jsonl").read_bytes()
    with pytest.raises(ConfigError, match="cannot change while a sweep runs"):
        resumed(folder, "sweep.trials=30", word)
    assert (folder / "sweep.jsonl").read_bytes() == before


def test_it_is_kept_whether_the_words_said_how_many_trials() -> None:
    assert asked("lr=0.1,0.01").to_json()["open"] == ["trials"]
    assert asked("lr=0.1,0.01", "sweep.trials=2").to_json()["open"] == []


def test_a_log_that_a_kill_left_empty_is_begun_by_the_same_command() -> None:
    folder = Path("empty")
    folder.mkdir()
    (folder / "sweep.jsonl").touch()
    with fast_yaml():
        assert _existing(read(words("lr=0.01,0.1", f"sweep.dir={folder}"))) is None
    (folder / "sweep.jsonl").write_text('{"event": "began"}')
    with fast_yaml():
        assert _existing(read(words("lr=0.01,0.1", f"sweep.dir={folder}"))) == folder
