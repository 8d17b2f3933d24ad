"""PBT: who copies whom and when, and the paper's toy, which no fixed setting solves."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from hpo_cli.errors import ConfigError
from hpo_cli.sweep.orders import Exploit, GoOn, New
from hpo_cli.sweep.schedulers.none import NoScheduler
from hpo_cli.sweep.search.contract import Aim
from hpo_cli.sweep.simulate import Simulated, simulate
from hpo_cli.sweep.space import Dimension, Space
from tests.sweep.fake import Listed
from tests.sweep.schedulers.desk import SPACE, Desk, scheduler, settings

LRS = [{"lr": 0.1 * number} for number in range(1, 9)]


def begun(*, population: int = 4, num: int | None = None, epochs: int = 8, **changes: Any) -> Desk:
    found = Desk(
        scheduler("pbt", epochs=epochs, population=population, **{"interval": 2, **changes}),
        epochs=epochs,
        settings=changes.pop("drawn", LRS),
    )
    for _ in range(num or population):
        assert found.fill() == New(until=2)
    return found


def test_a_population_is_filled_before_anyone_goes_on_and_never_grows() -> None:
    desk = begun(num=3)
    desk.end(1, 0.5)
    assert desk.fill() == New(until=2)
    order = desk.fill()
    assert isinstance(order, GoOn)
    assert (order.trial, order.until) == (1, 4)
    assert desk.next() is None  # nobody waits, and the population is whole


def test_the_worst_copies_the_best_and_the_others_go_on() -> None:
    desk = begun()
    for number, loss in ((1, 0.4), (2, 0.1), (3, 0.2), (4, 0.3)):
        desk.end(number, loss)
    orders = [desk.fill() for _ in range(4)]
    first = orders[0]
    assert isinstance(first, Exploit)
    assert (first.trial, first.source, first.until) == (1, 2, 4)
    assert set(first.changes) == {"lr"}
    assert [(order.trial, order.until) for order in orders[1:] if isinstance(order, GoOn)] == [(2, 4), (3, 4), (4, 4)]


def test_nobody_is_waited_for() -> None:
    desk = begun()
    desk.end(1, 0.4)
    order = desk.fill()  # alone: nothing to compare with
    assert isinstance(order, GoOn)
    desk.end(2, 0.1)
    order = desk.fill()  # 1 is training again, and its last stop counts
    assert isinstance(order, GoOn)
    assert order.why == "1 of 2"
    desk.end(1, 0.4)
    order = desk.fill()
    assert isinstance(order, Exploit)  # 3 and 4 have not been heard of at all
    assert (order.trial, order.source, order.until) == (1, 2, 4)  # from the state of epoch 2, so the next stop is 4


def test_the_member_furthest_behind_comes_first() -> None:
    desk = begun()
    for number in (3, 4, 1, 2):
        desk.end(number, 0.1)
    assert [order.trial for _ in range(2) if isinstance(order := desk.fill(), GoOn)] == [1, 2]
    desk.end(1, 0.1)
    assert [order.trial for _ in range(3) if isinstance(order := desk.fill(), GoOn)] == [3, 4, 1]


def test_a_state_that_was_taken_over_is_no_source_before_it_has_trained() -> None:
    desk = begun(population=2)
    desk.end(1, 0.9)
    desk.end(2, 0.1)
    assert isinstance(desk.fill(), Exploit)
    assert isinstance(desk.fill(), GoOn)
    desk.end(2, 0.95)
    order = desk.fill()
    assert isinstance(order, GoOn)  # 1 is the better one, but has nothing of its own yet
    desk.end(1, 0.2)
    desk.end(2, 0.95)
    assert isinstance(desk.fill(), GoOn)
    order = desk.next()
    assert isinstance(order, Exploit)
    assert (order.trial, order.source) == (2, 1)


def test_changes_add_up_over_copies_of_copies() -> None:
    desk = begun(population=2, resample=0.0, factors=(0.25,))
    desk.end(1, 0.9)
    desk.end(2, 0.1)
    first = desk.fill()
    assert isinstance(first, Exploit)
    assert first.changes == {"lr": pytest.approx(0.05)}  # a quarter of the 0.2 of trial 2
    desk.fill()
    desk.end(1, 0.05)
    desk.end(2, 0.9)
    desk.fill()
    second = desk.fill()
    assert isinstance(second, Exploit)
    assert (second.trial, second.source) == (2, 1)
    assert second.changes == {"lr": pytest.approx(0.0125)}


def test_members_without_a_value_copy_and_those_that_failed_are_out() -> None:
    desk = begun()
    desk.end(1, None)
    desk.end(2, None, status="failed", epoch=1)
    desk.end(3, 0.2)
    desk.end(4, 0.3)
    order = desk.fill()
    assert isinstance(order, Exploit)
    assert (order.trial, order.source) == (1, 3)
    assert order.why == "3 of 3 at epoch 2; trial 3 is better"
    assert [order.trial for _ in range(2) if isinstance(order := desk.fill(), GoOn)] == [3, 4]
    assert desk.next() is None


def test_nobody_copies_an_equal_or_a_finished_member() -> None:
    desk = begun(population=2, epochs=4)
    desk.end(1, 0.5)
    desk.end(2, 0.5)
    assert [type(desk.fill()), type(desk.fill())] == [GoOn, GoOn]
    late = begun(population=3, epochs=4)
    late.end(1, 0.1)
    late.fill()
    late.end(1, 0.1)
    assert late.state.trial(1).status == "finished"
    late.end(2, 0.8)
    late.end(3, 0.9)
    assert [type(late.fill()), type(late.fill())] == [GoOn, GoOn]  # the only one of the top is at its end


def test_a_member_that_is_told_its_end_gets_none() -> None:
    desk = begun(population=2, epochs=3)
    desk.end(1, 0.5)
    order = desk.fill()
    assert isinstance(order, GoOn)
    assert order.until is None


def test_other_networks_are_other_populations() -> None:
    space = Space((*SPACE.dimensions, Dimension("width", ("model.width",), choices=(16, 32))))
    drawn = [{"lr": 0.1, "model.width": width} for width in (16, 16, 32, 32)]
    desk = Desk(scheduler("pbt", epochs=8, population=4, interval=2, space=space), epochs=8, settings=drawn)
    for _ in range(4):
        desk.fill()
    for number, loss in ((1, 0.1), (2, 0.2), (3, 0.8), (4, 0.9)):
        desk.end(number, loss)
    orders = [desk.fill() for _ in range(4)]
    assert [(order.trial, order.source) for order in orders if isinstance(order, Exploit)] == [(2, 1), (4, 3)]
    assert all(set(order.changes) == {"lr"} for order in orders if isinstance(order, Exploit))


def test_an_edited_space_holds_from_the_next_copy_on() -> None:
    desk = begun(population=2)
    desk.scheduler.narrow(Space((Dimension("lr", ("lr",), low=0.5, high=0.6),)))
    desk.end(1, 0.9)
    desk.end(2, 0.1)
    order = desk.fill()
    assert isinstance(order, Exploit)
    assert 0.5 <= order.changes["lr"] <= 0.6
    with pytest.raises(ConfigError, match="none can change"):
        desk.scheduler.narrow(Space((Dimension("width", ("model.width",), choices=(1, 2)),)))


class Toy:
    """Section 4.1 and figure 2 of the paper: Q = 1.2 - |theta|^2, found by climbing 1.2 - h0 theta0^2 - h1 theta1^2.

    Two hot keys stand for h0 and h1.
    """

    def begin(self, _setting: Any, _seed: int) -> tuple[float, float]:
        return 0.9, 0.9

    def step(self, state: tuple[float, float], setting: Any) -> tuple[float, float]:
        h = setting["lr"], setting["optimizer.momentum"]
        return state[0] * (1 - 0.02 * h[0]), state[1] * (1 - 0.02 * h[1])

    def value(self, state: tuple[float, float]) -> float:
        return 1.2 - state[0] ** 2 - state[1] ** 2


TOY_SPACE = Space(
    (Dimension("h0", ("lr",), low=0.0, high=1.0), Dimension("h1", ("optimizer.momentum",), low=0.0, high=1.0))
)
CORNERS = [{"lr": 1.0, "optimizer.momentum": 0.0}, {"lr": 0.0, "optimizer.momentum": 1.0}]
Q = (Aim("q", "max"),)


def toy(of: Any, *, seed: int = 0) -> Simulated:
    return simulate(
        of, Listed(CORNERS), Toy(), settings=settings(trials=2, reduce="last", seed=seed), epochs=200, aims=Q, workers=2
    )


def test_the_papers_toy_is_solved_by_a_population_of_two_and_by_no_fixed_corner() -> None:
    fixed = toy(NoScheduler())
    assert fixed.best == pytest.approx(1.2 - 0.81, abs=1e-3)
    for seed in range(5):
        pbt = scheduler("pbt", epochs=200, population=2, interval=4, space=TOY_SPACE, aims=Q, seed=seed)
        found = toy(pbt, seed=seed)
        assert found.best is not None
        assert found.best > 1.15
        assert found.epochs >= fixed.epochs == 400
        assert all(trial.status == "finished" for trial in found.trials)


class NoisyBowl:
    """The expected loss of SGD on a quadratic with noise: after a step of rate a it is (1 - a)^2 loss + a^2.

    The best rate is loss / (loss + 1), under which 1 / loss grows by 1 a step; no constant rate can follow it.
    """

    def begin(self, _setting: Any, _seed: int) -> float:
        return 100.0

    def step(self, state: float, setting: Any) -> float:
        return float((1 - setting["lr"]) ** 2 * state + setting["lr"] ** 2)

    def value(self, state: float) -> float:
        return state


def test_a_population_finds_a_schedule_that_beats_every_constant_rate() -> None:
    rng = random.Random(0)
    space = Space((Dimension("lr", ("lr",), low=1e-3, high=1.0, scale="log"),))
    drawn = [space.draw(rng) for _ in range(16)]
    rates = [10 ** (-3 + 3 * place / 300) for place in range(301)]
    constant = min(
        list(itertools.accumulate(range(60), lambda s, _, a=a: (1 - a) ** 2 * s + a**2, initial=100.0))[-1]
        for a in rates
    )  # type: ignore[misc]
    best = 1 / (1 / 100 + 60)
    pbt = scheduler("pbt", epochs=60, population=16, interval=3, space=space)
    found = simulate(pbt, Listed(drawn), NoisyBowl(), settings=settings(trials=16, reduce="last"), epochs=60, workers=4)
    assert found.best is not None
    assert best < found.best < 0.7 * constant


def test_members_that_fall_back_and_copy_each_other_come_to_an_end() -> None:
    rng = random.Random(3)

    class Worse:
        """Every epoch makes it worse, so that a state further behind is always the better one."""

        def begin(self, _setting: Any, _seed: int) -> float:
            return rng.random()

        def step(self, state: float, _setting: Any) -> float:
            return state + rng.random()

        def value(self, state: float) -> float:
            return state

    pbt = scheduler("pbt", epochs=20, population=6, interval=1)
    found = simulate(
        pbt, Listed(LRS[:6]), Worse(), settings=settings(trials=6, reduce="last"), epochs=20, workers=3,
        seconds_per_epoch=lambda _setting, trial: 1.0 + 4.0 * (trial == 1),
    )  # fmt: skip
    assert [trial.status for trial in found.trials] == ["finished"] * 6
    assert found.epochs >= 120
