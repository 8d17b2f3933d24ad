"""LARS after its paper, by hand and against an implementation in numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from hpo_cli.components.optimizers.lars import LARS

if TYPE_CHECKING:
    from collections.abc import Sequence


def run(
    weight: np.ndarray[Any, Any], gradients: Sequence[Any], rates: Sequence[float], **settings: Any
) -> np.ndarray[Any, Any]:
    """The weight after all gradients, each at its rate."""
    parameter = torch.nn.Parameter(torch.tensor(weight, dtype=torch.float64))
    optimizer = LARS([parameter], **settings)
    for gradient, rate in zip(gradients, rates, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
    return parameter.detach().numpy()


def test_two_steps_by_hand_with_a_rate_that_falls() -> None:
    """|w| = 5, |g| = 10: local 0.1 * 5 / 10 = 0.05, v = 2 * 0.05 * g = (0.6, 0.8), w = (2.4, 3.2).

    Then |w| = 4 with the same g: local 0.04, v = 0.5 * (0.6, 0.8) + 1 * 0.04 * (6, 8) = (0.54, 0.72). With the rate
    outside the momentum the old steps would shrink as well: v = 0.5 * (0.3, 0.4) + 0.04 * (6, 8) = (0.39, 0.52).
    """
    settings = {"momentum": 0.5, "trust": 0.1, "weight_decay": 0.0}
    found = run(np.array([[3.0, 4.0]]), [[[6.0, 8.0]]] * 2, [2.0, 1.0], **settings)
    assert found.tolist() == [[pytest.approx(2.4 - 0.54), pytest.approx(3.2 - 0.72)]]


def test_decay_counts_in_the_local_rate_and_in_the_step() -> None:
    """|w| = 5, |g| = 10, decay 2: local 0.1 * 5 / (10 + 2 * 5) = 0.025; g + 2 w = (12, 16)."""
    found = run(np.array([[3.0, 4.0]]), [[[6.0, 8.0]]], [1.0], momentum=0.0, trust=0.1, weight_decay=2.0)
    assert found.tolist() == [[pytest.approx(3 - 0.3), pytest.approx(4 - 0.4)]]


def test_the_denominator_is_a_sum_of_norms_and_no_norm_of_a_sum() -> None:
    """g = -w, decay 1: g + w vanishes, and so does the step; a division by its norm would not even be finite."""
    assert run(np.array([[3.0, 4.0]]), [[[-3.0, -4.0]]], [1.0], weight_decay=1.0).tolist() == [[3.0, 4.0]]


def test_with_rate_zero_the_weights_coast() -> None:
    settings = {"momentum": 0.5, "trust": 0.1, "weight_decay": 0.0}
    found = run(np.array([[3.0, 4.0]]), [[[6.0, 8.0]]] * 2, [2.0, 0.0], **settings)
    assert found.tolist() == [[pytest.approx(2.4 - 0.3), pytest.approx(3.2 - 0.4)]]


def test_vectors_take_plain_momentum_unless_asked() -> None:
    settings = {"momentum": 0.5, "trust": 0.1, "weight_decay": 2.0}
    plain = run(np.array([3.0, 4.0]), [[6.0, 8.0]] * 2, [0.1, 0.1], **settings)
    assert plain.tolist() == [pytest.approx(3 - 0.6 - 0.9), pytest.approx(4 - 0.8 - 1.2)]
    adapted = run(np.array([3.0, 4.0]), [[6.0, 8.0]], [1.0], **settings, adapt_vectors=True)
    assert adapted.tolist() == [pytest.approx(3 - 0.3), pytest.approx(4 - 0.4)]


def test_a_weight_of_zeros_can_leave() -> None:
    assert run(np.zeros((1, 2)), [[[6.0, 8.0]]], [0.1]).tolist() == [[pytest.approx(-0.6), pytest.approx(-0.8)]]


def test_a_gradient_of_zeros_leaves_only_the_decay() -> None:
    found = run(np.array([[3.0, 4.0]]), [[[0.0, 0.0]]], [1.0], weight_decay=0.1)
    assert found.tolist() == [[pytest.approx(2.7), pytest.approx(3.6)]]


def reference(
    weight: np.ndarray[Any, Any], gradients: Any, rates: Any, *, momentum: float, trust: float, weight_decay: float
) -> np.ndarray[Any, Any]:
    """Algorithm 1 of the paper, line by line."""
    w, v = weight.copy(), np.zeros_like(weight)
    for g, lr in zip(gradients, rates, strict=True):
        local = trust * np.sqrt((w**2).sum()) / (np.sqrt((g**2).sum()) + weight_decay * np.sqrt((w**2).sum()))
        v = momentum * v + lr * local * (g + weight_decay * w)
        w = w - v
    return w


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 3, 3)])
def test_is_algorithm_1_of_the_paper(shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(0)
    weight, gradients = generator.normal(size=shape), generator.normal(size=(50, *shape))
    rates = 10 * (1 - np.arange(50) / 50) ** 2
    settings = {"momentum": 0.9, "trust": 0.01, "weight_decay": 0.05}
    expected = reference(weight, gradients, rates, **settings)
    np.testing.assert_allclose(run(weight, gradients, rates, **settings), expected, rtol=1e-12)
    other = reference(weight, gradients, np.full(50, rates.mean()), **settings)
    assert not np.allclose(other, expected, rtol=1e-3)


def test_scaling_the_gradient_changes_nothing_without_decay() -> None:
    """What makes it fit for every layer: the step depends on the gradient's direction alone."""
    generator = np.random.default_rng(1)
    weight, gradients = generator.normal(size=(3, 3)), generator.normal(size=(5, 3, 3))
    small = run(weight, gradients, [1.0] * 5, weight_decay=0.0)
    np.testing.assert_allclose(run(weight, 1000 * gradients, [1.0] * 5, weight_decay=0.0), small, rtol=1e-12)
