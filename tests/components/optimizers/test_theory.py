"""What the theory of these methods promises: rates on a quadratic, a counter-example, the solution of least norm."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.components.optimizers.options import new

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL, LARGE = 1.0, 100.0
KAPPA = LARGE / SMALL
ROOT = math.sqrt(KAPPA)


def distances(num_steps: int, name: str, **changes: Any) -> list[float]:
    """The distance from the minimum of (x^2 + 100 y^2) / 2 after each step from (1, 1)."""
    weight = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    optimizer = new(name, [weight], **changes)
    found = []
    for _ in range(num_steps):
        weight.grad = weight.detach() * torch.tensor([SMALL, LARGE])
        optimizer.step()
        found.append(weight.detach().norm().item())
    return found


def rate(places: list[float], *, since: int) -> float:
    """The mean factor of a step from `since` on."""
    return (places[-1] / places[since]) ** (1 / (len(places) - 1 - since))


def test_gradient_descent_at_its_best_rate() -> None:
    """lr = 2 / (L + mu): the distance falls by (kappa - 1) / (kappa + 1) = 0.980 each step, exactly."""
    found = distances(200, "sgd", lr=2 / (SMALL + LARGE))
    assert rate(found, since=0) == pytest.approx((KAPPA - 1) / (KAPPA + 1), rel=1e-9)


def test_heavy_ball_at_its_best_rate() -> None:
    """Polyak's lr = 4 / (sqrt L + sqrt mu)^2 and momentum ((sqrt kappa - 1) / (sqrt kappa + 1))^2: 0.818.

    Both eigenvalues of the recursion are double there, so that a factor of the step number rides on the rate.
    """
    best = (ROOT - 1) / (ROOT + 1)
    found = distances(400, "momentum", lr=4 / (math.sqrt(LARGE) + math.sqrt(SMALL)) ** 2, momentum=best**2)
    per_step = found[-1] / found[-2] * 399 / 400
    assert per_step == pytest.approx(best, rel=1e-3)


def test_nesterov_at_its_best_rate() -> None:
    """lr = 1 / L and momentum (sqrt kappa - 1) / (sqrt kappa + 1): 1 - 1 / sqrt kappa = 0.9, again times a line."""
    found = distances(400, "nesterov", lr=1 / LARGE, momentum=(ROOT - 1) / (ROOT + 1))
    per_step = found[-1] / found[-2] * 399 / 400
    assert per_step == pytest.approx(1 - 1 / ROOT, rel=1e-3)


def test_the_three_differ_as_theory_says() -> None:
    """The same settings with the wrong kind of momentum miss the rate; so the tests above can fail."""
    momentum = (ROOT - 1) / (ROOT + 1)
    found = distances(400, "momentum", lr=1 / LARGE, momentum=momentum)
    assert rate(found, since=200) == pytest.approx(math.sqrt(momentum), rel=1e-2)
    assert abs(rate(found, since=200) - (1 - 1 / ROOT)) > 1e-3


def reddi(name: str, **changes: Any) -> float:
    """Where x in -1 .. 1 ends on Reddi's convex sequence f_t(x) = 3 x at every third step, -x otherwise.

    Its best point is -1: three steps have the slope 1 in all. Reddi, Kale & Kumar 2018 (arXiv:1904.09237), theorem 1:
    b1 = 0, b2 = 1 / (1 + C^2), C = 3, lr / sqrt(t).
    """
    weight = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))
    optimizer = new(name, [weight], lr=0.5, betas=[0.0, 1 / (1 + 3**2)], eps=1e-12, **changes)
    for step in range(1, 3001):
        optimizer.param_groups[0]["lr"] = 0.5 / math.sqrt(step)
        weight.grad = torch.tensor(3.0 if step % 3 == 1 else -1.0, dtype=torch.float64)
        optimizer.step()
        weight.data.clamp_(-1.0, 1.0)
    return weight.item()


def test_adam_ends_at_the_worst_point_where_amsgrad_finds_the_best() -> None:
    assert reddi("adam") > 0.9
    assert reddi("amsgrad") < -0.9
    assert reddi("amsgrad", amsgrad=False) > 0.9  # it is that key that does it


def wilson(
    optimizer_of: Callable[[torch.nn.Parameter], torch.optim.Optimizer], *, num_steps: int
) -> tuple[float, float]:
    """Training error and test accuracy on the problem of Wilson et al. 2017 (arXiv:1705.08292), section 3.3.

    Label y = 1 with p = 0.6, else -1. Feature 0 is y, features 1 and 2 are 1, then each sample has its own features,
    1 of them set to 1 when y = 1 and 5 of them when y = -1, that no other sample has. A test sample's own
    features are new, so only the first three count.
    """
    generator = torch.Generator().manual_seed(0)
    positive = torch.rand(60, generator=generator) < 0.6
    y = torch.where(positive, 1.0, -1.0).double()
    x = torch.zeros(60, 3 + 5 * 60, dtype=torch.float64)
    x[:, 0], x[:, 1:3] = y, 1.0
    for row in range(60):
        x[row, 3 + 5 * row : 3 + 5 * row + (1 if positive[row] else 5)] = 1.0
    weight = torch.nn.Parameter(torch.zeros(x.shape[1], dtype=torch.float64))
    optimizer = optimizer_of(weight)
    for _ in range(num_steps):
        weight.grad = x.T @ (x @ weight.detach() - y) / len(y)
        optimizer.step()
    found = weight.detach()
    error = (x @ found - y).abs().max().item()
    seen = torch.tensor([[1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]], dtype=torch.float64) @ found[:3]
    right = torch.tensor([seen[0] > 0, seen[1] < 0]).double()
    return error, (0.6 * right[0] + 0.4 * right[1]).item()


@pytest.mark.parametrize(("name", "lr"), [("adagrad", 0.1), ("rmsprop", 1e-3), ("adam", 1e-3)])
def test_adaptive_methods_fit_the_training_data_and_call_every_test_sample_positive(name: str, lr: float) -> None:
    error, accuracy = wilson(lambda weight: new(name, [weight], lr=lr), num_steps=4000)
    assert error < 0.05
    assert accuracy == pytest.approx(0.6)


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov"])
def test_descent_finds_the_solution_of_least_norm_which_generalises(name: str) -> None:
    error, accuracy = wilson(lambda weight: new(name, [weight], lr=0.05), num_steps=4000)
    assert error < 0.05
    assert accuracy == 1.0


def test_descent_from_zero_ends_at_the_solution_of_least_norm() -> None:
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.randn(5, 9, generator=generator).double(), torch.randn(5, generator=generator).double())
    ends = {}
    for name in ("sgd", "momentum", "adam"):
        weight = torch.nn.Parameter(torch.zeros(9, dtype=torch.float64))
        optimizer = new(name, [weight], lr=0.01)
        for _ in range(2000):
            weight.grad = x.T @ (x @ weight.detach() - y)
            optimizer.step()
        assert (x @ weight.detach() - y).abs().max() < 1e-3
        ends[name] = (weight.detach() - torch.linalg.pinv(x) @ y).norm().item()
    assert ends["sgd"] < 1e-3
    assert ends["momentum"] < 1e-3
    assert ends["adam"] > 1e-2
