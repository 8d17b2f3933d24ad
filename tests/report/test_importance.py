"""Importance of hyperparameters on functions whose answer is known."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from hpo_cli.report import importance
from hpo_cli.report.dimensions import drawn_dimensions
from hpo_cli.report.expected import tier_of
from hpo_cli.report.fair import fair_values
from hpo_cli.report.importance import importances, ranked
from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.space import Condition, Dimension, Space
from hpo_cli.sweep.state import Run, Trial
from tests.report.sweeps import ASHA, Sweep, read
from tests.sweep.fake import began

UNIT = {"low": 0.0, "high": 1.0}
LINEAR = Space(tuple(Dimension(name, (name,), **UNIT) for name in ("c", "idle", "a", "b")))  # type: ignore[arg-type]


def state_of(tmp_path: Path, space: Space, value: Callable[[dict[str, Any]], float], *, trials: int) -> SweepState:
    """A sweep of random settings whose value is a function of them."""
    state = read(tmp_path, Sweep(trials=0))
    state.space, rng = space, random.Random(7)
    state.began["space"] = space.to_json()
    for number in range(1, trials + 1):
        setting = space.draw(rng)
        run = Run(0, f"r-{number}", "finished", 9, {9: (value(setting),)}, values=(value(setting),))
        state.trials.append(Trial(number, setting, str(number), [run]))
    return state


@pytest.mark.parametrize("trials", [300, 15], ids=["PED-ANOVA", "ranks"])
def test_known_shares_come_out_in_order_and_what_is_irrelevant_last(tmp_path: Path, trials: int) -> None:
    state = state_of(tmp_path, LINEAR, lambda s: 4 * s["a"] + 2 * s["b"] + s["c"], trials=trials)  # 16 : 4 : 1
    found = importances(state)
    assert found.method == ("PED-ANOVA" if trials >= importance.ENOUGH else "rank correlation")
    names = [row.name for row in found.rows]
    assert names[0] == "a"
    if trials >= importance.ENOUGH:
        assert names == ["a", "b", "c", "idle"]
    assert (found.rows[names.index("idle")].share or 0) < 0.05
    assert sum(row.share or 0 for row in found.rows) == pytest.approx(1)


def test_an_optimum_in_the_middle_needs_more_than_ranks(tmp_path: Path) -> None:
    value = lambda s: 1 - (s["a"] - 0.5) ** 2 + 0.001 * s["idle"]  # noqa: E731
    assert importances(state_of(tmp_path, LINEAR, value, trials=150)).rows[0].name == "a"
    ranks = importance._by_ranks(*tables(state_of(tmp_path / "r", LINEAR, value, trials=150)))
    assert ranks["a"] < 0.1  # the control: a rank correlation does not see it


def tables(state: SweepState) -> tuple[Any, Any, Any]:
    table = {trial.number: dict(trial.setting) for trial in state.trials}
    return table, {trial.number: trial.value for trial in state.trials}, state.space.dimensions


def test_less_is_better_is_understood(tmp_path: Path) -> None:
    state = state_of(tmp_path, LINEAR, lambda s: (s["a"] - 0.5) ** 2 + (s["b"] > 0.1), trials=150)
    upwards = importances(state).rows
    state.aims = (type(state.aims[0])("val/loss", "min"),)
    downwards = importances(state).rows
    assert upwards[0].name != downwards[0].name or upwards[0].share != downwards[0].share
    assert downwards[0].name in ("a", "b")


def test_a_dimension_counts_where_it_is_active(tmp_path: Path) -> None:
    sgd = Condition("optimizer", ("sgd",))
    space = Space(
        (
            Dimension("optimizer", ("optimizer",), choices=("sgd", "adam")),
            Dimension("optimizer.momentum", ("optimizer.momentum",), when=(sgd,), **UNIT),  # type: ignore[arg-type]
            Dimension("idle", ("idle",), when=(sgd,), **UNIT),  # type: ignore[arg-type]
        )
    )
    state = state_of(tmp_path, space, lambda s: s.get("optimizer.momentum", 0.5), trials=100)
    rows = {row.name: row for row in importances(state).rows}
    num_sgd = sum(trial.setting["optimizer"] == "sgd" for trial in state.trials)
    assert (rows["optimizer.momentum"].trials, rows["idle"].trials, rows["optimizer"].trials) == (num_sgd, num_sgd, 100)
    assert rows["optimizer.momentum"].condition == "optimizer=sgd"
    assert (rows["optimizer.momentum"].share or 0) > 5 * (rows["idle"].share or 0)


def test_zipped_lists_names_and_numbers_from_before_a_narrowing_are_understood(tmp_path: Path) -> None:
    space = Space(
        (
            Dimension("lr,batch_size", ("lr", "batch_size"), choices=((0.1, 32), (0.01, 64))),
            Dimension("model", ("model",), choices=("mlp", "cnn")),
            Dimension("a", ("a",), **UNIT),  # type: ignore[arg-type]
        )
    )
    state = state_of(tmp_path, space, lambda s: s["batch_size"] + (1e4 * s["a"]) % 1, trials=40)
    state.space = space.narrowed({"a": (0.4, 0.6)}).without("model", "cnn")
    rows = importances(state).rows
    assert rows[0].name == "lr,batch_size"
    assert all(row.share is not None for row in rows if row.name != "model")


def test_few_trials_give_no_figures_and_say_so(tmp_path: Path) -> None:
    found = importances(state_of(tmp_path, LINEAR, lambda s: s["a"], trials=3))
    assert found.method == "none"
    assert all(row.share is None for row in found.rows)
    assert "there are 3" in found.cautions[0]


@pytest.mark.parametrize("trials", [12, 40])
def test_constant_values_show_no_influence_worth_the_name(tmp_path: Path, trials: int) -> None:
    found = importances(state_of(tmp_path, LINEAR, lambda _: 0.5, trials=trials))
    assert len(found.rows) == 4
    assert all(row.share == 0 for row in found.rows)
    assert "nothing that was varied shows any influence" in found.cautions


def test_ranks_are_scipys() -> None:
    rng = random.Random(1)
    values = [float(rng.randrange(6)) for _ in range(40)]
    assert ranked(values) == pytest.approx(list(stats.rankdata(values)))


def test_trials_are_compared_at_an_epoch_that_most_have_reached(tmp_path: Path) -> None:
    state = read(tmp_path, Sweep(rungs=ASHA, trials=81))
    fair = fair_values(state.trials)
    assert fair.epoch == 1
    having = [trial for trial in state.trials if trial.status != "failed"]
    assert fair.values == {trial.number: trial.reports[1][0] for trial in having}
    assert "compared at epoch 1 of 9, which 78 of 78 trials reached" in importances(state).cautions
    whole = read(tmp_path / "whole", Sweep(trials=30))
    assert fair_values(whole.trials).epoch == 9
    assert not any("compared at" in text for text in importances(whole).cautions)


def test_the_catalogue_expects_lr_first_then_batch_size_then_the_rest() -> None:
    keys = ["optimizer.lr", "loss.gamma", "batch_size", "optimizer.momentum", "optimizer.betas", "model.depth", "seed"]
    assert [tier_of([key]) for key in keys] == [1, 1, 2, 2, 3, 3, None]


def test_an_lr_that_hardly_mattered_is_remarked_on(tmp_path: Path) -> None:
    space = Space(
        (
            Dimension("lr", ("lr",), low=0.01, high=0.011, scale="log"),
            Dimension("regularization.dropout", ("regularization.dropout",), low=0.0, high=0.5),
        )
    )
    found = importances(state_of(tmp_path, space, lambda s: -s["regularization.dropout"], trials=80))
    assert any(text.startswith("lr is expected first and hardly mattered") for text in found.cautions)
    usual = importances(state_of(tmp_path / "usual", space, lambda s: s["lr"], trials=80))
    assert not any("hardly mattered" in text for text in usual.cautions)


def test_one_knob_at_a_time_is_measured_by_its_spread(tmp_path: Path) -> None:
    """Values by hand: lr moves the value by 0.3, momentum by 0.1, the weight decay not at all."""
    state = SweepState(tmp_path / "abc")
    keys = ("lr", "optimizer.momentum", "optimizer.weight_decay")
    space = [{"name": key, "keys": [key], **UNIT} for key in keys]
    state.replay([began(settings={"search": "sensitivity"}, space=space)])
    base = {"lr": 0.5, "optimizer.momentum": 0.5, "optimizer.weight_decay": 0.5}
    points = [({}, 0.6), ({"lr": 0.1}, 0.5), ({"lr": 0.9}, 0.8), ({"optimizer.momentum": 0.9}, 0.7)]
    points += [({"optimizer.weight_decay": 0.1}, 0.6), ({"optimizer.weight_decay": 0.9}, 0.6)]
    for number, (change, value) in enumerate(points, start=1):
        setting = {**base, **change}
        ended = {"status": "finished", "epoch": 4, "values": [value], "reports": [[4, [value]]]}
        state.replay(
            [
                {"event": "proposed", "trial": number, "setting": setting, "plan_id": str(number), "until": None},
                {"event": "started", "trial": number, "run": 0},
                {"event": "ended", "trial": number, "run": 0, **ended},
            ]
        )
    found = importances(state)
    assert found.method == "one at a time"
    assert {row.name: round(row.share or 0, 3) for row in found.rows} == {
        "lr": 0.75, "optimizer.momentum": 0.25, "optimizer.weight_decay": 0.0,
    }  # fmt: skip


def test_a_base_point_outside_of_a_log_range_is_no_error(tmp_path: Path) -> None:
    """Adam's weight decay is 0, and its range a logarithmic one: what a sensitivity sweep of it leaves behind."""
    state = SweepState(tmp_path / "abc")
    key = "optimizer.weight_decay"
    space = [{"name": key, "keys": [key], "low": 1e-6, "high": 1e-4, "scale": "log"}]
    state.replay([began(settings={"search": "sensitivity"}, space=space)])
    for number, (decay, value) in enumerate([(0.0, 0.6), (1e-6, 0.5), (1e-4, 0.7)], start=1):
        ended = {"status": "finished", "epoch": 4, "values": [value], "reports": [[4, [value]]]}
        state.replay(
            [
                {"event": "proposed", "trial": number, "setting": {key: decay}, "plan_id": str(number), "until": None},
                {"event": "started", "trial": number, "run": 0},
                {"event": "ended", "trial": number, "run": 0, **ended},
            ]
        )
    assert [(row.name, row.share) for row in importances(state).rows] == [(key, 1.0)]
    (drawn,) = drawn_dimensions(state)
    assert (drawn.scale, drawn.ends) == ("linear", (0.0, 1e-4))
