"""What each search promises of its own."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from scipy.stats import qmc

from hpo_cli.errors import ConfigError
from hpo_cli.sweep.search.contract import Aim
from hpo_cli.sweep.search.halton import halton, primes
from hpo_cli.sweep.search.memory import banned
from hpo_cli.sweep.search.past import MOST_SEEN, Past, Seen, best_and_newest
from hpo_cli.sweep.space import Condition, Dimension, Space
from hpo_cli.sweep.state import Run, Trial
from tests.sweep.search.spaces import BASE, CUBE, FOUR, MIXED, SQUARE, bowl, branin, search_of, sweep, trial

ABC = Space((Dimension("a", ("a",), choices=(1, 2)), Dimension("b", ("b",), choices=("x", "y", "z"))))
BATCHES = Space((Dimension("batch_size", ("batch_size",), choices=(16, 32, 64, 128, 256)), *SQUARE.dimensions))


def _flat(_: Any) -> float:
    return 0.0


def _out_of_memory(number: int, setting: dict[str, Any]) -> Trial:
    failed = trial(number, setting, status="failed", epoch=0)
    failed.runs[0].cause = "memory"
    return failed


# -- grid


def test_a_grid_goes_in_hydras_order() -> None:
    found = [(t.setting["a"], t.setting["b"]) for t in sweep(search_of("grid", ABC), _flat, 99)]
    assert found == [(1, "x"), (1, "y"), (1, "z"), (2, "x"), (2, "y"), (2, "z")]


def test_a_grid_goes_on_behind_a_setting_that_was_refused_and_asks_for_it_again_at_its_end() -> None:
    search = search_of("grid", ABC)
    trials = [trial(1, search.propose([], 1) or {}, 0.0)]
    trials.append(trial(2, search.propose(trials, 2, attempt=1) or {}, 0.0))  # (1, y) was refused
    assert [dict(t.setting) for t in trials] == [{"a": 1, "b": "x"}, {"a": 1, "b": "z"}]
    rest = [dict(t.setting) for t in sweep(search, _flat, 99, trials)[2:]]
    assert rest == [{"a": 2, "b": "x"}, {"a": 2, "b": "y"}, {"a": 2, "b": "z"}, {"a": 1, "b": "y"}]


def test_a_value_that_an_edit_brings_in_is_not_forgotten() -> None:
    search = search_of("grid", ABC)
    trials = sweep(search, _flat, 5)
    search.narrow(Space((Dimension("a", ("a",), choices=(1, 2, 3)), Dimension("b", ("b",), choices=("x", "y", "z")))))
    assert len(sweep(search, _flat, 99, trials)) == 9


def test_a_grid_over_a_range_without_steps_is_refused() -> None:
    with pytest.raises(ConfigError, match="range without steps"):
        search_of("grid", SQUARE)


# -- memory


def test_what_ran_out_of_memory_keeps_every_search_from_batches_as_large() -> None:
    for name in ("random", "qmc", "tpe", "gp", "cmaes", "zoom"):
        search = search_of(name, BATCHES, startup=4, trials=30)
        trials = [_out_of_memory(1, {"batch_size": 64, "x": 0.0, "y": 0.0})]
        found = sweep(search, branin, 20, trials)
        assert len(found) == 20
        assert {t.setting["batch_size"] for t in found[1:]} == {16, 32}, name


def test_a_search_ends_where_no_batch_is_small_enough() -> None:
    for name in ("random", "tpe"):
        search = search_of(name, FOUR)
        trials = [_out_of_memory(1, {"optimizer": "sgd", "batch_size": 16})]
        assert search.propose(trials, 2) is None


def test_batches_of_a_range_and_of_zipped_lists_are_kept_small_too() -> None:
    ranged = Space((Dimension("batch_size", ("batch_size",), low=8, high=512, kind="int", scale="log"),))
    zipped = Space((Dimension("pair", ("lr", "batch_size"), choices=((0.1, 16), (0.2, 64), (0.3, 32))),))
    for space, limit in ((ranged, 64), (zipped, 64)):
        trials = [_out_of_memory(1, {"batch_size": limit, "lr": 0.2})]
        found = sweep(search_of("random", space), _flat, 20, trials)[1:]
        assert found
        assert all(t.setting["batch_size"] < limit for t in found)


def test_the_ban_names_the_trial_that_failed_and_spares_other_settings() -> None:
    trials = [_out_of_memory(1, {"batch_size": 512})]
    assert banned(trials, {"batch_size": 512}) == "batch_size=512: a trial with batch_size=512 ran out of memory"
    assert banned(trials, {"batch_size": 1024}) is not None
    assert banned(trials, {"batch_size": 256}) is None
    assert banned(trials, {"lr": 0.1}) is None


def test_only_memory_bans_and_only_where_no_trial_with_as_large_a_batch_has_trained() -> None:
    failed = trial(1, {"batch_size": 64}, status="failed", epoch=0)
    assert banned([failed], {"batch_size": 64}) is None
    survivor = trial(2, {"batch_size": 128, "model": "small"}, 1.0)
    assert banned([_out_of_memory(1, {"batch_size": 64, "model": "large"}), survivor], {"batch_size": 64}) is None
    assert banned([_out_of_memory(1, {"batch_size": 256}), survivor], {"batch_size": 256}) is not None


# -- quasi-random


def test_the_sequence_is_haltons() -> None:
    expected = qmc.Halton(d=6, scramble=False).random(200)
    found = np.array([[halton(index, dim) for dim in range(6)] for index in range(200)])
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_scrambled_points_fill_a_cube_more_evenly_than_random_ones() -> None:
    for dims, count in ((2, 20), (6, 50), (12, 64)):
        even = [_discrepancy([[halton(i, d, seed=s) for d in range(dims)] for i in range(count)]) for s in range(10)]
        rng = random.Random(0)
        chance = [_discrepancy([[rng.random() for _ in range(dims)] for _ in range(count)]) for _ in range(10)]
        assert max(even) < min(chance) if dims == 2 else np.median(even) < min(chance)


def _discrepancy(points: list[list[float]]) -> float:
    return float(qmc.discrepancy(np.array(points)))


def test_as_many_points_as_a_dimensions_prime_hit_each_of_its_parts_once() -> None:
    for dim, prime in enumerate(primes(12)):
        parts = sorted(int(halton(index, dim, seed=3) * prime) for index in range(prime))
        assert parts == list(range(prime))


def test_a_quasi_random_search_takes_each_optimizer_equally_often() -> None:
    found = [search_of("qmc", MIXED).propose([], number) or {} for number in range(1, 65)]
    assert sum(setting["optimizer"] == "sgd" for setting in found) == 32


# -- sensitivity


def test_sensitivity_begins_at_the_base_point_and_varies_one_dimension_at_a_time() -> None:
    space = Space(
        (
            Dimension("optimizer", ("optimizer",), choices=("sgd", "adam")),
            Dimension("lr", ("lr",), low=1e-4, high=1.0, scale="log"),
            Dimension("depth", ("depth",), low=1, high=3, kind="int"),
            Dimension("dropout", ("dropout",), low=0.0, high=0.4, prior=0.1),
            Dimension("beta", ("beta",), low=0.9, high=0.99, when=(Condition("optimizer", ("adam",)),)),
        )
    )
    search = search_of("sensitivity", space, base={"optimizer": "sgd", "lr": 0.03, "depth": 2}, points=5)
    found = [dict(t.setting) for t in sweep(search, _flat, 99)]
    centre = {"optimizer": "sgd", "lr": 0.03, "depth": 2, "dropout": 0.1}
    assert found[0] == centre
    assert found[1] == {**centre, "optimizer": "adam"}
    assert [s["lr"] for s in found[2:7]] == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    assert [s["depth"] for s in found[7:9]] == [1, 3]
    assert [s["dropout"] for s in found[9:]] == pytest.approx([0.0, 0.2, 0.3, 0.4])
    assert search.size == len(found) == 13
    assert all(sum(s[key] != centre[key] for key in centre) == 1 for s in found[1:])


# -- zoom


def test_zoom_stays_in_the_box_of_the_best_after_its_share_of_wide_trials() -> None:
    space = Space((Dimension("lr", ("lr",), low=1e-6, high=1.0, scale="log"), FOUR["optimizer"]))

    def loss(setting: Any) -> float:
        return abs(math.log10(setting["lr"]) + 3) + (setting["optimizer"] == "adam") * 2

    found = sweep(search_of("zoom", space, trials=40, zoom=0.5), loss, 40)
    wide, close = found[:20], found[20:]
    assert max(abs(math.log10(t.setting["lr"]) + 3) for t in wide) > 1.5
    assert max(abs(math.log10(t.setting["lr"]) + 3) for t in close) < 1.0
    assert {t.setting["optimizer"] for t in wide} == {"sgd", "adam"}
    assert {t.setting["optimizer"] for t in close} == {"sgd"}


# -- models


def _curve(number: int, setting: Any, epochs: int, *, status: Any) -> Trial:
    """A trial whose order of quality at epoch 1 is the opposite of that at epoch 9."""
    run = Run(0, f"r{number}", status=status, epoch=epochs, attempts=1)
    run.reports = {e: ((1.0 - setting["x"]) if e < 9 else setting["x"],) for e in range(1, epochs + 1)}
    run.values = run.reports[epochs]
    return Trial(number, setting, f"p{number}", [run])


LINE = Space((Dimension("x", ("x",), low=0.0, high=1.0),))


def _at_rungs(num: int, num_top: int) -> list[Trial]:
    rng = random.Random(1)
    settings = [{"x": rng.random()} for _ in range(num)]
    return [
        _curve(n, setting, 9 if n <= num_top else 1, status="finished" if n <= num_top else "paused")
        for n, setting in enumerate(settings, start=1)
    ]


def test_trials_are_compared_at_the_largest_epoch_that_enough_reached() -> None:
    aims = (Aim("val/loss", "min"),)
    few = Past(LINE, aims).read(_at_rungs(40, 4), enough=10)
    assert len(few.known) == 40
    assert not few.short
    assert few.known[0].epoch == 1
    many = Past(LINE, aims).read(_at_rungs(40, 12), enough=10)
    assert [one.number for one in many.known] == list(range(1, 13))
    assert len(many.short) == 28
    none = Past(LINE, aims).read(_at_rungs(5, 0), enough=10)
    assert not none.known


def test_the_model_of_bohb_follows_the_larger_rung_as_soon_as_it_can() -> None:
    """At epoch 1 a large x looks good, at epoch 9 a small one: the proposals turn round."""

    def middle(trials: list[Trial]) -> float:
        search = search_of("tpe", LINE, startup=10)
        return float(np.median([(search.propose(trials, 100 + i) or {})["x"] for i in range(15)]))

    assert middle(_at_rungs(40, 0)) > 0.7
    assert middle(_at_rungs(40, 20)) < 0.3


def test_a_failed_trial_repels_the_models() -> None:
    def share_below(name: str, status: str) -> float:
        rng = random.Random(3)
        trials = []
        for number in range(1, 31):
            x = rng.random()
            bad = x < 0.4
            trials.append(trial(number, {"x": x}, None if bad else 0.5 + x, status=status if bad else "finished"))
        search = search_of(name, LINE, startup=5)
        return float(np.mean([(search.propose(trials, 50 + i) or {})["x"] < 0.36 for i in range(12)]))

    for name in ("tpe", "gp"):
        assert share_below(name, "failed") <= 0.2


def test_two_aims_find_more_of_the_pareto_front_with_tpe_than_at_random() -> None:
    """f = (|x|^2, |x - 1|^2): the front is the diagonal."""
    aims = (Aim("one", "min"), Aim("two", "max"))

    def far(name: str, seed: int) -> float:
        search = search_of(name, CUBE, aims=aims, seed=seed, startup=10)
        trials: list[Trial] = []
        for number in range(1, 41):
            setting = search.propose(trials, number) or {}
            x = np.array([setting[f"x{i}"] for i in range(6)])
            trials.append(trial(number, setting, (float(x @ x), -float((x - 1) @ (x - 1)))))
        rows = np.array([[t.setting[f"x{i}"] for i in range(6)] for t in trials[20:]])
        return float(np.mean(np.std(rows, axis=1)))

    assert np.median([far("tpe", s) for s in range(3)]) < 0.9 * np.median([far("random", s) for s in range(3)])


@pytest.mark.parametrize("name", ["gp", "cmaes"])
def test_searches_for_one_aim_refuse_two_and_name_one_that_takes_them(name: str) -> None:
    aims = (Aim("val/accuracy", "max"), Aim("params", "min"))
    with pytest.raises(ConfigError, match=r"sweep.search=tpe") as error:
        search_of(name, SQUARE, aims=aims)
    assert "\n" not in str(error.value)


def test_an_aim_that_is_maximised_is_climbed() -> None:
    for name in ("tpe", "gp", "cmaes", "zoom"):
        search = search_of(name, LINE, aims=(Aim("val/accuracy", "max"),), startup=5, trials=30)
        trials = sweep(search, lambda s: -abs(s["x"] - 0.8), 30)
        assert sum(abs(t.setting["x"] - 0.8) < 0.05 for t in trials[-10:]) >= 4, name  # 1 of 10 at random


def test_a_model_sees_the_best_and_the_newest() -> None:
    seen = [Seen(n, {"x": 0.5}, "known", (float(n),)) for n in range(1, 5001)]
    kept = best_and_newest(seen)
    numbers = [one.number for one in kept]
    assert len(kept) == MOST_SEEN
    assert numbers == sorted(numbers)
    assert numbers[0] == 1
    assert numbers[-1] == 5000
    assert best_and_newest(seen[:100]) == seen[:100]


def test_trials_of_a_space_without_a_dimension_count_with_the_base_configs_value() -> None:
    old = [trial(n, {"x": n / 10}, 1.0) for n in range(1, 10)]
    wider = Space((*LINE.dimensions, Dimension("depth", ("model.depth",), low=1, high=6, kind="int")), BASE)
    known = Past(wider, (Aim("l", "min"),)).read(old, enough=1).known
    assert [one.point for one in known] == [{"x": n / 10, "depth": 2} for n in range(1, 10)]


def test_what_does_not_fit_the_narrowed_space_is_left_out_of_the_model() -> None:
    old = [trial(n, {"x": n / 10}, 1.0) for n in range(1, 10)]
    known = Past(LINE.narrowed({"x": (0.35, 0.75)}), (Aim("l", "min"),)).read(old, enough=1).known
    assert [one.number for one in known] == [4, 5, 6, 7]


def test_the_process_that_schedules_imports_neither_torch_nor_what_it_does_not_need() -> None:
    code = (
        "import sys; from tests.sweep.search.spaces import *\n"
        "for name in ('random', 'qmc', 'zoom', 'sensitivity'): sweep(search_of(name, MIXED), bowl, 12)\n"
        "light = {'numpy', 'scipy', 'optuna', 'torch'} & set(sys.modules)\n"
        "for name in ('tpe', 'gp', 'cmaes'): sweep(search_of(name, MIXED, startup=3), bowl, 5)\n"
        "print(sorted(light), 'optuna' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True False"


def test_bowl_is_what_the_suite_takes_it_for() -> None:
    assert bowl({"optimizer": "sgd", "optimizer.lr": 0.1, "dropout": 0.2}) == 0.0
