"""LAMB after its paper, by hand and against an implementation in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from hpo_cli.components.optimizers.lamb import LAMB


def run(weight: np.ndarray[Any, Any], gradients: Any, **settings: Any) -> np.ndarray[Any, Any]:
    """The weight after all gradients."""
    parameter = torch.nn.Parameter(torch.tensor(weight, dtype=torch.float64))
    optimizer = LAMB([parameter], **settings)
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
    return parameter.detach().numpy()


def reference(
    weight: np.ndarray[Any, Any], gradients: Any, *, lr: float, betas: Any, eps: float, weight_decay: float
) -> np.ndarray[Any, Any]:
    """Algorithm 2 of the paper, line by line."""
    w, m, v = weight.copy(), np.zeros_like(weight), np.zeros_like(weight)
    for t, g in enumerate(gradients, start=1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        r = (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
        u = r + weight_decay * w
        w = w - lr * np.linalg.norm(w) / np.linalg.norm(u) * u
    return w


def test_the_first_step_by_hand() -> None:
    """Adam's first direction is the sign, (1, -1), of norm sqrt 2; |w| = 5: w -= 0.1 * 5 / sqrt 2 * (1, -1)."""
    found = run(np.array([[3.0, 4.0]]), [[[6.0, -0.1]]], lr=0.1, eps=1e-12, weight_decay=0.0)
    assert found.tolist() == [[pytest.approx(3 - 0.5 / 2**0.5), pytest.approx(4 + 0.5 / 2**0.5)]]


def test_is_algorithm_2_of_the_paper() -> None:
    """With weights of a norm above 10, which some libraries clamp."""
    generator = np.random.default_rng(0)
    weight, gradients = 5 * generator.normal(size=(4, 3)), generator.normal(size=(50, 4, 3))
    settings = {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.05}
    assert np.linalg.norm(weight) > 10
    np.testing.assert_allclose(run(weight, gradients, **settings), reference(weight, gradients, **settings), rtol=1e-11)
    without = reference(weight, gradients, **{**settings, "weight_decay": 0.0})
    assert not np.allclose(run(weight, gradients, **settings), without, rtol=1e-3)


def test_vectors_take_plain_adam_unless_asked() -> None:
    generator = np.random.default_rng(0)
    weight, gradients = generator.normal(size=5), generator.normal(size=(20, 5))
    parameter = torch.nn.Parameter(torch.tensor(weight))
    adam = torch.optim.Adam([parameter], lr=0.02, betas=(0.8, 0.95), eps=1e-6)
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient)
        adam.step()
    settings = {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.05}
    np.testing.assert_allclose(run(weight, gradients, **settings), parameter.detach().numpy(), rtol=1e-11)
    adapted = run(weight, gradients, **settings, adapt_vectors=True)
    np.testing.assert_allclose(adapted, reference(weight, gradients, **settings), rtol=1e-11)


def test_a_weight_of_zeros_can_leave() -> None:
    found = run(np.zeros((1, 2)), [[[6.0, -8.0]]], lr=0.1, eps=1e-12)
    assert found.tolist() == [[pytest.approx(-0.1), pytest.approx(0.1)]]
