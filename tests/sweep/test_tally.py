from __future__ import annotations

from hpo_cli.report.leaderboard import leaderboard
from hpo_cli.sweep.tally import Tally
from tests.sweep_story import Story


def test_what_happens_is_told_once() -> None:
    story, tally = Story.begun().joined(), Tally()
    first, second = story.propose(optimizer="adam"), story.propose(optimizer="sgd")
    state = story.start(first).start(second).state()
    assert tally.take(state) == []
    story.end(first, values=[0.8], seconds=3.0)
    news = tally.take(story.state(state))
    assert [(one.trial.number, one.what, one.is_best) for one in news] == [(1, "finished", True)]
    assert tally.take(state) == []
    story.end(second, "failed", epoch=2, reason="nan")
    assert [(one.trial.number, one.what, one.is_best) for one in tally.take(story.state(state))] == [
        (2, "failed", False)
    ]
    assert (tally.done, tally.seconds, tally.epochs) == (2, 3.0, 12)
    assert tally.counts(state) == {"finished": 1, "running": 0, "waiting": 0, "paused": 0, "stopped": 0, "failed": 1}


def test_a_lost_run_is_told_and_goes_on() -> None:
    story, tally = Story.begun().joined(), Tally()
    number = story.propose(optimizer="adam")
    state = story.start(number).state()
    tally.take(state)
    story.end(number, "lost", epoch=1, reason="killed")
    assert [one.what for one in tally.take(story.state(state))] == ["lost"]
    assert tally.take(state) == []
    story.start(number).end(number, values=[0.5])
    assert [one.what for one in tally.take(story.state(state))] == ["finished"]


def test_a_promotion_is_counted_once() -> None:
    story, tally = Story.begun(scheduler="asha").joined(), Tally()
    number = story.propose(until=1, optimizer="adam")
    story.start(number).end(number, "paused", epoch=1, values=[0.5], seconds=2.0)
    state = story.state()
    assert [one.what for one in tally.take(state)] == ["paused"]
    assert (tally.parked, tally.epochs, tally.seconds) == ({1: 1}, 1, 2.0)
    story.tell("ordered", trial=number, until=3, why="").start(number)
    assert tally.take(story.state(state)) == []
    assert (tally.parked, tally.epochs, tally.counts(state)["running"]) == ({}, 0, 1)
    story.end(number, "paused", epoch=3, values=[0.7], seconds=6.0)
    assert [(one.what, one.is_best) for one in tally.take(story.state(state))] == [("paused", True)]
    assert (tally.parked, tally.epochs, tally.seconds) == ({1: 3}, 3, 6.0)


def test_a_promotion_between_two_looks_is_seen() -> None:
    story, tally = Story.begun(scheduler="asha").joined(), Tally()
    number = story.propose(until=1, optimizer="adam")
    story.start(number).end(number, "paused", epoch=1, values=[0.5])
    state = story.state()
    tally.take(state)
    story.tell("ordered", trial=number, until=3, why="").start(number).end(number, "paused", epoch=3, values=[0.7])
    assert [one.what for one in tally.take(story.state(state))] == ["paused"]


def test_the_lowest_leads_where_less_is_better() -> None:
    story, tally = Story.begun(aims=[("val/loss", "min")]).joined(), Tally()
    for value in (0.5, 0.3, 0.4):
        story.trial(value)
    story.trial(0.1, "failed")
    assert [one.is_best for one in tally.take(story.state())] == [True, True, False, False]
    assert tally.best is not None
    assert tally.best.number == 2


def test_a_leader_that_falls_gives_way() -> None:
    story, tally = Story.begun(scheduler="asha", reduce="last").joined(), Tally()
    for value in (0.9, 0.8):
        number = story.propose(until=1, optimizer="adam")
        story.start(number).end(number, "paused", epoch=1, values=[value])
    state = story.state()
    tally.take(state)
    story.tell("ordered", trial=1, until=3, why="").start(1).end(1, "paused", epoch=3, values=[0.7])
    tally.take(story.state(state))
    assert tally.best is not None
    assert tally.best.number == 2


def test_ten_thousand_trials_cost_what_ten_do() -> None:
    story, tally = Story.begun(trials=20000).joined(), Tally()
    for _ in range(3000):
        story.trial(0.9)
    number = story.propose(optimizer="adam")
    state = story.start(number).state()
    tally.take(state)
    looked: list[int] = []
    state.trial = lambda number, find=state.trial: looked.append(number) or find(number)  # type: ignore[method-assign, misc, func-returns-value]
    tally.take(state)
    assert looked == [number]


def test_of_equal_values_the_earlier_trial_leads_whichever_ended_first() -> None:
    story, tally = Story.begun().joined(), Tally()
    first, second = story.propose(optimizer="adam"), story.propose(optimizer="sgd")
    state = story.start(first).start(second).end(second, values=[0.8]).state()
    assert [one.is_best for one in tally.take(state)] == [True]
    story.end(first, values=[0.8])
    assert [(one.trial.number, one.is_best) for one in tally.take(story.state(state))] == [(1, True)]
    best = state.best()
    assert tally.best is not None
    assert best is not None
    assert tally.best.number == best.number == leaderboard(state)[0].trial == 1
