"""Hyperband against the tables of Li et al. 2018, and what a free slot does while a round is waited for."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from hpo_cli.sweep.orders import GoOn, New
from hpo_cli.sweep.schedulers.hyperband import Hyperband, Level, budget, hyperband_table
from hpo_cli.sweep.simulate import simulate
from tests.sweep.fake import Listed
from tests.sweep.schedulers.desk import Desk, scheduler, settings

# Table 1 of the paper: R=81, eta=3. Columns s = 4 .. 0, each row (n_i, r_i).
PAPER = (
    ((81, 1), (27, 3), (9, 9), (3, 27), (1, 81)),
    ((34, 3), (11, 9), (3, 27), (1, 81)),
    ((15, 9), (5, 27), (1, 81)),
    ((8, 27), (2, 81)),
    ((5, 81),),
)


def pairs(table: tuple[tuple[Level, ...], ...]) -> tuple[tuple[tuple[int, int], ...], ...]:
    return tuple(tuple((level.trials, level.epochs) for level in levels) for levels in table)


def test_the_table_of_the_paper() -> None:
    assert pairs(hyperband_table(81, min_epochs=1, eta=3)) == PAPER


def test_epochs_that_are_no_power_and_a_lowest_round_that_is_longer() -> None:
    assert pairs(hyperband_table(10, min_epochs=1, eta=3)) == (((9, 1), (3, 3), (1, 10)), ((5, 3), (1, 10)), ((3, 10),))
    assert pairs(hyperband_table(40, min_epochs=5, eta=2)) == (
        ((8, 5), (4, 10), (2, 20), (1, 40)),
        ((6, 10), (3, 20), (1, 40)),
        ((4, 20), (2, 40)),
        ((4, 40),),
    )
    assert pairs(hyperband_table(3, min_epochs=5, eta=3)) == (((1, 3),),)


@pytest.mark.parametrize("eta", [2, 3, 4])
def test_rounds_have_ever_more_epochs_for_ever_fewer_trials(eta: int) -> None:
    for epochs in range(1, 90):
        for levels in hyperband_table(epochs, min_epochs=1, eta=eta):
            epoch, num = [level.epochs for level in levels], [level.trials for level in levels]
            assert epoch == sorted(set(epoch))
            assert num == sorted(num, reverse=True)
            assert (epoch[0] >= 1, epoch[-1], num[-1] >= 1) == (True, epochs, True)


def test_brackets_cost_about_the_same_when_every_round_starts_anew() -> None:
    table = hyperband_table(81, min_epochs=1, eta=3)
    anew = [sum(level.trials * level.epochs for level in levels) for levels in table]
    assert max(anew) <= 5 * 81 * 1.2  # B = (s_max + 1) R, and what the ceiling adds
    assert [budget(levels) for levels in table] == [
        81 + 54 + 54 + 54 + 54,
        102 + 66 + 54 + 54,
        135 + 90 + 54,
        216 + 108,
        405,
    ]


def swept(*, trials: int, workers: int, epochs: int = 27, **changes: Any) -> Any:
    rng = random.Random(1)
    drawn = [{"end": rng.random(), "slow": rng.choice((1.0, 3.0))} for _ in range(trials)]
    return simulate(
        scheduler("hyperband", epochs=epochs, **changes),
        Listed(drawn),
        lambda setting, _seed: [setting["end"] + 1 / (1 + epoch) for epoch in range(epochs)],
        settings=settings(trials=trials),
        epochs=epochs,
        workers=workers,
        seconds_per_epoch=lambda setting, _trial: setting["slow"],
    )


@pytest.mark.parametrize("workers", [1, 4, 30])
def test_a_sweep_of_all_brackets_trains_exactly_the_table(workers: int) -> None:
    table = hyperband_table(27, min_epochs=1, eta=3)
    num = sum(levels[0].trials for levels in table)
    found = swept(trials=num, workers=workers)
    for index, levels in enumerate(table):
        own = [trial for trial in found.trials if trial.notes["bracket"] == index]
        for level in levels:
            assert sum(trial.epoch >= level.epochs for trial in own) == level.trials
        # in each bracket it is the best that went furthest, as this curve never crosses another
        ranked = sorted(own, key=lambda trial: trial.setting["end"])
        assert [trial.epoch for trial in ranked] == sorted((trial.epoch for trial in own), reverse=True)
    assert found.epochs == sum(budget(levels) for levels in table)


def test_brackets_repeat_while_trials_may_begin_and_can_be_fewer() -> None:
    found = swept(trials=100, workers=3)
    kinds = Counter(trial.notes["bracket"] for trial in found.trials)
    assert [kinds[index] for index in range(4)] == [27, 12, 6, 4]
    assert (kinds[4], kinds[5], kinds[6], kinds[7]) == (27, 12, 6, 4)
    assert kinds[8] == 100 - 2 * 49
    only = swept(trials=54, workers=3, brackets=1)
    assert Counter(trial.notes["bracket"] for trial in only.trials) == {0: 27, 1: 27}


def filled() -> Desk:
    """R=9, eta=3: the first bracket (9, 3, 1) has begun, and one of it is late."""
    desk = Desk(scheduler("hyperband", epochs=9), epochs=9)
    for number in range(1, 10):
        assert desk.fill() == New(until=1, notes={"bracket": 0})
        if number < 9:
            desk.end(number, number / 10)
    return desk


def test_a_free_slot_takes_the_next_brackets_work_while_a_round_is_waited_for() -> None:
    desk = filled()
    assert desk.fill() == New(until=3, notes={"bracket": 1})
    desk.end(9, 0.05)  # the late one is the best
    promoted = [desk.fill() for _ in range(3)]
    assert [(order.trial, order.until) for order in promoted if isinstance(order, GoOn)] == [(9, 3), (1, 3), (2, 3)]
    assert desk.fill() == New(until=3, notes={"bracket": 1})


def test_a_failure_does_not_hold_a_round_up_and_its_place_goes_to_the_next() -> None:
    desk = filled()
    desk.end(9, None, status="failed", epoch=0)
    promoted = [order.trial for _ in range(3) if isinstance(order := desk.fill(), GoOn)]
    assert promoted == [1, 2, 3]
    desk.end(1, None, status="failed", epoch=2)
    desk.end(2, 0.5)
    desk.end(3, 0.4)
    order = desk.next()
    assert isinstance(order, GoOn)
    assert (order.trial, order.until) == (3, None)


def test_a_winner_that_is_stopped_before_it_goes_on_does_not_hold_the_bracket_up() -> None:
    desk = filled()
    desk.end(9, 0.9)
    desk.tell({"event": "stopping", "trial": 1, "why": "somebody said so"})
    assert [order.trial for _ in range(2) if isinstance(order := desk.fill(), GoOn)] == [2, 3]
    desk.end(2, 0.5)
    desk.end(3, 0.4)
    order = desk.next()
    assert isinstance(order, GoOn)
    assert order.trial == 3


def test_a_bracket_in_which_all_fail_is_over() -> None:
    desk = Desk(scheduler("hyperband", epochs=3, brackets=1), epochs=3)
    for number in range(1, 4):
        desk.fill()
        desk.end(number, None, status="failed", epoch=0)
    assert desk.next() == New(until=1, notes={"bracket": 1})
    desk.may_begin = False
    assert desk.next() is None


def test_a_bracket_that_is_never_full_goes_on_with_what_it_has() -> None:
    desk = Desk(scheduler("hyperband", epochs=9), epochs=9)
    for number in range(1, 6):
        desk.fill()
        desk.end(number, number / 10)
    desk.may_begin = False
    order = desk.fill()
    assert isinstance(order, GoOn)  # 5 // 3: one goes on
    assert (order.trial, order.until) == (1, 3)
    assert desk.next() is None
    desk.end(1, 0.1)
    order = desk.fill()
    assert isinstance(order, GoOn)
    assert (order.trial, order.until) == (1, None)


def test_trials_of_another_scheduler_are_left_alone() -> None:
    desk = Desk(scheduler("hyperband", epochs=9), epochs=9)
    desk.tell({"event": "proposed", "trial": 1, "setting": {}, "plan_id": "1", "until": 1, "notes": {}})
    desk.end(1, 0.0)
    assert isinstance(desk.scheduler, Hyperband)
    assert desk.next() == New(until=1, notes={"bracket": 0})


def test_one_that_ended_early_keeps_its_place_and_is_not_waited_for() -> None:
    desk = Desk(scheduler("hyperband", epochs=9), epochs=9)
    for number in range(1, 10):
        desk.fill()
        desk.end(number, number / 10 if number < 6 else None, status="finished" if number == 1 else "paused")
    assert [order.trial for _ in range(2) if isinstance(order := desk.fill(), GoOn)] == [2, 3]
    desk.end(2, 0.5)
    desk.end(3, 0.4)
    order = desk.next()
    assert isinstance(order, GoOn)
    assert (order.trial, order.until) == (3, None)


def test_without_a_value_nobody_goes_on_and_the_bracket_does_not_wait() -> None:
    desk = Desk(scheduler("hyperband", epochs=9), epochs=9)
    for number in range(1, 10):
        desk.fill()
        desk.end(number, 0.1 if number == 7 else None)
    order = desk.fill()
    assert isinstance(order, GoOn)
    assert order.trial == 7
    assert isinstance(desk.next(), New)
    desk.end(7, 0.1)
    assert isinstance(desk.next(), GoOn)


def test_a_bracket_that_went_on_without_being_full_takes_no_trial_after_a_resumption() -> None:
    desk = Desk(scheduler("hyperband", epochs=9), epochs=9)
    for number in range(1, 6):
        desk.fill()
        desk.end(number, number / 10)
    desk.may_begin = False
    assert isinstance(desk.fill(), GoOn)
    again = Desk(scheduler("hyperband", epochs=9), epochs=9)
    again.tell(*desk.events[1:])
    assert again.next() == New(until=3, notes={"bracket": 1})
