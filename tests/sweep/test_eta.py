"""How long it will take, against closed forms for constant speeds."""

from __future__ import annotations

import math
import random

import pytest

from hpo_cli.sweep.eta import Estimate, asha_epochs, estimate, makespan
from hpo_cli.sweep.live import LiveRun
from hpo_cli.sweep.tally import Tally
from tests.sweep_story import Story

EPOCH_S = 3.0


def estimated(story: Story, *live: LiveRun) -> Estimate:
    state, tally = story.state(), Tally()
    tally.take(state)
    return estimate(state, live, tally, now=story.now)


def at_constant_speed(*, workers: int, trials: int, done: int, **more: object) -> Story:
    """`done` trials of 10 epochs of 3 s each have ended."""
    story = Story.begun(workers=workers, trials=trials, tick=0, **more).joined(workers=workers)  # type: ignore[arg-type]
    story.tick = 0
    for _ in range(done):
        story.trial(0.9, seconds=10 * EPOCH_S)
    return story


def test_nothing_is_known_before_the_first_epoch() -> None:
    story = Story.begun().joined()
    story.start(story.propose(optimizer="adam"))
    story.at += 5
    found = estimated(story, LiveRun(1, epochs=10))
    assert found.whole is None
    assert found.each[0].left is None
    assert found.share == 0


@pytest.mark.parametrize(("workers", "trials"), [(1, 7), (2, 20), (3, 20), (8, 20), (5, 5)])
def test_equal_trials_take_whole_rounds(workers: int, trials: int) -> None:
    done = min(workers, trials - 1)
    found = estimated(at_constant_speed(workers=workers, trials=trials, done=done))
    assert found.whole == pytest.approx(math.ceil((trials - done) / workers) * 10 * EPOCH_S)
    assert found.share == pytest.approx(done / trials)


def test_running_trials_count_with_what_is_left_of_them() -> None:
    story = at_constant_speed(workers=2, trials=5, done=2)
    story.start(story.propose(optimizer="adam")).start(story.propose(optimizer="sgd"))
    story.at += 12
    live = [LiveRun(3, epoch=4, epochs=10, step=40, total_steps=100), LiveRun(4, epoch=4, epochs=10)]
    found = estimated(story, *live)
    assert [one.left for one in found.each] == pytest.approx([18, 18])
    assert found.whole == pytest.approx(18 + 30)
    assert found.share == pytest.approx(28 / 50)


def test_steps_within_an_epoch_count() -> None:
    story = at_constant_speed(workers=1, trials=2, done=1)
    story.start(story.propose(optimizer="adam"))
    story.at += 10.5
    assert estimated(story, LiveRun(2, epoch=3, epochs=10, step=35, total_steps=100)).whole == pytest.approx(19.5)


def test_a_promoted_run_has_the_speed_of_its_new_attempt_and_its_rung_as_goal() -> None:
    story = Story.begun(scheduler="asha", trials=1, epochs=9, eta=3).joined(workers=1)
    story.tick = 0
    number = story.propose(until=1, optimizer="adam")
    story.start(number).end(number, "paused", epoch=1, values=[0.5], seconds=100.0)
    story.tell("ordered", trial=number, until=3, why="").start(number)
    story.at += 4
    found = estimated(story, LiveRun(number, epoch=2, epochs=9))
    assert found.each[0].goal == 3
    assert found.each[0].left == pytest.approx(4.0)


def test_seeds_are_runs_of_their_own() -> None:
    story = Story.begun(runs=3, trials=4, workers=2).joined(workers=2)
    story.tick = 0
    story.trial(0.9, seconds=10 * EPOCH_S)
    assert estimated(story).whole == pytest.approx(math.ceil(9 / 2) * 30)


def test_runs_that_were_interrupted_have_only_their_rest_to_train() -> None:
    story = at_constant_speed(workers=1, trials=2, done=1)
    number = story.propose(optimizer="adam")
    story.start(number).end(number, "interrupted", epoch=6, values=[0.5], seconds=18.0)
    assert estimated(story).whole == pytest.approx(12)


def test_minutes_let_those_end_that_have_begun() -> None:
    story = at_constant_speed(workers=1, trials=100, done=1, minutes=1.0)
    story.at += 5
    assert estimated(story).whole == pytest.approx(60)  # 55 s are left: two more trials begin


def test_epochs_are_a_budget() -> None:
    assert estimated(at_constant_speed(workers=1, trials=100, done=2, epochs=10)).whole is not None
    story = Story.begun(trials=100, workers=1).joined(workers=1)
    story.events[0]["settings"]["epochs"] = 50
    story.tick = 0
    for _ in range(2):
        story.trial(0.9, seconds=30.0)
    assert estimated(story).whole == pytest.approx(90)


def test_no_end_is_no_estimate() -> None:
    found = estimated(at_constant_speed(workers=1, trials=None, done=2))  # type: ignore[arg-type]
    assert (found.whole, found.share) == (None, None)


def test_asha_trains_the_share_that_its_rungs_let_through() -> None:
    assert asha_epochs(1, 3, 27) == pytest.approx(1 + 2 / 3 + 6 / 9 + 18 / 27)
    assert asha_epochs(4, 2, 4) == 4
    story = Story.begun(scheduler="asha", trials=90, workers=3, epochs=9, eta=3).joined(workers=3)
    story.tick = 0
    for _ in range(9):
        story.trial(0.5, "paused", epoch=1, seconds=2.0)
    expected = 90 * (1 + 2 / 3 + 6 / 9) - 9  # epochs
    assert estimated(story).whole == pytest.approx(expected * 2 / 3, rel=0.05)


def test_a_population_trains_on_to_the_end() -> None:
    story = Story.begun(scheduler="pbt", trials=4, workers=2, epochs=10).joined(workers=2)
    story.tick = 0
    for _ in range(4):
        story.trial(0.5, "paused", epoch=2, seconds=6.0)
    assert estimated(story).whole == pytest.approx(2 * 8 * 3)


def test_the_makespan_is_that_of_a_list_schedule() -> None:
    rng = random.Random(0)
    for _ in range(200):
        slots = [rng.uniform(0, 20) for _ in range(rng.randint(1, 5))]
        jobs = [rng.uniform(0, 5) for _ in range(rng.randint(0, 4))]
        more, each = rng.randint(0, 40), rng.uniform(0.1, 5)
        free = list(slots)
        for job in [*jobs, *[each] * more]:
            free[free.index(min(free))] += job
        assert makespan(slots, jobs, more=more, each=each) == pytest.approx(max(free))


def test_workers_of_all_processes_count() -> None:
    story = at_constant_speed(workers=2, trials=10, done=2)
    story.joined({"host": "other", "pid": 1}, workers=2)
    assert estimated(story).whole == pytest.approx(2 * 30)
