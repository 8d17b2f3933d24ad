"""What every search must do, whatever its method."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any, get_args

import pytest

from hpo_cli.sweep.search.contract import Search
from hpo_cli.sweep.search.make import SEARCHES
from hpo_cli.sweep.settings import SearchName
from hpo_cli.sweep.space import Space
from hpo_cli.sweep.state import Run, Trial
from tests.sweep.search.spaces import BASE, FOUR, MIXED, bowl, search_of, sweep, trial

DRAWING = ["random", "qmc", "tpe", "gp", "cmaes", "zoom"]
LEARNING = ["tpe", "gp", "cmaes", "zoom"]
NUM = 16
STARTUP = {"startup": 5, "trials": NUM}


def _finite() -> Space:
    return Space(tuple(one for one in MIXED.dimensions if one.size is not None and one.name != "width"))


def _made(name: str, **changes: Any) -> Search:
    return search_of(name, _finite() if name == "grid" else MIXED, **{**STARTUP, **changes})


def _through_json(trials: list[Trial]) -> list[Trial]:
    found = []
    for one in trials:
        run = one.runs[0]
        values = None if run.values is None else tuple(json.loads(json.dumps(run.values)))
        reports = {int(k): tuple(v) for k, v in json.loads(json.dumps(run.reports)).items()}
        again = Run(0, run.folder, status=run.status, epoch=run.epoch, reports=reports, values=values, attempts=1)
        found.append(Trial(one.number, json.loads(json.dumps(dict(one.setting))), one.plan_id, [again]))
    return found


def test_the_suite_knows_every_search() -> None:
    assert set(SEARCHES) == set(get_args(SearchName)) == {*DRAWING, "grid", "sensitivity"}


@pytest.mark.parametrize("name", SEARCHES)
def test_every_setting_is_one_of_the_space(name: str) -> None:
    search = _made(name)
    space = replace(_finite() if name == "grid" else MIXED, base=BASE)
    trials = sweep(search, bowl, NUM)
    assert len(trials) == NUM
    for one in trials:
        if name == "sensitivity":  # leaves what another choice lets in at its default
            point = space.point(one.setting)
            assert set(one.setting) <= set(space.keys)
            assert all(space[key].contains(value) for key, value in point.items())
        else:
            assert space.contains(one.setting), one.setting


@pytest.mark.parametrize("name", SEARCHES)
def test_no_setting_has_a_key_of_an_option_that_was_not_chosen(name: str) -> None:
    for one in sweep(_made(name), bowl, NUM):
        if one.setting["optimizer"] == "adam":
            assert "optimizer.momentum" not in one.setting


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_made_again_proposes_what_the_living_one_does(name: str) -> None:
    living = _made(name)
    trials: list[Trial] = []
    for number in range(1, NUM + 1):
        trials = sweep(living, bowl, number, trials)
    assert len(trials) == NUM
    for known in (3, 7, 12, NUM):
        expected = living.propose(trials[:known], known + 1)
        assert _made(name).propose(trials[:known], known + 1) == expected
        assert _made(name).propose(_through_json(trials[:known]), known + 1) == expected


@pytest.mark.parametrize("name", DRAWING)
def test_another_seed_proposes_other_settings(name: str) -> None:
    first, second = (sweep(_made(name, seed=seed), bowl, 8) for seed in (0, 1))
    assert [one.setting for one in first] != [one.setting for one in second]


@pytest.mark.parametrize("name", SEARCHES)
def test_a_refused_setting_is_followed_by_another_one(name: str) -> None:
    search = _made(name)
    trials = sweep(search, bowl, 8)
    proposed = [search.propose(trials, 9, attempt=attempt) for attempt in range(8)]
    assert len({json.dumps(setting, sort_keys=True) for setting in proposed}) >= 7
    assert [search.propose(trials, 9, attempt=attempt) for attempt in range(8)] == proposed


@pytest.mark.parametrize("name", [name for name in SEARCHES if name != "sensitivity"])
def test_twelve_trials_on_four_choices_are_four_settings_and_then_the_end(name: str) -> None:
    search = search_of(name, FOUR, trials=12, startup=2)
    trials = sweep(search, bowl, 12)
    assert search.size == 4
    assert len(trials) == 4
    assert sorted((t.setting["optimizer"], t.setting["batch_size"]) for t in trials) == [
        ("adam", 16), ("adam", 32), ("sgd", 16), ("sgd", 32),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["random", "tpe", "gp", "cmaes", "zoom"])
def test_a_driver_that_allows_duplicates_is_never_told_of_an_end(name: str) -> None:
    search = search_of(name, FOUR, trials=12, startup=2)
    trials: list[Trial] = []
    for number in range(1, 13):
        setting = search.propose(trials, number)
        assert setting is not None
        trials.append(trial(number, setting, bowl(setting)))
    assert len({json.dumps(one.setting) for one in trials}) < 12


@pytest.mark.parametrize("name", SEARCHES)
def test_an_edit_takes_a_value_out_of_what_is_proposed_next(name: str) -> None:
    search = _made(name)
    trials = sweep(search, bowl, 10)
    space = (_finite() if name == "grid" else MIXED).without("optimizer", "adam").narrowed({"dropout": (0.0, 0.2)})
    search.narrow(space)
    more = sweep(search, bowl, 15, trials)[10:]
    assert len(more) == 5
    for one in more:
        assert one.setting["optimizer"] == "sgd"
        assert one.setting.get("dropout", 0.0) <= 0.2


@pytest.mark.parametrize("name", LEARNING)
def test_trials_from_before_an_edit_still_inform_the_search(name: str) -> None:
    """The best trial of the wide space lies in the narrow one: what comes next depends on where it lies."""
    narrow = MIXED.without("optimizer", "adam")
    changes = {**STARTUP, "zoom": 0.2}
    found = []
    for shift in (1.0, 10.0):
        old = sweep(
            search_of(name, MIXED, **changes),
            lambda s, by=shift: bowl({**s, "optimizer.lr": s["optimizer.lr"] * by}),
            30,
        )
        search = search_of(name, MIXED, **changes)
        search.narrow(narrow)
        found.append(search.propose(old, 31))
    assert found[0] != found[1]


@pytest.mark.parametrize("name", DRAWING)
def test_running_failed_and_paused_trials_and_missing_values_disturb_no_search(name: str) -> None:
    rng = random.Random(0)
    trials = []
    for number in range(1, 41):
        setting = MIXED.draw(rng)
        status = ("finished", "running", "failed", "paused", "stopped")[number % 5]
        value = None if number % 7 == 0 else bowl(setting)
        trials.append(trial(number, setting, value, status=status, epoch=9 if status == "finished" else number % 4))
    trials.append(Trial(41, MIXED.draw(rng), "p", [Run(0, "a"), Run(1, "b", status="running")]))
    trials[0].runs[0].values = (None,)
    search = _made(name)
    space = replace(MIXED, base=BASE)
    proposed = [search.propose(trials, 42, attempt=attempt) for attempt in range(3)]
    assert all(setting is not None and space.contains(setting) for setting in proposed)


@pytest.mark.parametrize("name", LEARNING)
def test_nothing_that_ended_has_a_value_and_the_search_goes_on(name: str) -> None:
    trials = [trial(n, MIXED.draw(random.Random(n)), status="failed") for n in range(1, 31)]
    assert _made(name).propose(trials, 31) is not None


@pytest.mark.parametrize("name", LEARNING)
def test_slots_that_work_at_the_same_time_get_different_settings(name: str) -> None:
    search = _made(name)
    trials = sweep(search, bowl, 12)
    for number in range(13, 17):
        setting = search.propose(trials, number)
        assert setting is not None
        assert dict(setting) not in [dict(one.setting) for one in trials]
        trials.append(trial(number, setting, status="running", epoch=0))


@pytest.mark.parametrize("name", DRAWING)
def test_a_trial_that_ends_between_two_questions_changes_what_a_living_search_knows(name: str) -> None:
    """It looks at trials again only where they changed; that must never show."""
    living = _made(name)
    trials = sweep(living, bowl, 8)
    trials += [trial(n, MIXED.draw(random.Random(n)), status="running", epoch=0) for n in (9, 10)]
    living.propose(trials, 11)
    for one in trials[8:]:
        one.runs[0].status, one.runs[0].values, one.runs[0].reports = "finished", (0.0,), {1: (0.0,)}
        assert living.propose(trials, 11) == _made(name).propose(trials, 11)
    trials[8].runs[0].reports = {1: (5.0,), 2: (4.0,)}
    assert _made(name).propose(trials, 11) is not None


@pytest.mark.parametrize("name", DRAWING)
def test_a_search_that_is_shown_another_sweep_forgets_the_first(name: str) -> None:
    search = _made(name)
    sweep(search, bowl, 12)
    other = sweep(_made(name, seed=5), bowl, 10)
    assert search.propose(other, 11) == _made(name).propose(other, 11)
