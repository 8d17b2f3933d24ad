"""A Gaussian process over vectors in the unit cube: what value to expect where, and how surely. Needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_JITTER = 1e-8
_SQRT5 = math.sqrt(5.0)
_FAR = -10.0
"""So many deviations below, the improvement is taken from its series."""
_NOISE_PRIOR = (math.log(1e-3), 2.0)
"""Mean and deviation of the log of the noise's share in the variance."""


@dataclass(frozen=True)
class Kernel:
    """A Matern 5/2 kernel. lengths: one a column.   noise: its share of `variance`, which is in units of the values."""

    lengths: Array
    noise: float
    variance: float


@dataclass(frozen=True)
class Prior:
    """Normal, of the logs of the lengths and of the noise, in this order."""

    means: Array
    deviations: Array


@dataclass(frozen=True)
class GaussianProcess:
    """A process that has seen `values` at `points`; its mean far from them is 0."""

    points: Array
    values: Array
    kernel: Kernel
    lower: Array
    weights: Array

    def predict(self, points: Array) -> tuple[Array, Array]:
        """Mean and standard deviation at each of the points, without the noise of a further observation."""
        cross = _matern(points, self.points, self.kernel.lengths)
        half = np.linalg.solve(self.lower, cross.T)
        left = np.maximum(1.0 - np.einsum("ij,ij->j", half, half), 1e-12)
        return cross @ self.weights, np.sqrt(self.kernel.variance * left)

    def believing(self, points: Array) -> GaussianProcess:
        """As if its predictions had been observed at `points`, so that it knows them (Ginsbourger et al. 2010)."""
        if not len(points):
            return self
        values = np.concatenate([self.values, self.predict(points)[0]])
        return _conditioned(np.vstack([self.points, points]), values, self.kernel)


def fit(points: Array, values: Array, owners: NDArray[np.int64]) -> GaussianProcess:
    """The process with a length scale a dimension that is likeliest with these values.

    points: one row each.   values: about 0 on average, with deviation about 1.   owners: column -> its dimension.
    A length scale's prior is log-normal and grows with the root of the number of dimensions (Hvarfner et al. 2024,
    Vanilla Bayesian optimization performs great in high dimensions).
    """
    from scipy.optimize import minimize

    num_dims = int(owners.max()) + 1
    squares = np.stack([_squares(points[:, owners == dim]) for dim in range(num_dims)])
    wide = math.sqrt(2) + math.log(num_dims) / 2
    prior = Prior(
        np.array([wide] * num_dims + [_NOISE_PRIOR[0]]), np.array([math.sqrt(3)] * num_dims + [_NOISE_PRIOR[1]])
    )
    starts = (math.log(0.3) + math.log(num_dims) / 2, wide)
    found = [
        minimize(
            _loss,
            np.array([start] * num_dims + [_NOISE_PRIOR[0]]),
            args=(squares, values, prior),
            jac=True,
            method="L-BFGS-B",
            bounds=[(math.log(0.02), math.log(50.0))] * num_dims + [(math.log(1e-6), 0.0)],
            options={"maxiter": 40},
        )
        for start in starts
    ]
    best = min(found, key=lambda one: float(one.fun)).x
    kernel = Kernel(np.exp(best[:-1])[owners], float(np.exp(best[-1])), 1.0)
    weights = _conditioned(points, values, kernel).weights
    return _conditioned(points, values, replace(kernel, variance=_variance(values, weights)))


def log_expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """The logarithm of how much lower than `best` a value is on average; comparable where the improvement underflows.

    Source: Ament et al. 2023, Unexpected improvements to expected improvement, eq. 9.
    """
    from scipy.special import log_ndtr

    z = (best - mean) / deviation
    log_density = -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
    far = z < _FAR
    near_z = np.where(far, -1.0, z)
    # phi(z) + z Phi(z) = phi(z) (1 + z Phi(z) / phi(z)); far below, its series gives 1 / z^2.
    ratio = near_z * np.exp(log_ndtr(near_z) + 0.5 * near_z**2 + 0.5 * math.log(2 * math.pi))
    near = np.log(np.maximum(1.0 + ratio, 1e-12))
    return np.asarray(
        log_density + np.where(far, -2.0 * np.log(np.abs(np.where(far, z, 1.0))), near) + np.log(deviation)
    )


def _loss(parameters: Array, squares: Array, values: Array, prior: Prior) -> tuple[float, Array]:
    """Minus the log posterior of log lengths and log noise, and its gradient; the variance takes its likeliest value.

    Source: Rasmussen & Williams 2006, eq. 5.8 and 5.9, with the variance profiled out.
    """
    lengths, noise = np.exp(parameters[:-1]), math.exp(parameters[-1])
    scaled = squares / (lengths**2)[:, None, None]
    distance = np.sqrt(np.maximum(scaled.sum(axis=0), 1e-20))
    decay = np.exp(-_SQRT5 * distance)
    covariance = (1.0 + _SQRT5 * distance + 5.0 / 3.0 * distance**2) * decay
    covariance[np.diag_indices_from(covariance)] += noise + _JITTER
    lower = np.linalg.cholesky(covariance)
    inverse = np.linalg.inv(covariance)
    weights = inverse @ values
    variance = _variance(values, weights)
    inner = np.outer(weights, weights) / variance - inverse
    slope = 5.0 / 3.0 * (1.0 + _SQRT5 * distance) * decay
    by_length = -0.5 * np.einsum("ij,dij->d", inner * slope, scaled)
    by_noise = -0.5 * float(np.trace(inner)) * noise
    z = (parameters - prior.means) / prior.deviations
    value = 0.5 * (len(values) + 1) * math.log(variance) + float(np.log(np.diag(lower)).sum()) + 0.5 * float(z @ z)
    return value, np.append(by_length, by_noise) + z / prior.deviations


def _variance(values: Array, weights: Array) -> float:
    """The likeliest variance of the process, with the weight of one observation that says 1."""
    return (float(values @ weights) + 1.0) / (len(values) + 1)


def _conditioned(points: Array, values: Array, kernel: Kernel) -> GaussianProcess:
    covariance = _matern(points, points, kernel.lengths) + (kernel.noise + _JITTER) * np.eye(len(values))
    lower: Array = np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
    weights = np.linalg.solve(lower.T, np.linalg.solve(lower, values))
    return GaussianProcess(points, values, kernel, lower, weights)


def _matern(first: Array, second: Array, lengths: Array) -> Array:
    one, other = first / lengths, second / lengths
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)[None, :] - 2.0 * one @ other.T
    distance = np.sqrt(np.maximum(squares, 0.0))
    return np.asarray((1.0 + _SQRT5 * distance + 5.0 / 3.0 * distance**2) * np.exp(-_SQRT5 * distance))


def _squares(columns: Array) -> Array:
    return np.asarray(((columns[:, None, :] - columns[None, :, :]) ** 2).sum(axis=2))
