from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from hpo_cli.components.losses import BinaryCrossEntropy, BinaryFocal, CrossEntropy, Focal

if TYPE_CHECKING:
    from torch import Tensor

SMOOTHING = st.floats(0.0, 0.5)
BINARY = st.lists(st.tuples(st.floats(-8.0, 8.0), st.integers(0, 1)), min_size=1, max_size=12)


def some(num_classes: int = 4) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return 2.0 * torch.randn(20, num_classes, dtype=torch.float64), torch.randint(num_classes, (20,))


@settings(deadline=None)  # the first call imports
@given(SMOOTHING)
def test_gamma_zero_is_cross_entropy(smoothing: float) -> None:
    outputs, targets = some()
    for weights in (None, [1.0, 2.0, 3.0, 0.5]):
        wanted = CrossEntropy(class_weights=weights, label_smoothing=smoothing)(outputs, targets)
        focal = Focal(gamma=0.0, class_weights=weights, label_smoothing=smoothing)
        torch.testing.assert_close(focal(outputs, targets), wanted)


def test_gamma_zero_is_cross_entropy_at_every_position_of_a_window() -> None:
    outputs, targets = torch.randn(3, 5, 7), torch.randint(5, (3, 7))
    for weights in (None, [1.0, 2.0, 3.0, 0.5, 1.0]):
        wanted = CrossEntropy(class_weights=weights)(outputs, targets)
        torch.testing.assert_close(Focal(gamma=0.0, class_weights=weights)(outputs, targets), wanted)


@settings(deadline=None)  # the first call imports
@given(st.floats(0.0, 5.0))
def test_is_the_published_formula(gamma: float) -> None:
    outputs, targets = some()
    p = outputs.softmax(1)[torch.arange(20), targets]
    wanted = -((1.0 - p) ** gamma * p.log()).mean()
    torch.testing.assert_close(Focal(gamma=gamma)(outputs, targets), wanted)


@settings(deadline=None)  # the first call imports
@given(BINARY, st.floats(0.0, 5.0), st.floats(0.05, 0.95))
def test_the_binary_one_is_the_formula_of_torchvisions_sigmoid_focal_loss(
    samples: list[tuple[float, int]], gamma: float, alpha: float
) -> None:
    logits = torch.tensor([[logit] for logit, _ in samples], dtype=torch.float64)
    y = torch.tensor([float(target) for _, target in samples], dtype=torch.float64)
    p = torch.sigmoid(logits.squeeze(1))
    p_t = p * y + (1.0 - p) * (1.0 - y)
    alpha_t = alpha * y + (1.0 - alpha) * (1.0 - y)
    entropy = functional.binary_cross_entropy_with_logits(logits.squeeze(1), y, reduction="none")
    wanted = (alpha_t * (1.0 - p_t) ** gamma * entropy).mean()
    torch.testing.assert_close(BinaryFocal(gamma=gamma, alpha=alpha)(logits, y.long()), wanted)


@settings(deadline=None)  # the first call imports
@given(BINARY, SMOOTHING)
def test_the_binary_one_at_gamma_zero_is_half_the_binary_cross_entropy(
    samples: list[tuple[float, int]], smoothing: float
) -> None:
    logits = torch.tensor([[logit] for logit, _ in samples], dtype=torch.float64)
    targets = torch.tensor([target for _, target in samples])
    wanted = BinaryCrossEntropy(label_smoothing=smoothing)(logits, targets) / 2
    focal = BinaryFocal(gamma=0.0, alpha=0.5, label_smoothing=smoothing)
    torch.testing.assert_close(focal(logits, targets), wanted)


@pytest.mark.parametrize(("p", "times"), [(0.9, 100.0), (0.968, 1000.0)])
def test_easy_samples_weigh_as_little_as_the_paper_says(p: float, times: float) -> None:
    """Section 3.2: at gamma 2 a sample at 0.9 has a loss 100 times lower than cross-entropy, at 0.968 1000 times."""
    logits = torch.tensor([[0.0, math.log(p / (1.0 - p))]], dtype=torch.float64)
    ratio = CrossEntropy()(logits, torch.tensor([1])) / Focal()(logits, torch.tensor([1]))
    assert ratio.item() == pytest.approx(times, rel=0.03)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("size", [20.0, 100.0, 1e4])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_sure_outputs_have_finite_losses_and_gradients(gamma: float, size: float, smoothing: float) -> None:
    targets = torch.tensor([0, 1])
    for loss, outputs in (
        (Focal(gamma=gamma, label_smoothing=smoothing), torch.tensor([[size, -size], [size, -size]])),
        (BinaryFocal(gamma=gamma, label_smoothing=smoothing), torch.tensor([[size], [size]])),
    ):
        outputs.requires_grad_()
        value = loss(outputs, targets)
        (gradient,) = torch.autograd.grad(value, outputs)
        assert value.isfinite()
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0.0  # of the sample that is wrong


def test_the_plain_formula_has_no_gradient_there() -> None:
    outputs = torch.tensor([[100.0, -100.0]], requires_grad=True)
    log_p = outputs.log_softmax(1)[0, 0]
    (gradient,) = torch.autograd.grad(-((1.0 - log_p.exp()) ** 0.5) * log_p, outputs)
    assert gradient.isnan().any()


def test_gradients_agree_with_finite_differences() -> None:
    outputs, targets = some()
    outputs.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: Focal(gamma=1.5, label_smoothing=0.1)(x, targets), (outputs,))
    logits = outputs[:, :1].detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: BinaryFocal(gamma=0.5)(x, targets % 2), (logits,))


def test_its_numbers_change_while_training() -> None:
    outputs, targets = some(2)
    for loss, x in ((Focal(), outputs), (BinaryFocal(), outputs[:, :1])):
        seen = [loss(x, targets)]
        for name in [name for name in ("gamma", "alpha", "label_smoothing") if hasattr(loss, name)]:
            setattr(loss, name, 0.4)
            seen.append(loss(x, targets))
        assert len({value.item() for value in seen}) == len(seen) >= 3
        assert isinstance(loss, nn.Module)
