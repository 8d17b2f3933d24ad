"""Per-class figures against scikit-learn, worst mistakes and residuals against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import (
    confusion_matrix,
    mean_absolute_error,
    precision_recall_fscore_support,
    r2_score,
    root_mean_squared_error,
)

from hpo_cli.engine.findings import Guesses, class_findings, number_findings

NAMES = ("ant", "bee", "cat", "dog", "eel")
NUM_SAMPLES = 400


@pytest.fixture(params=[4, 5], ids=["one class absent", "all classes"])
def guesses(request: pytest.FixtureRequest) -> Guesses:
    random = np.random.default_rng(request.param)
    probabilities = random.dirichlet(np.ones(len(NAMES)), NUM_SAMPLES)
    true = random.integers(0, request.param, NUM_SAMPLES)
    predicted = probabilities[:, : request.param].argmax(1)
    rows = np.arange(NUM_SAMPLES)
    return Guesses(rows, true, predicted, probabilities[rows, predicted], -np.log(probabilities[rows, true]))


def test_the_scores_are_those_of_scikit_learn(guesses: Guesses) -> None:
    found = class_findings("class", NAMES, guesses, worst=3)
    labels = range(len(NAMES))
    assert found.confusion.tolist() == confusion_matrix(guesses.true, guesses.predicted, labels=labels).tolist()
    precision, recall, f1, support = precision_recall_fscore_support(
        guesses.true, guesses.predicted, labels=labels, zero_division=np.nan
    )
    assert [score.support for score in found.scores] == support.tolist()
    for name, wanted in (("precision", precision), ("recall", recall), ("f1", f1)):
        np.testing.assert_allclose([getattr(score, name) for score in found.scores], wanted)
    assert [score.name for score in found.scores] == list(NAMES)


def test_the_loss_of_a_class_is_the_mean_of_its_samples(guesses: Guesses) -> None:
    for label, score in enumerate(class_findings("class", NAMES, guesses, worst=0).scores):
        own = guesses.loss[guesses.true == label]
        assert math.isnan(score.loss) if not len(own) else score.loss == pytest.approx(own.mean())


def test_the_worst_are_mistakes_with_the_highest_loss(guesses: Guesses) -> None:
    found = class_findings("class", NAMES, guesses, worst=10).worst
    wrong = [row for row in range(NUM_SAMPLES) if guesses.true[row] != guesses.predicted[row]]
    wanted = sorted(wrong, key=lambda row: guesses.loss[row], reverse=True)[:10]
    assert [mistake.index for mistake in found] == wanted
    for mistake in found:
        row = mistake.index
        assert (mistake.true, mistake.predicted) == (NAMES[guesses.true[row]], NAMES[guesses.predicted[row]])
        assert (mistake.probability, mistake.loss) == (guesses.probability[row], guesses.loss[row])
        assert mistake.position is None


def test_a_model_without_mistakes_has_none() -> None:
    right = Guesses(np.arange(3), np.arange(3), np.arange(3), np.full(3, 0.5), np.full(3, np.log(2)))
    found = class_findings("class", NAMES, right, worst=10)
    assert (found.worst, found.confusions(5)) == ((), [])


def test_confusions_come_by_their_number(guesses: Guesses) -> None:
    found = class_findings("class", NAMES, guesses, worst=0)
    matrix = found.confusion.tolist()
    counts = {(a, b): matrix[i][j] for i, a in enumerate(NAMES) for j, b in enumerate(NAMES) if i != j}
    listed = found.confusions(6)
    assert [count for *_, count in listed] == sorted(counts.values(), reverse=True)[:6]
    assert all(counts[true, predicted] == count for true, predicted, count in listed)


def test_a_token_is_named_by_its_window_and_position() -> None:
    true = np.array([0, 1, 2, 3, 4, 0])
    wrong = Guesses(np.array([7, 7, 7, 5, 5, 5]), true, np.full(6, 3), np.ones(6), np.arange(6.0), per_sample=3)
    found = class_findings("class", NAMES, wrong, worst=2).worst
    assert [(mistake.index, mistake.position) for mistake in found] == [(5, 2), (5, 1)]


def test_residuals_are_summed_up_as_scikit_learn_does() -> None:
    random = np.random.default_rng(0)
    true = random.normal(100, 20, NUM_SAMPLES)
    predicted = true + random.normal(2, 5, NUM_SAMPLES)
    found = number_findings("price", true, predicted, worst=4)
    summary = found.summary
    assert summary["mae"] == pytest.approx(mean_absolute_error(true, predicted))
    assert summary["rmse"] == pytest.approx(root_mean_squared_error(true, predicted))
    assert summary["r2"] == pytest.approx(r2_score(true, predicted))
    assert summary["rmse"] ** 2 == pytest.approx(summary["bias"] ** 2 + summary["deviation"] ** 2)
    assert summary["50 %"] == pytest.approx(np.median(predicted - true))
    order = np.argsort(-np.abs(predicted - true))[:4]
    assert [(one.index, one.true, one.predicted) for one in found.worst] == [
        (row, true[row], predicted[row]) for row in order
    ]
    assert set(found.points) <= set(zip(true.tolist(), predicted.tolist(), strict=True))


def test_a_target_that_does_not_vary_has_no_r2() -> None:
    assert math.isnan(number_findings("price", np.ones(5), np.zeros(5), worst=1).summary["r2"])
