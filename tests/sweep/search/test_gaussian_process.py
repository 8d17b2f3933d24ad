"""The Gaussian process against scikit-learn's and against differences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from hpo_cli.sweep.search import gaussian_process as gp
from hpo_cli.sweep.search.encoding import Encoding, is_ordered
from tests.sweep.search.spaces import BASE, MIXED


def _data(num: int = 25) -> tuple[np.ndarray, np.ndarray]:
    points = np.random.default_rng(0).random((num, 3))
    values = np.sin(6 * points[:, 0]) + points[:, 1] ** 2
    return points, (values - values.mean()) / values.std()


def test_predictions_are_those_of_scikit_learn_with_the_same_kernel() -> None:
    points, values = _data()
    fitted = gp.fit(points, values, np.arange(3))
    kernel = fitted.kernel
    theirs = GaussianProcessRegressor(
        ConstantKernel(kernel.variance) * Matern(kernel.lengths, nu=2.5)
        + WhiteKernel(kernel.variance * (kernel.noise + 1e-8)),
        optimizer=None, alpha=0.0,
    ).fit(points, values)  # fmt: skip
    new = np.random.default_rng(1).random((40, 3))
    mean, deviation = fitted.predict(new)
    expected, noisy = theirs.predict(new, return_std=True)
    np.testing.assert_allclose(mean, expected, atol=1e-6)
    np.testing.assert_allclose(deviation**2, noisy**2 - kernel.variance * (kernel.noise + 1e-8), atol=1e-6)


def test_the_gradient_is_that_of_differences() -> None:
    points, values = _data(12)
    squares = np.stack([gp._squares(points[:, [dim]]) for dim in range(3)])
    prior = gp.Prior(np.array([1.0, 1.0, 1.0, -6.0]), np.array([1.7, 1.7, 1.7, 2.0]))
    at = np.array([-0.5, 0.3, 1.0, -4.0])
    _, gradient = gp._loss(at, squares, values, prior)
    for place in range(4):
        step = np.eye(4)[place] * 1e-5
        up, down = (gp._loss(at + sign * step, squares, values, prior)[0] for sign in (1, -1))
        assert gradient[place] == pytest.approx((up - down) / 2e-5, rel=1e-4, abs=1e-6)


def test_a_dimension_that_does_not_matter_gets_a_longer_scale() -> None:
    lengths = gp.fit(*_data(), np.arange(3)).kernel.lengths
    assert lengths[2] > 3 * lengths[0]


def test_the_improvement_is_the_textbooks_and_does_not_underflow() -> None:
    mean, deviation = np.array([0.3, 1.0, 2.0]), np.array([0.5, 0.2, 1.0])
    z = (0.5 - mean) / deviation
    expected = deviation * (norm.pdf(z) + z * norm.cdf(z))
    np.testing.assert_allclose(np.exp(gp.log_expected_improvement(mean, deviation, 0.5)), expected, rtol=1e-9)
    far = gp.log_expected_improvement(np.array([9.9, 10.1, 40.0]), np.ones(3), 0.0)
    assert np.all(np.diff(far) < 0)
    assert far[1] - far[0] == pytest.approx(-10.0 * 0.2, rel=0.05)
    assert np.all(np.isfinite(far))


def test_what_is_believed_is_known_and_changes_no_mean() -> None:
    fitted = gp.fit(*_data(), np.arange(3))
    new = np.array([[0.9, 0.1, 0.5]])
    mean, deviation = fitted.predict(new)
    sure_mean, sure = fitted.believing(new).predict(new)
    assert sure_mean == pytest.approx(mean, abs=1e-3)
    assert sure < 0.5 * deviation


def test_a_point_has_a_column_an_ordered_dimension_and_one_a_choice_of_others() -> None:
    encoding = Encoding(MIXED)
    point = MIXED.point({"optimizer": "adam", "optimizer.lr": 1e-2, "model.depth": 6, "dropout": 0.0}, BASE)
    row = encoding.vector(point)
    assert len(row) == len(encoding.owners) == 2 + 6 + 3
    assert row[:2] == [0.0, 0.5**0.5]
    assert row[2] == 0.5  # sgd's learning rate is not active
    assert row[3] == pytest.approx(1.0)
    assert is_ordered(MIXED["depth"])
    assert not is_ordered(MIXED["pair"])
