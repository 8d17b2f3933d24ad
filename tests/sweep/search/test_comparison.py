"""Each search against random search, by the median over seeds of the best value at equal numbers of trials."""

from __future__ import annotations

import statistics

import pytest

from hpo_cli.sweep.space import Space
from tests.sweep.search.spaces import CUBE, SQUARE, Function, branin, hartmann, search_of, sweep


def _median(name: str, space: Space, function: Function, *, trials: int, seeds: int) -> float:
    found = [sweep(search_of(name, space, seed=seed, trials=trials), function, trials) for seed in range(seeds)]
    return statistics.median(min(one.value for one in run if one.value is not None) for run in found)


def test_the_functions_have_their_published_minima() -> None:
    assert branin({"x": 9.42478, "y": 2.475}) == pytest.approx(0.397887, abs=1e-5)
    best = (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573)
    assert hartmann({f"x{i}": x for i, x in enumerate(best)}) == pytest.approx(-3.32237, abs=1e-4)


@pytest.mark.parametrize(("name", "trials", "seeds"), [("tpe", 40, 9), ("cmaes", 60, 15), ("zoom", 40, 31)])
def test_it_beats_random_search_on_hartmann_6(name: str, trials: int, seeds: int) -> None:
    chance = _median("random", CUBE, hartmann, trials=trials, seeds=101)
    assert _median(name, CUBE, hartmann, trials=trials, seeds=seeds) < chance - 0.3


@pytest.mark.parametrize(("name", "trials", "seeds"), [("tpe", 40, 9), ("zoom", 40, 31), ("gp", 25, 3)])
def test_it_beats_random_search_on_branin(name: str, trials: int, seeds: int) -> None:
    chance = _median("random", SQUARE, branin, trials=trials, seeds=101)
    assert _median(name, SQUARE, branin, trials=trials, seeds=seeds) < 0.9 * chance


def test_random_search_does_not_beat_itself_by_that_much() -> None:
    """The control: other seeds of the same search stay within the margins above."""
    first = _median("random", CUBE, hartmann, trials=40, seeds=101)
    others = [
        min(one.value or 0.0 for one in sweep(search_of("random", CUBE, seed=seed), hartmann, 40))
        for seed in range(200, 301)
    ]
    assert abs(statistics.median(others) - first) < 0.3


@pytest.mark.slow
@pytest.mark.parametrize(("name", "bound"), [("tpe", 0.7), ("cmaes", 0.6), ("gp", 0.42)])
def test_sixty_trials_come_close_to_the_minimum_of_branin(name: str, bound: float) -> None:
    assert _median(name, SQUARE, branin, trials=60, seeds=9) < bound


@pytest.mark.slow
@pytest.mark.parametrize(("name", "bound"), [("tpe", -2.8), ("cmaes", -2.8), ("gp", -3.15)])
def test_a_hundred_trials_come_close_to_the_minimum_of_hartmann_6(name: str, bound: float) -> None:
    assert _median(name, CUBE, hartmann, trials=100, seeds=5) < bound
