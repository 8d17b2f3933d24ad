"""The median rule against a naive one, plateaus by hand, and schedulers that never stop anything."""

from __future__ import annotations

import random
import statistics

import pytest

from hpo_cli.sweep.orders import New
from hpo_cli.sweep.schedulers.median import Median
from tests.sweep.schedulers.desk import ACCURACY, Desk, scheduler


def desk(name: str, *, grace: int, num: int = 6, aims: object = None) -> Desk:
    found = Desk(scheduler(name, epochs=20, grace=grace, **({"aims": aims} if aims else {})), epochs=20)  # type: ignore[arg-type]
    for _ in range(num):
        assert found.fill() == New()
    return found


def test_the_median_rule_by_hand() -> None:
    at = desk("median", grace=3)
    assert at.report(1, 1.0, 0.8, 0.6) is None  # running averages 1.0, 0.9, 0.8
    assert at.report(2, 1.0, 0.6, 0.4) is None  # 1.0, 0.8, 0.667
    assert at.report(3, 1.0, 0.4, 0.1) is None  # 1.0, 0.7, 0.5
    assert at.report(4, 0.9) is None  # better than the median 1.0
    assert at.report(4, 0.9, 0.85) == (
        "its best value 0.85 at epoch 2 is worse than 0.8, the median of the means of 3 others"
    )
    assert at.report(5, 2.0, 0.8) is None  # as good as the median of 0.9, 0.8, 0.7 and 0.875, which is 0.8375
    assert at.report(6, 2.0, 2.0, 0.67) is not None  # 0.667 is the median of 0.8, 0.667, 0.5


def test_the_median_rule_waits_for_enough_others() -> None:
    at = desk("median", grace=3)
    for number in (1, 2):
        assert at.report(number, 0.1) is None
    assert at.report(3, 9.0) is None  # two others
    assert at.report(4, 9.0) is not None


def test_without_a_value_a_trial_is_worse_than_the_median() -> None:
    at = desk("median", grace=2)
    assert at.report(1, 0.5) is None
    assert at.report(2, 0.5) is None
    assert at.report(3, None) == "no value at epoch 1 is worse than 0.5, the median of the means of 2 others"
    assert at.report(4, 0.5, None) is None  # it has one, and nobody else is at epoch 2


def naive(curves: dict[int, list[float]], number: int, grace: int) -> bool:
    epoch = len(curves[number])
    others = [
        statistics.fmean(values[:epoch]) for other, values in curves.items() if other != number and len(values) >= epoch
    ]
    return len(others) >= grace and max(curves[number]) < statistics.median(others)


@pytest.mark.parametrize("seed", range(5))
def test_the_median_rule_is_the_naive_one(seed: int) -> None:
    rng = random.Random(seed)
    at = desk("median", grace=4, num=12, aims=ACCURACY)
    curves: dict[int, list[float]] = {}
    stopped = 0
    for _ in range(150):
        number = rng.randint(1, 12)
        curves.setdefault(number, []).append(rng.random())
        verdict = at.report(number, *curves[number])
        assert (verdict is not None) == naive(curves, number, 4)
        stopped += verdict is not None
    assert 0 < stopped < 150


def test_a_plateau_ends_a_trial_and_any_gain_begins_it_anew() -> None:
    at = desk("plateau", grace=3)
    assert at.report(1, 0.5, 0.5, 0.6) is None
    assert at.report(1, 0.5, 0.5, 0.6, 0.5) == "no gain for 3 epochs: 0.5 at epoch 1"
    assert at.report(2, 0.5, 0.5, 0.6, 0.49, 0.6, None) is None
    assert at.report(2, 0.5, 0.5, 0.6, 0.49, 0.6, None, 0.5) is not None
    assert at.report(3, None, None) is None
    assert at.report(3, None, None, None) == "no value in 3 epochs"


def test_more_is_a_gain_where_the_objective_says_so() -> None:
    at = desk("plateau", grace=2, aims=ACCURACY)
    assert at.report(1, 0.1, 0.2, 0.3, 0.4) is None
    assert at.report(2, 0.4, 0.3, 0.2) == "no gain for 2 epochs: 0.4 at epoch 1"


@pytest.mark.parametrize("name", ["none", "median", "plateau"])
def test_a_free_slot_takes_a_new_trial_for_as_long_as_one_may_begin(name: str) -> None:
    at = desk(name, grace=1, num=3)
    at.may_begin = False
    assert at.next() is None


@pytest.mark.parametrize("name", ["none", "asha", "hyperband", "pbt"])
def test_others_stop_no_running_trial(name: str) -> None:
    at = Desk(scheduler(name, epochs=9, grace=1), epochs=9, settings=[{"lr": 0.1}] * 3)
    for number in (1, 2, 3):
        at.fill()
        assert at.report(number, *[float(10 * number + epoch) for epoch in range(8)]) is None


def test_hearing_the_same_reports_again_changes_nothing() -> None:
    at = desk("median", grace=2)
    at.report(1, 0.1, 0.1)
    at.report(2, 0.2, 0.2)
    for _ in range(3):
        at.scheduler.heard(at.state.trial(1))
    assert isinstance(at.scheduler, Median)
    assert at.scheduler._means[1] == [0.1, 0.2]
