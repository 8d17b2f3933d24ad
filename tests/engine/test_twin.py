"""scikit-learn's MLPClassifier trained on the same arrays with the same hyperparameters."""

from __future__ import annotations

import statistics
import warnings

import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from tests.engine.plans import plan, splits_of, trained, varied

SEEDS = range(5)
WORDS = ("model.width=32", "epochs=8", "schedule=constant", "lr=0.002", "batch_size=32")


def ours(seed: int, **more: float) -> float:
    made = varied(plan(*WORDS), "", seed=seed, **more)
    return trained(made).metrics["val/accuracy"]


def theirs(seed: int) -> float:
    splits = splits_of(plan(*WORDS))
    twin = MLPClassifier((32, 32), alpha=0.0, batch_size=32, learning_rate_init=0.002, max_iter=8, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # eight epochs on purpose
        twin.fit(splits.train.x.reshape(len(splits.train.x), -1), splits.train.y)
    return float(twin.score(splits.val.x.reshape(len(splits.val.x), -1), splits.val.y))


def within_noise(a: list[float], b: list[float]) -> bool:
    """Means no further apart than two standard errors and one percentage point."""
    error = (statistics.variance(a) / len(a) + statistics.variance(b) / len(b)) ** 0.5
    return abs(statistics.mean(a) - statistics.mean(b)) <= 2 * error + 0.01


def test_as_good_as_scikit_learn_over_five_seeds() -> None:
    twins = [theirs(seed) for seed in SEEDS]
    mine = [ours(seed) for seed in SEEDS]
    assert min(mine) > 0.9
    assert within_noise(mine, twins), (mine, twins)
    worse = [ours(seed, lr=1e-4) for seed in SEEDS]
    assert not within_noise(worse, twins), (worse, twins)


def test_noise_is_not_boundless() -> None:
    assert within_noise([0.95, 0.96], [0.955, 0.965])
    with pytest.raises(AssertionError):
        assert within_noise([0.95, 0.951], [0.90, 0.901])
