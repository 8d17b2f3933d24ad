"""Sweeps in virtual time: what the clock says, how busy slots are, and which way to search costs what."""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from hpo_cli.sweep.orders import New, Order
from hpo_cli.sweep.schedulers.hyperband import Hyperband
from hpo_cli.sweep.search.make import make_search
from hpo_cli.sweep.simulate import Simulated, simulate
from hpo_cli.sweep.space import Dimension, Space
from hpo_cli.sweep.state import Trial
from tests.sweep.fake import Listed
from tests.sweep.schedulers.desk import LOSS, scheduler, settings


def flat(value: float, *, epochs: int) -> list[float]:
    return [value] * epochs


def test_the_clock_is_what_a_list_schedule_takes() -> None:
    listed = [{"x": seconds, "y": place} for place, seconds in enumerate((3.0, 1.0, 1.0, 2.0))]
    found = simulate(
        scheduler("none", epochs=2), Listed(listed), lambda setting, _seed: flat(setting["x"], epochs=2),
        settings=settings(), epochs=2, workers=2, seconds_per_epoch=lambda setting, _trial: setting["x"],
    )  # fmt: skip
    # slot 1: 6 s, then nothing; slot 2: 2 s, 2 s, 4 s
    assert (found.time, found.epochs) == (8.0, 8)
    assert found.busy == pytest.approx(14 / 16)
    assert [trial.seconds for trial in found.trials] == [6.0, 2.0, 2.0, 4.0]
    assert [moment for moment, _ in found.orders][:4] == [0.0, 0.0, 2.0, 4.0]
    assert (found.best, found.why) == (1.0, "no further setting: 4 were tried")


def test_a_run_that_raises_or_diverges_is_one_failed_trial() -> None:
    def curve(setting: Mapping[str, Any], _seed: int) -> Sequence[float]:
        return [1.0, 0.5][: setting["x"]] if setting["x"] < 2 else [1.0, math.nan if setting["x"] == 2 else 0.1]

    listed = [{"x": 1}, {"x": 2}, {"x": 3}]
    found = simulate(scheduler("none", epochs=2), Listed(listed), curve, settings=settings(), epochs=2)
    assert [trial.status for trial in found.trials] == ["failed", "failed", "finished"]
    assert [trial.why for trial in found.trials] == [
        "IndexError: list index out of range",
        "its loss is not finite",
        "",
    ]
    assert found.best == 0.1


def test_seeds_are_runs_of_one_trial() -> None:
    found = simulate(
        scheduler("none", epochs=3), Listed([{"x": 1.0}]), lambda setting, seed: flat(setting["x"] + seed, epochs=3),
        settings=settings(seeds=3), epochs=3, workers=3,
    )  # fmt: skip
    assert (found.trials[0].value, found.time, found.epochs) == (2.0, 3.0, 9)


def test_budgets_are_those_of_real_sweeps() -> None:
    def swept(**budget: Any) -> Simulated:
        return simulate(
            scheduler("none", epochs=10), Listed([{"x": float(x)} for x in range(9, 0, -1)]),
            lambda setting, _seed: flat(setting["x"], epochs=10), settings=settings(**budget), epochs=10,
            seconds_per_epoch=lambda _setting, _trial: 6.0,
        )  # fmt: skip

    assert len(swept(trials=4).trials) == 4
    assert len(swept(epochs=25).trials) == 3
    assert len(swept(minutes=1.5).trials) == 2
    assert len(swept(target=7.0).trials) == 3


@pytest.mark.parametrize("name", ["median", "plateau"])
def test_trials_are_stopped_in_the_middle_by_schedulers_that_watch(name: str) -> None:
    rng = random.Random(0)
    drawn = [{"end": rng.random()} for _ in range(60)]

    def curve(setting: Mapping[str, Any], _seed: int) -> Sequence[float]:
        return [max(setting["end"], 1 - epoch / 10) for epoch in range(20)]

    found = simulate(
        scheduler(name, epochs=20, grace=3), Listed(drawn), curve, settings=settings(), epochs=20, workers=4
    )
    kinds = {trial.status for trial in found.trials}
    assert kinds == ({"stopped", "finished"} if name == "median" else {"stopped"})
    assert found.best == min(setting["end"] for setting in drawn)
    assert found.epochs < 0.8 * 60 * 20
    assert all(trial.why for trial in found.trials if trial.status == "stopped")


class OneBracketAtATime(Hyperband):
    """Successive halving as it is without promotions out of turn: everyone waits for the bracket."""

    def next(self, trials: Sequence[Trial], *, may_begin: bool) -> Order | None:
        order = super().next(trials, may_begin=may_begin)
        if isinstance(order, New) and order.notes["bracket"] > 0:
            before = [one for one in trials if one.notes["bracket"] == order.notes["bracket"] - 1]
            if any(one.status == "running" for one in before):
                return None
        return order


def straggling(of: Any) -> Simulated:
    """270 trials, of which every 27th for a while is slow, and no good."""
    rng = random.Random(0)
    drawn = [{"end": 9.0 if place % 27 == 5 and place < 200 else rng.random(), "n": place} for place in range(270)]
    return simulate(
        of,
        Listed(drawn),
        lambda setting, _seed: [setting["end"] + 1 / (1 + epoch) for epoch in range(27)],
        settings=settings(trials=270),
        epochs=27,
        workers=9,
        seconds_per_epoch=lambda setting, _trial: 40.0 if setting["end"] == 9.0 else 1.0,
    )


def test_asha_keeps_slots_busy_where_synchronous_halving_waits_for_a_straggler() -> None:
    asha = straggling(scheduler("asha", epochs=27))
    free = scheduler("hyperband", epochs=27, brackets=1)
    assert isinstance(free, Hyperband)
    hyperband = straggling(free)
    waiting = straggling(OneBracketAtATime(kinds=free.kinds, eta=free.eta, mode=free.mode))
    assert len(waiting.trials) == len(asha.trials) == len(hyperband.trials) == 270
    assert waiting.busy < 0.3
    assert min(asha.busy, hyperband.busy) > 0.75
    assert max(asha.time, hyperband.time) < 0.4 * waiting.time
    assert asha.best == hyperband.best == waiting.best


EPOCHS = 27
BRANIN = Space((Dimension("lr", ("lr",), low=-5.0, high=10.0), Dimension("y", ("optimizer.eps",), low=0.0, high=15.0)))
HARTMANN = Space(
    tuple(Dimension(f"x{place}", (f"loss.terms.t{place}.weight",), low=0.0, high=1.0) for place in range(6))
)


def branin(x: float, y: float) -> float:
    """Lowest value 0.397887 at (-pi, 12.275), (pi, 2.275) and (9.42478, 2.475). Source: Dixon & Szego 1978."""
    b, c, t = 5.1 / (4 * math.pi**2), 5 / math.pi, 1 / (8 * math.pi)
    return (y - b * x**2 + c * x - 6) ** 2 + 10 * (1 - t) * math.cos(x) + 10


A = ((10, 3, 17, 3.5, 1.7, 8), (0.05, 10, 17, 0.1, 8, 14), (3, 3.5, 1.7, 10, 17, 8), (17, 8, 0.05, 10, 0.1, 14))
P = (
    (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886),
    (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
    (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650),
    (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381),
)


def hartmann(*x: float) -> float:
    """Lowest value -3.32237, at one point of the unit cube. Source: Dixon & Szego 1978."""
    hills = (
        weight * math.exp(-sum(a * (v - p) ** 2 for a, v, p in zip(row, x, centre, strict=True)))
        for weight, row, centre in zip((1.0, 1.2, 3.0, 3.2), A, P, strict=True)
    )
    return -sum(hills)


@dataclass(frozen=True)
class Problem:
    """A function as what curves fall towards, each at its own speed, so that early ranks are only nearly right."""

    space: Space
    value: Callable[..., float]
    lowest: float
    height: float

    def curve(self, setting: Mapping[str, Any], _seed: int) -> Sequence[float]:
        x = [setting[key] for key in self.space.keys]
        speed = 2.0 + 2.0 * math.sin(sum((3 + 2 * place) * v for place, v in enumerate(x)))
        end = self.value(*x)
        return [end + self.height * math.exp(-(1 + epoch) / (1 + speed)) for epoch in range(EPOCHS)]


PROBLEMS = {
    "branin": Problem(BRANIN, branin, 0.397887, 30.0),
    "hartmann6": Problem(HARTMANN, hartmann, -3.32237, 1.0),
}


def test_the_functions_are_the_published_ones() -> None:
    assert branin(math.pi, 2.275) == pytest.approx(0.397887, abs=1e-6)
    minimum = (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573)
    assert hartmann(*minimum) == pytest.approx(-3.32237, abs=1e-5)


def searched(name: str, search: str, by: str, *, trials: int, seed: int = 0) -> Simulated:
    problem = PROBLEMS[name]
    chosen = settings(search=search, scheduler=by, trials=trials, seed=seed, population=trials if by == "pbt" else 8)
    return simulate(
        scheduler(by, epochs=EPOCHS, space=problem.space, seed=seed, population=chosen.population, interval=3),
        make_search(chosen, problem.space, LOSS, base={}),
        problem.curve,
        settings=chosen,
        epochs=EPOCHS,
        workers=4,
    )


def regrets(name: str, search: str, by: str, *, trials: int, seeds: int = 3) -> float:
    """How far above the lowest value of the function sweeps end, on average."""
    found = [searched(name, search, by, trials=trials, seed=seed).best for seed in range(seeds)]
    return statistics.fmean(best for best in found if best is not None) - PROBLEMS[name].lowest


@pytest.mark.parametrize("name", PROBLEMS)
def test_asha_finds_what_random_search_finds_with_a_fraction_of_the_training(name: str) -> None:
    for seed in range(3):
        full, asha = (searched(name, "random", by, trials=200, seed=seed) for by in ("none", "asha"))
        assert full.epochs == 200 * EPOCHS
        assert asha.best == full.best
        assert asha.epochs < 0.2 * full.epochs


@pytest.mark.parametrize("name", PROBLEMS)
def test_asha_has_better_settings_after_the_same_training(name: str) -> None:
    assert searched(name, "random", "asha", trials=130).epochs <= 25 * EPOCHS
    assert regrets(name, "random", "asha", trials=130) < 0.7 * regrets(name, "random", "none", trials=25)


@pytest.mark.parametrize("name", PROBLEMS)
def test_tpe_beats_random_search_with_as_many_trials(name: str) -> None:
    pytest.importorskip("optuna")
    assert regrets(name, "tpe", "none", trials=60) < 0.7 * regrets(name, "random", "none", trials=60)


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_population_moves_to_better_settings_than_it_began_with(name: str) -> None:
    assert searched(name, "random", "pbt", trials=16).epochs <= 16 * EPOCHS
    assert regrets(name, "random", "pbt", trials=16) < 0.7 * regrets(name, "random", "none", trials=16)


@pytest.mark.parametrize("trials", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_thousands_of_trials_are_simulated_in_seconds(trials: int, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(0)
    drawn = [{"end": rng.random()} for _ in range(trials)]
    ends = [1 / (1 + epoch) for epoch in range(81)]
    began = time.perf_counter()
    found = simulate(
        scheduler("asha", epochs=81), Listed(drawn), lambda setting, _seed: [setting["end"] + end for end in ends],
        settings=settings(trials=trials), epochs=81, workers=16,
    )  # fmt: skip
    took = time.perf_counter() - began
    with capsys.disabled():
        print(f"\n{trials} ASHA trials, {found.epochs} epochs: {took:.1f} s, {trials / took:.0f} a second")  # noqa: T201
    assert len(found.trials) == trials
    assert found.best == min(drawn, key=lambda setting: setting["end"])["end"] + ends[-1]
