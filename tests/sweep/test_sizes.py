"""How many trials there will be, and what they are called as they stand."""

from __future__ import annotations

import pytest

from hpo_cli.sweep.sizes import known_total
from hpo_cli.sweep.space import Dimension, Space
from hpo_cli.sweep.standings import counted_words, standing_word
from tests.sweep_story import Story

SMALL = Space((Dimension("a", ("a",), choices=(1, 2, 3)), Dimension("b", ("b",), choices=(1, 2))))


def test_there_are_no_more_trials_than_settings() -> None:
    assert known_total(Story.begun(trials=50, space=SMALL).state()) == 6
    assert known_total(Story.begun(trials=4, space=SMALL).state()) == 4
    assert known_total(Story.begun(trials=50, space=SMALL, duplicates="allow").state()) == 50
    assert known_total(Story.begun(trials=50).state()) == 50
    assert known_total(Story.begun(trials=None).state()) is None


def test_what_was_refused_will_be_no_trial() -> None:
    story = Story.begun(trials=50, space=SMALL)
    story.tell("refused", setting={"a": 1, "b": 1}, reason="no")
    assert known_total(story.state()) == 5


def test_a_sensitivity_sweep_has_a_trial_for_each_other_value() -> None:
    space = Space((*SMALL.dimensions, Dimension("c", ("c",), low=0.0, high=1.0)))
    state = Story.begun(search="sensitivity", trials=None, points=5, space=space).state()
    assert known_total(state) == 1 + 2 + 1 + 4  # the middle of c is the base point


@pytest.mark.parametrize(
    ("scheduler", "word"), [("asha", "at its rung"), ("pbt", "waiting"), ("hyperband", "at its rung")]
)
def test_one_word_for_one_state(scheduler: str, word: str) -> None:
    state = Story.begun(scheduler=scheduler).state()
    assert standing_word("paused", state) == word
    assert standing_word("waiting", state) == "waiting"


def test_nobody_runs_in_a_sweep_that_died() -> None:
    state = Story.begun(scheduler="asha").state()
    counts = {"finished": 3, "running": 2, "paused": 1, "waiting": 4}
    assert counted_words(counts, state) == ["3 finished", "2 running", "4 waiting", "1 at its rung"]
    told = counted_words(counts, state, standing="died")
    assert told[1] == "2 were running (go on when it is resumed)"
    assert counted_words({"running": 1}, state, standing="died") == ["1 was running (goes on when it is resumed)"]


def test_in_a_population_all_that_wait_are_counted_together() -> None:
    state = Story.begun(scheduler="pbt").state()
    assert counted_words({"paused": 3, "waiting": 1}, state) == ["4 waiting"]
