"""The order of trials, their spread over seeds, and the front of several aims."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_cli.report.leaderboard import leaderboard, pareto_front
from hpo_cli.sweep.search.contract import Aim
from tests.report.sweeps import ASHA, Sweep, read

AIMS = (Aim("val/accuracy", "max"), Aim("params", "min"))
VALUES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=30)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_best_comes_first_in_either_direction(tmp_path: Path, mode: str) -> None:
    rows = leaderboard(read(tmp_path, Sweep(aims=(("val/accuracy", mode),))))
    values = [row.mean for row in rows if row.rank is not None]
    assert values == sorted(values, reverse=mode == "max")
    assert [row.rank for row in rows if row.rank] == list(range(1, len(values) + 1))
    assert len(values) > 30


def test_what_failed_has_no_rank_and_says_why(tmp_path: Path) -> None:
    rows = leaderboard(read(tmp_path))
    failed = [row for row in rows if row.status == "failed"]
    assert failed
    assert all(row.rank is None and "train/loss was nan" in row.why for row in failed)
    assert rows[-len(failed) :] == failed


def test_mean_and_deviation_are_over_the_seeds(tmp_path: Path) -> None:
    state = read(tmp_path, Sweep(trials=6, seeds=4))
    row = leaderboard(state)[0]
    each = [run.values[0] for run in state.trial(row.trial).runs if run.values and run.values[0] is not None]
    assert (row.num_runs, row.each) == (4, tuple(each))
    assert row.mean == pytest.approx(statistics.fmean(each))
    assert row.deviation == pytest.approx(statistics.stdev(each))
    assert row.run == state.trial(row.trial).runs[each.index(max(each))].folder
    assert row.seconds == pytest.approx(sum(run.seconds for run in state.trial(row.trial).runs))


def test_a_trial_is_ranked_once_all_its_seeds_have_a_value(tmp_path: Path) -> None:
    state = read(tmp_path, Sweep(trials=6, seeds=3))
    best = leaderboard(state)[0].trial
    state.trial(best).runs[1].values = None
    (row,) = [row for row in leaderboard(state) if row.trial == best]
    assert (row.rank, row.num_runs) == (None, 2)


def test_trials_that_were_ended_early_keep_their_epochs(tmp_path: Path) -> None:
    rows = leaderboard(read(tmp_path, Sweep(rungs=ASHA, trials=60)))
    assert {row.epochs for row in rows if row.status == "paused"} == {1, 3}
    assert rows[0].epochs == 9


@given(VALUES)
def test_the_front_is_what_nothing_dominates(points: list[tuple[int, int]]) -> None:
    found = [(number, (float(a), float(b))) for number, (a, b) in enumerate(points)]

    def beaten(a: int, b: int) -> bool:
        return any((c >= a and d <= b) and (c, d) != (a, b) for c, d in points)

    assert pareto_front(found, AIMS) == {n for n, (a, b) in enumerate(points) if not beaten(a, b)}


def test_a_missing_value_is_on_no_front() -> None:
    assert pareto_front([(1, (0.5, None)), (2, (0.1, 9.0))], AIMS) == {2}


def test_the_front_of_one_aim_is_its_best() -> None:
    assert pareto_front([(1, (0.5,)), (2, (0.9,)), (3, (0.9,))], AIMS[:1]) == {2, 3}
