"""ASHA against Algorithm 2 of Li et al. 2020: a hand-made table, and a rule that is checked from the log alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from hpo_cli.sweep.orders import GoOn, New, Order
from hpo_cli.sweep.schedulers.asha import Asha, rung_epochs
from hpo_cli.sweep.schedulers.none import NoScheduler
from hpo_cli.sweep.simulate import Simulated, simulate
from hpo_cli.sweep.state import Trial
from tests.sweep.fake import Listed
from tests.sweep.schedulers.desk import ACCURACY, Desk, scheduler, settings, wrong_promotions

NEW = "new"


@pytest.mark.parametrize(
    ("epochs", "min_epochs", "eta", "rungs"),
    [
        (81, 1, 3, (1, 3, 9, 27, 81)),
        (10, 1, 3, (1, 3, 9, 10)),
        (16, 2, 2, (2, 4, 8, 16)),
        (5, 5, 3, (5,)),
        (3, 5, 3, (3,)),
    ],
)
def test_rungs_lie_at_powers_of_eta_and_at_the_end(epochs: int, min_epochs: int, eta: int, rungs: Any) -> None:
    assert rung_epochs(epochs, min_epochs=min_epochs, eta=eta) == rungs


# One slot, eta=3, rungs at 1, 3 and 9 epochs. Each line: what is ordered, and the loss at the end of that.
# A new trial stops at epoch 1. n_k is how many have reached rung k after the line, floor(n_k / 3) may have left it.
BY_HAND: list[tuple[Any, float]] = [
    (NEW, 0.50),  # trial 1: n_0 = 1, none may leave
    (NEW, 0.40),  # 2
    (NEW, 0.90),  # 3: n_0 = 3, the best one is 2
    ((2, 3), 0.35),  # n_1 = 1; rung 0 has given its one away
    (NEW, 0.30),  # 4: n_0 = 4, still one, but the best is 4 now, and it has not left
    ((4, 3), 0.20),  # n_1 = 2
    (NEW, 0.60),  # 5
    (NEW, 0.45),  # 6: n_0 = 6, the best two are 4 and 2, which have left
    (NEW, 0.10),  # 7: n_0 = 7, the best two are 7 and 4
    ((7, 3), 0.15),  # n_1 = 3: the best is 7, and the higher rung comes first
    ((7, None), 0.05),  # to its end
    (NEW, 0.70),  # 8
    (NEW, 0.80),  # 9: n_0 = 9, the best three 7, 4, 2 have all left
]


def test_the_example_by_hand() -> None:
    desk = Desk(scheduler("asha", epochs=9), epochs=9)
    for expected, loss in BY_HAND:
        order = desk.fill()
        if expected == NEW:
            assert order == New(until=1)
            desk.end(len(desk.state.trials), loss)
        else:
            assert isinstance(order, GoOn)
            assert (order.trial, order.until) == expected
            desk.end(order.trial, loss)
    desk.may_begin = False
    assert desk.next() is None
    assert [trial.status for trial in desk.state.trials].count("finished") == 1
    assert wrong_promotions(desk.events, (1, 3, 9), 3) == []


def test_what_is_promotable_is_promoted_when_no_trial_may_begin_any_more() -> None:
    desk = Desk(scheduler("asha", epochs=9, eta=2), epochs=9)
    for _ in range(4):  # all four are begun before one ends
        assert isinstance(desk.fill(), New)
    for number, loss in enumerate((0.4, 0.3, 0.2, 0.1), start=1):
        desk.end(number, loss)
    desk.may_begin = False
    seen = []
    while (order := desk.fill()) is not None:
        assert isinstance(order, GoOn)
        seen.append((order.trial, order.until))
        desk.end(order.trial, 0.01 * order.trial)
    by_the_paper = [(4, 2), (3, 2), (3, 4)]  # rungs 1, 2, 4, 8, 9; 3 is the better one at epoch 2
    to_the_end = [(3, 8), (3, None)]  # nobody would come to the end: the best of the highest rung does
    assert seen == by_the_paper + to_the_end
    assert desk.state.running == {}


def test_only_one_trial_is_taken_to_the_end_against_the_paper_and_only_when_all_others_wait() -> None:
    desk = Desk(scheduler("asha", epochs=9), epochs=9)
    desk.fill()
    desk.fill()
    desk.may_begin = False
    desk.end(1, 0.2)
    assert desk.fill() is None  # trial 2 still trains
    desk.end(2, 0.1)
    assert [desk.fill() for _ in range(2)] == [GoOn(2, 3, "the best, and none has come to the end"), None]
    desk.end(2, 0.1)
    assert desk.fill() == GoOn(2, None, "the best, and none has come to the end")
    desk.end(2, 0.1)
    assert desk.fill() is None


def test_a_promotion_that_was_ordered_is_not_ordered_again_while_it_trains() -> None:
    desk = Desk(scheduler("asha", epochs=9), epochs=9)
    for loss in (0.1, 0.2, 0.3):
        desk.fill()
        desk.end(len(desk.state.trials), loss)
    assert desk.next() == desk.next()  # asking is not ordering
    assert isinstance(desk.fill(), GoOn)
    assert isinstance(desk.next(), New)


def test_more_is_better_where_the_objective_says_so() -> None:
    desk = Desk(scheduler("asha", epochs=9, aims=ACCURACY), epochs=9)
    for accuracy in (0.1, 0.2, 0.3):
        desk.fill()
        desk.end(len(desk.state.trials), accuracy)
    order = desk.next()
    assert isinstance(order, GoOn)
    assert (order.trial, order.until) == (3, 3)


def test_failed_and_missing_values_are_worse_than_anything_and_never_go_on() -> None:
    desk = Desk(scheduler("asha", epochs=9), epochs=9)
    for loss, status in ((None, "failed"), (None, "paused"), (5.0, "paused")):
        desk.fill()
        desk.end(len(desk.state.trials), loss, status=status)
    order = desk.fill()
    assert isinstance(order, GoOn)
    assert order.trial == 3
    desk.end(3, 4.0, status="failed", epoch=2)
    for _ in range(3):  # n_0 = 6: two may leave, but only one has a value
        desk.fill()
        desk.end(len(desk.state.trials), None)
    assert isinstance(desk.next(), New)


def test_a_trial_that_was_stopped_while_it_waited_is_not_promoted() -> None:
    desk = Desk(scheduler("asha", epochs=9), epochs=9)
    for loss in (0.1, 0.2, 0.3):
        desk.fill()
        desk.end(len(desk.state.trials), loss)
    desk.tell({"event": "stopping", "trial": 1, "why": "somebody said so"})
    assert desk.state.trial(1).status == "stopped"
    assert isinstance(desk.next(), New)


def test_a_lost_trial_comes_to_its_rung_later_and_counts_there_once() -> None:
    desk = Desk(scheduler("asha", epochs=9), epochs=9)
    desk.fill()
    desk.end(1, 0.5, status="lost", epoch=0)
    desk.tell({"event": "started", "trial": 1, "run": 0})
    desk.end(1, 0.1)
    for loss in (0.2, 0.3):
        desk.fill()
        desk.end(len(desk.state.trials), loss)
    order = desk.next()
    assert isinstance(order, GoOn)
    assert order.trial == 1


def test_a_trial_of_several_seeds_is_one_trial_with_their_mean() -> None:
    desk = Desk(scheduler("asha", epochs=9), epochs=9, inner=2)
    for first, second in ((0.1, 0.9), (0.3, 0.3), (0.8, 0.8)):
        desk.fill()
        number = len(desk.state.trials)
        desk.end(number, first, run=0)
        assert desk.state.trial(number).status == "running"
        desk.end(number, second, run=1)
    order = desk.next()
    assert isinstance(order, GoOn)
    assert order.trial == 2


class AtRandom(NoScheduler):
    """Not a scheduler that anybody wants: it promotes whatever waits."""

    def __init__(self) -> None:
        self.rng = random.Random(0)

    def next(self, trials: Sequence[Trial], *, may_begin: bool) -> Order | None:
        waiting = [trial for trial in trials if trial.status == "paused" and trial.epoch < 27]
        if waiting and self.rng.random() < 0.3:
            trial = self.rng.choice(waiting)
            return GoOn(trial.number, until=None if trial.epoch == 9 else 3 * trial.epoch)
        return New(until=1) if may_begin else None


def swept(of: Any, *, workers: int = 8, trials: int = 300, seed: int = 0) -> Simulated:
    """Trials whose losses cross: how good a curve becomes says little about how it begins."""
    rng = random.Random(seed)
    drawn = [{"end": rng.random(), "begin": rng.random(), "slow": rng.choice((1.0, 1.0, 5.0))} for _ in range(trials)]
    return simulate(
        of,
        Listed(drawn),
        lambda setting, _seed: [setting["end"] + setting["begin"] / (1 + epoch) for epoch in range(27)],
        settings=settings(trials=trials),
        epochs=27,
        workers=workers,
        seconds_per_epoch=lambda setting, _trial: setting["slow"],
    )


@pytest.mark.parametrize("workers", [1, 3, 16])
def test_no_trial_is_promoted_twice_or_from_below_the_best_share_of_its_rung(workers: int) -> None:
    asha = scheduler("asha", epochs=27)
    assert isinstance(asha, Asha)
    found = swept(asha, workers=workers)
    assert wrong_promotions(found.events, (1, 3, 9, 27), 3) == []
    reached = [sum(trial.epoch >= rung for trial in found.trials) for rung in (1, 3, 9, 27)]
    assert reached[0] == 300
    # at the end the best third of each rung has left it, beside those that were of it before better ones came
    assert all(below // 3 <= above <= 2 * (below // 3) for below, above in pairwise(reached))


def test_the_rule_finds_out_a_scheduler_that_promotes_at_random() -> None:
    found = swept(AtRandom())
    assert len(wrong_promotions(found.events, (1, 3, 9, 27), 3)) > 10


def test_the_highest_rung_comes_first() -> None:
    desk = Desk(scheduler("asha", epochs=8, eta=2), epochs=8)
    for _ in range(6):
        desk.fill()
    for number, loss in enumerate((0.1, 0.2, 0.3, 0.4), start=1):
        desk.end(number, loss)
    for number in (1, 2):
        desk.fill()
        desk.end(number, 0.1 * number)
    for number in (5, 6):
        desk.end(number, 0.01)
    order = desk.next()
    assert isinstance(order, GoOn)
    assert (order.trial, order.until) == (1, 4)  # 5 would be the next one of the lowest rung


def test_where_nobody_has_a_value_nobody_is_promoted() -> None:
    desk = Desk(scheduler("asha", epochs=9), epochs=9)
    for number in range(1, 7):
        desk.fill()
        desk.end(number, None)
    assert isinstance(desk.next(), New)


def test_hearing_each_trial_once_as_it_stands_is_enough() -> None:
    found = swept(scheduler("asha", epochs=27))
    again = scheduler("asha", epochs=27)
    for trial in found.trials:
        again.heard(trial)
    assert again.next(found.trials, may_begin=False) is None
