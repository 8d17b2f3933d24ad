from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss
from torch import nn

from hpo_cli.components.losses import BinaryCrossEntropy

LOGITS = st.lists(st.tuples(st.floats(-15.0, 15.0), st.integers(0, 1)), min_size=1, max_size=20)


@given(LOGITS, st.floats(0.0, 1.0))
def test_equals_cross_entropy_over_two_classes(samples: list[tuple[float, int]], smoothing: float) -> None:
    logits = torch.tensor([[logit] for logit, _ in samples], dtype=torch.float64)
    targets = torch.tensor([target for _, target in samples])
    two_classes = torch.cat((torch.zeros_like(logits), logits), dim=1)
    wanted = nn.CrossEntropyLoss(label_smoothing=smoothing)(two_classes, targets)
    torch.testing.assert_close(BinaryCrossEntropy(label_smoothing=smoothing)(logits, targets), wanted)


def test_equals_scikit_learn() -> None:
    logits, targets = torch.linspace(-3.0, 3.0, 11).unsqueeze(1), torch.arange(11) % 2
    wanted = log_loss(targets.numpy(), torch.sigmoid(logits).squeeze(1).double().numpy())
    assert BinaryCrossEntropy()(logits, targets).item() == pytest.approx(wanted, rel=1e-6)


def test_smoothing_moves_the_minimum_to_the_smoothed_target() -> None:
    logits, loss = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True), BinaryCrossEntropy()
    loss.label_smoothing = 0.2
    with torch.no_grad():
        logits.fill_(torch.logit(torch.tensor(0.9, dtype=torch.float64)))
    (gradient,) = torch.autograd.grad(loss(logits, torch.tensor([1])), logits)
    assert gradient.item() == pytest.approx(0.0, abs=1e-12)


def test_more_than_one_output_is_an_error() -> None:
    with pytest.raises(ValueError, match="must be the same as"):
        BinaryCrossEntropy()(torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64))
