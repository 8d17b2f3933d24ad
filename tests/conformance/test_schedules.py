"""Every schedule option stays a factor and means one thing: alone, behind a warm-up, resumed, asked in any order."""

from __future__ import annotations

import json
import math
import random
from typing import TYPE_CHECKING, Any

import pytest

from hpo_cli.components.build import bound, resolve
from hpo_cli.components.schedules import Factors, Plateau, Schedule, bind_schedule
from tests.conformance.options import collect, component_of, name_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hpo_cli.options import Option

OPTIONS = collect("schedule")
N = 50

every_option = pytest.mark.parametrize("option", OPTIONS, ids=name_of)


def schedule_of(option: Option, **changes: Any) -> Schedule:
    """The option's schedule as a run binds it."""
    component = component_of(option, **changes)
    target = resolve(component)
    return bind_schedule(target, bound(component, target, {}))


def variants(option: Option) -> Iterator[Schedule]:
    """The option with its defaults, then with each edge of its search ranges."""
    yield schedule_of(option)
    for key, space in option.space.items():
        for value in space.get("choices") or (space["low"], space["high"]):
            yield schedule_of(option, **{key: value})


def factors_of(schedule: Schedule, *, warmup: int = 0, steps: Iterable[int] = range(N + 1)) -> list[Factors]:
    return [schedule.factors(i, total_steps=N, warmup_steps=warmup, steps_per_epoch=7) for i in steps]


@every_option
@pytest.mark.parametrize("warmup", [0, 1, 7, 50])
def test_stays_a_factor(option: Option, warmup: int) -> None:
    for schedule in variants(option):
        found = factors_of(schedule, warmup=warmup)
        assert not strays(found)
        assert not warmup or found[0].lr > 0.0


@every_option
def test_stays_a_factor_on_a_fine_grid(option: Option) -> None:
    schedule = schedule_of(option)
    assert not strays(schedule.factors(i, total_steps=1000, steps_per_epoch=100) for i in range(1001))


@every_option
def test_a_momentum_is_moved_only_where_that_is_said(option: Option) -> None:
    for schedule in variants(option):
        assert schedule.moves_momentum or all(factors.momentum == 1.0 for factors in factors_of(schedule))


@every_option
def test_gives_the_same_whatever_was_asked_before(option: Option) -> None:
    expected = factors_of(schedule_of(option))
    order = random.Random(0).sample(range(N + 1), N + 1)
    assert factors_of(schedule_of(option), steps=order) == [expected[i] for i in order]


@every_option
@pytest.mark.parametrize("cut", [0, 1, 20, 40])
def test_going_on_from_its_state_equals_straight_through(option: Option, cut: int) -> None:
    straight, first, second = schedule_of(option), schedule_of(option), schedule_of(option)
    head = train(first, range(cut))
    second.restore(json.loads(json.dumps(first.state())))
    assert head + train(second, range(cut, N)) == train(straight, range(N))


@every_option
def test_a_longer_run_is_accepted_half_way(option: Option) -> None:
    schedule = schedule_of(option)
    factors_of(schedule, steps=range(25))
    longer = [schedule.factors(i, total_steps=2 * N, steps_per_epoch=7) for i in range(25, 2 * N)]
    assert not strays(longer)


def train(schedule: Schedule, steps: Iterable[int]) -> list[Factors]:
    """The factors of these steps with a validation after each, none of which is better than the first ones."""
    found = []
    for i in steps:
        found += factors_of(schedule, steps=[i])
        schedule.observe(1.0 / (1 + min(i, 5)), mode="min")
    return found


def test_a_schedule_that_strays_is_noticed() -> None:
    assert strays([Factors(0.5), Factors(1.5)])
    assert strays([Factors(math.nan)])
    assert strays([Factors(-0.1)])
    assert strays([Factors(0.5, 1.5)])
    assert strays([])


class Forgetful(Plateau):
    """A schedule that falls with validations and does not say so."""

    def state(self) -> dict[str, Any]:
        return {}


def test_a_memory_that_is_lost_is_noticed() -> None:
    straight, first, second = (bind_schedule(Forgetful, {"patience": 2}) for _ in range(3))
    head = train(first, range(20))
    assert head + train(second, range(20, N)) != train(straight, range(N))


def strays(factors: Iterable[Factors]) -> bool:
    """Whether a factor is outside 0 .. 1 by more than rounding or not finite, or there is none."""
    seen = [number for pair in factors for number in (pair.lr, pair.momentum)]
    return not seen or not all(isinstance(number, float) and 0.0 <= number <= 1.0 + 1e-12 for number in seen)
