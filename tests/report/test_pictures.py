"""What the pictures show: which curves, where on which axis."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hpo_cli.report.curves import curves, thinned, with_running
from hpo_cli.report.dimensions import Axis, axis, axis_of, robust_axis, value_of
from hpo_cli.report.leaderboard import leaderboard
from hpo_cli.report.parallel import parallel
from hpo_cli.report.slices import slices
from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.space import Dimension
from tests.report.sweeps import ASHA, SPACE, Sweep, read

FINITE = st.floats(-1e6, 1e6)


def order_of(state: SweepState) -> list[int]:
    return [row.trial for row in leaderboard(state)]


def test_the_best_is_drawn_last_and_what_failed_first(tmp_path: Path) -> None:
    state = read(tmp_path, Sweep(trials=60))
    drawn = curves(state, order_of(state))
    assert [curve.part for curve in drawn.curves[-2:]] == ["finished", "best"]
    assert drawn.curves[-1].trial == order_of(state)[0]
    assert drawn.curves[0].part == "failed"
    assert drawn.total == 60


def test_rungs_are_where_trials_wait(tmp_path: Path) -> None:
    state = read(tmp_path, Sweep(rungs=ASHA, trials=60))
    assert curves(state, order_of(state)).rungs == (1, 3)
    whole = read(tmp_path / "whole")
    assert curves(whole, order_of(whole)).rungs == ()


def test_a_thousand_curves_are_thinned_and_the_best_stay(tmp_path: Path) -> None:
    state = read(tmp_path, Sweep(trials=1000))
    drawn = curves(state, order_of(state), most=100)
    assert (len(drawn.curves), drawn.total) == (100, 1000)
    assert set(order_of(state)[:20]) <= {curve.trial for curve in drawn.curves}


@given(st.lists(st.integers(), unique=True, max_size=200), st.integers(5, 50))
def test_thinning_keeps_the_order_and_nothing_twice(order: list[int], most: int) -> None:
    kept = thinned(order, most=most)
    assert len(kept) == min(most, len(order))
    assert kept == [one for one in order if one in set(kept)]


def test_curves_are_those_of_the_runs_themselves_where_they_are_there(tmp_path: Path) -> None:
    state = read(tmp_path, Sweep(trials=5))
    run = state.trial(2).runs[0]
    (state.folder / run.folder).mkdir()
    rows = [{"step": 10 * k, "epoch": k, "val/accuracy": value} for k, value in enumerate([0.9, 0.5, 0.7], start=1)]
    (state.folder / run.folder / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    found = {curve.trial: curve for curve in curves(state, order_of(state)).curves}
    assert found[2].values == (0.9, 0.5, 0.7)
    assert found[1].values == tuple(values[0] for values in state.trial(1).reports.values())


def test_a_curve_with_seeds_is_their_mean(tmp_path: Path) -> None:
    state = read(tmp_path, Sweep(trials=3, seeds=2))
    found = {curve.trial: curve for curve in curves(state, order_of(state)).curves}
    first, second = (run.reports for run in state.trial(1).runs)
    assert found[1].values[0] == pytest.approx(((first[1][0] or 0) + (second[1][0] or 0)) / 2)


def test_running_trials_are_read_from_their_folders(tmp_path: Path) -> None:
    state = read(tmp_path, Sweep(trials=4, running=1, end=None))
    folder = state.folder / state.trial(4).runs[0].folder
    folder.mkdir()
    (folder / "ledger.jsonl").write_text("")
    (folder / "metrics.jsonl").write_text('{"step": 5, "epoch": 1, "val/accuracy": 0.25}\n')
    drawn = curves(with_running(state), order_of(state))
    assert [(c.trial, c.values) for c in drawn.curves if c.part == "running"] == [(4, (0.25,))]


def test_a_slice_has_the_trials_in_which_its_dimension_is_active(tmp_path: Path) -> None:
    state = read(tmp_path, Sweep(trials=50))
    values = {row.trial: row.mean for row in leaderboard(state) if row.rank and row.mean is not None}
    found = {one.name: one for one in slices(state, values)}
    adam = {trial for trial in values if state.trial(trial).setting["optimizer"] == "adam"}
    assert {dot.trial for dot in found["lr (adam)"].dots} == adam
    assert found["lr (adam)"].axis.kind == "log"
    assert found["batch_size"].axis.names == ("16", "32", "64", "128", "256")
    assert sorted(found) == sorted(one.name for one in SPACE.dimensions)


def test_a_line_is_broken_where_a_dimension_is_not_active(tmp_path: Path) -> None:
    state = read(tmp_path, Sweep(trials=30))
    values = {row.trial: row.mean for row in leaderboard(state) if row.rank and row.mean is not None}
    drawn = parallel(state, values)
    for one in drawn.lines:
        has = dict(zip(drawn.names, one.places, strict=True))
        assert (has["lr (sgd)"] is None) == (state.trial(one.trial).setting["optimizer"] == "adam")
    assert drawn.lines[-1].trial == next(iter(values))


def test_null_among_the_choices_has_its_place() -> None:
    dimension = Dimension("clip", ("clip",), choices=(None, 1.0, True))
    assert axis_of(dimension).names == ("-", "1", "true")
    assert axis_of(dimension).place(value_of(dimension, {"clip": 1.0})) == pytest.approx(0.5)


def test_a_log_axis_has_equal_room_for_each_power_of_ten() -> None:
    of = Axis("log", 1e-5, 1e-1)
    assert [tick.label for tick in of.ticks()] == ["1e-05", "0.0001", "0.001", "0.01", "0.1"]
    assert [tick.place for tick in of.ticks()] == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert of.place(0.0) is None


@given(st.lists(FINITE, min_size=1, max_size=20), st.integers(3, 10))
def test_every_tick_lies_on_its_axis(values: list[float], most: int) -> None:
    of = axis(values)
    ticks = of.ticks(most=most)
    assert 1 <= len(ticks) <= 2 * most + 2
    assert all(-1e-6 <= tick.place <= 1 + 1e-6 for tick in ticks)
    assert all(of.place(value) is not None for value in values)


@given(st.lists(FINITE, min_size=2, max_size=40), st.sampled_from(["min", "max"]))
def test_an_axis_that_leaves_out_the_worst_keeps_the_best(values: list[float], mode: str) -> None:
    best = max(values) if mode == "max" else min(values)
    of, beyond = robust_axis(values, mode=mode)
    assert of.low <= best <= of.high
    assert beyond <= len(values) // 5
    assume(of.high - of.low > 1e-3)
    assert sum(of.low <= value <= of.high for value in values) >= len(values) - beyond


def test_one_diverged_trial_does_not_press_the_others_together() -> None:
    of, beyond = robust_axis([0.1 + k / 100 for k in range(20)] + [1e9], mode="min")
    assert (of.high < 1, beyond) == (True, 1)


def test_numbers_that_were_listed_lie_in_their_order_and_names_as_listed() -> None:
    assert axis_of(Dimension("lr", ("lr",), choices=(0.01, 0.001, 0.1))).names == ("0.001", "0.01", "0.1")
    assert axis_of(Dimension("model", ("model",), choices=("mlp", "cnn"))).names == ("mlp", "cnn")


def test_epochs_that_somebody_added_outside_of_the_sweep_are_not_drawn_and_told_of(tmp_path: Path) -> None:
    state = read(tmp_path, Sweep(trials=3))
    first = order_of(state)[0]
    folder = state.folder / state.trial(first).runs[0].folder
    folder.mkdir()
    rows = [{"step": 10 * epoch, "epoch": epoch, "val/accuracy": 0.5 + epoch / 100} for epoch in range(1, 15)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    drawn = curves(state, order_of(state))
    assert drawn.curves[-1].epochs == tuple(range(1, 10))
    assert drawn.curves[-1].values[0] == pytest.approx(0.51)
    assert drawn.went_on == {first: 14}
    assert f"trial {first} to epoch 14" in drawn.note
    assert curves(read(tmp_path / "other"), [1]).note == ""
