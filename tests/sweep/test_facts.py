"""What a run reached, as best or last value of each aim, by hand-made rows."""

from __future__ import annotations

import math

from hpo_cli.sweep.facts import reports_of
from hpo_cli.sweep.search.contract import Aim

ROWS = [
    {"step": 10, "epoch": 1, "train/loss": 2.0},
    {"step": 20, "epoch": 1, "val/accuracy": 0.5, "val/loss": 1.0},
    {"step": 40, "epoch": 2, "val/accuracy": 0.7, "val/loss": 0.6},
    {"step": 60, "epoch": 3, "val/accuracy": 0.6, "val/loss": 0.4},
]
ACCURACY, LOSS = Aim("val/accuracy", "max"), Aim("val/loss", "min")


def test_best_is_the_best_so_far_of_each_aim() -> None:
    assert reports_of(ROWS, [ACCURACY, LOSS], "best") == {1: (0.5, 1.0), 2: (0.7, 0.6), 3: (0.7, 0.4)}
    assert reports_of([*ROWS[:3], {**ROWS[3], "val/loss": 0.9}], [LOSS], "best") == {1: (1.0,), 2: (0.6,), 3: (0.6,)}


def test_last_is_the_value_of_that_epoch() -> None:
    assert reports_of(ROWS, [ACCURACY], "last") == {1: (0.5,), 2: (0.7,), 3: (0.6,)}


def test_what_is_not_finite_is_no_value() -> None:
    rows = [*ROWS, {"step": 80, "epoch": 4, "val/accuracy": math.nan}]
    assert reports_of(rows, [ACCURACY], "last")[4] == (None,)
    assert reports_of(rows, [ACCURACY], "best")[4] == (0.7,)


def test_costs_count_as_aims() -> None:
    aims = [ACCURACY, Aim("params", "min"), Aim("steps", "min")]
    assert reports_of(ROWS, aims, "best", known={"params": 100})[3] == (0.7, 100, 20)
    assert reports_of(ROWS, aims, "last", known={"params": 100})[3] == (0.6, 100, 60)
