from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from hpo_cli.components.losses import BinaryCrossEntropy, CrossEntropy, Focal
from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

LOGITS = st.lists(st.tuples(st.floats(-15.0, 15.0), st.integers(0, 1)), min_size=1, max_size=20)
WEIGHTS = st.lists(st.floats(0.1, 10.0), min_size=2, max_size=2)
WEIGHTED = [CrossEntropy, BinaryCrossEntropy, Focal]


@settings(deadline=None)  # the first call imports
@given(LOGITS, st.floats(0.0, 1.0), st.none() | WEIGHTS)
def test_the_binary_one_equals_cross_entropy_over_two_classes(
    samples: list[tuple[float, int]], smoothing: float, weights: list[float] | None
) -> None:
    logits = torch.tensor([[logit] for logit, _ in samples], dtype=torch.float64)
    targets = torch.tensor([target for _, target in samples])
    two_classes = torch.cat((torch.zeros_like(logits), logits), dim=1)
    weight = None if weights is None else torch.tensor(weights).double()
    summed = nn.CrossEntropyLoss(weight=weight, label_smoothing=smoothing, reduction="sum")
    wanted = summed(two_classes, targets) / len(targets)
    loss = BinaryCrossEntropy(class_weights=weights, label_smoothing=smoothing)
    torch.testing.assert_close(loss(logits, targets), wanted)


def test_the_binary_one_equals_scikit_learn() -> None:
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


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 5)])
def test_cross_entropy_is_torchs(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    outputs, targets = torch.randn(shape), torch.randint(3, (shape[0], *shape[2:]))
    for weights in (None, [1.0, 2.0, 0.5]):
        weight = None if weights is None else torch.tensor(weights)
        summed = nn.CrossEntropyLoss(weight=weight, label_smoothing=0.1, reduction="sum")
        loss = CrossEntropy(num_outputs=3, class_weights=weights, label_smoothing=0.1)
        torch.testing.assert_close(loss(outputs, targets), summed(outputs, targets) / targets.numel())


def test_balanced_weights_are_scikit_learns_and_give_every_class_the_same_say() -> None:
    targets = torch.tensor([0] * 30 + [1] * 10 + [2] * 2)
    loss = CrossEntropy(num_outputs=3, class_counts=(30, 10, 2), class_weights="balanced")
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=targets.numpy())
    assert loss.class_weights is not None
    torch.testing.assert_close(loss.class_weights.double(), torch.from_numpy(wanted), rtol=1e-6, atol=0.0)
    outputs = torch.randn(42, 3, generator=torch.Generator().manual_seed(0))
    of_classes = [nn.CrossEntropyLoss()(outputs[targets == c], targets[targets == c]) for c in range(3)]
    torch.testing.assert_close(loss(outputs, targets), torch.stack(of_classes).mean())
    assert CrossEntropy()(outputs, targets) != loss(outputs, targets)


@pytest.mark.parametrize("kind", WEIGHTED)
@pytest.mark.parametrize(
    ("weights", "rule"),
    [
        ("even", "must be null, balanced"), ([1.0, -1.0], "must be null, balanced"), ([1.0, True], "must be null"),
        ([1.0, float("inf")], "must be null"), ({"a": 1.0}, "must be null"), (2.0, "must be null"),
        ([1.0, 0.0], "above 0"), ([1.0, 2.0, 3.0], "one number for each of the 2 classes"),
    ],
)  # fmt: skip
def test_wrong_weights_are_refused_in_one_line(kind: Callable[..., nn.Module], weights: Any, rule: str) -> None:
    given = {} if kind is BinaryCrossEntropy else {"num_outputs": 2}
    with pytest.raises(ConfigError, match=rule) as caught:
        kind(**given, class_counts=(5, 5), class_weights=weights)
    assert str(caught.value).startswith("loss.class_weights=")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("counts", [None, (5, 0)])
def test_balanced_needs_samples_of_every_class(counts: tuple[int, ...] | None) -> None:
    with pytest.raises(ConfigError, match=r"loss\.class_weights=balanced: needs"):
        CrossEntropy(num_outputs=2, class_counts=counts, class_weights="balanced")
