"""Whether the first is better than the second: Welch's test beside SciPy's, and no more than the runs can tell."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from hpo_cli.report.leaderboard import Row
from hpo_cli.report.verdict import distinguishable, welch

SAMPLES = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12)


def row(trial: int, *each: float, epochs: int = 9) -> Row:
    mean = sum(each) / len(each)
    deviation = math.sqrt(sum((v - mean) ** 2 for v in each) / (len(each) - 1)) if len(each) > 1 else None
    return Row(trial, trial, mean, (mean,), each, deviation, epochs, 1.0, {"lr": 0.1}, "finished", "r", on_front=False)


@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")  # SciPy's, where one of both is constant
@given(SAMPLES, SAMPLES)
def test_the_p_value_is_scipys(first: list[float], second: list[float]) -> None:
    spread = max(first) - min(first) + max(second) - min(second)
    assume(spread > 1e-6)
    expected = stats.ttest_ind(first, second, equal_var=False).pvalue
    assume(not math.isnan(expected))
    assert welch(first, second) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_seeds_that_lie_apart_are_told_apart() -> None:
    found = distinguishable(row(1, 0.97, 0.971, 0.972), row(2, 0.95, 0.951, 0.949))
    assert found.is_clear is True
    assert found.p is not None
    assert found.p < 0.01
    assert "Welch's test over 3 and 3 runs" in found.text


def test_seeds_that_overlap_are_not() -> None:
    found = distinguishable(row(1, 0.97, 0.95, 0.99), row(2, 0.969, 0.949, 0.985))
    assert found.is_clear is False
    assert "not distinguishable" in found.text


def test_equal_settings_are_called_different_as_often_as_the_level_says() -> None:
    rng = random.Random(0)
    draws = [[rng.gauss(0.9, 0.01) for _ in range(5)] for _ in range(2000)]
    p_values = [welch(a, b) for a, b in zip(draws[::2], draws[1::2], strict=True)]
    wrong = sum(p is not None and p < 0.05 for p in p_values)
    assert 20 <= wrong <= 75  # of 1000; five per cent, within its own error


def test_one_run_each_cannot_tell_and_says_what_noise_would_do() -> None:
    found = distinguishable(row(1, 0.98), row(2, 0.97))
    assert (found.is_clear, found.p) == (None, None)
    assert "one run each cannot tell" in found.text
    assert "±0.0036" in found.text  # 0.01 / (1.96 * sqrt 2): the noise of one run at which the lead is two-sided 5 %


def test_runs_without_any_spread_give_no_test() -> None:
    found = distinguishable(row(1, 0.9, 0.9), row(2, 0.8, 0.8))
    assert found.is_clear is None
    assert "do not vary" in found.text


def test_equal_values_are_not_distinguishable() -> None:
    assert distinguishable(row(1, 0.9), row(2, 0.9)).is_clear is False


def test_an_accuracy_is_measured_against_the_counting_of_samples() -> None:
    (caution,) = distinguishable(row(1, 0.9), row(2, 0.89), aim="val/accuracy", num_val=1000).cautions
    assert "10 of 1000 validation samples" in caution
    assert "±0.0095" in caution  # the root of 0.9 * 0.1 / 1000
    assert "rough yardstick" in caution
    assert distinguishable(row(1, 0.9), row(2, 0.89), aim="val/loss", num_val=1000).cautions == ()


def test_the_best_of_many_is_said_to_be_flattered() -> None:
    assert any("winner's curse" in text for text in distinguishable(row(1, 0.9), row(2, 0.8), num_trials=50).cautions)
    assert not distinguishable(row(1, 0.9), row(2, 0.8), num_trials=2).cautions


def test_different_lengths_of_training_are_said() -> None:
    found = distinguishable(row(1, 0.9), row(2, 0.8, epochs=3))
    assert "they trained 9 and 3 epochs" in found.cautions
