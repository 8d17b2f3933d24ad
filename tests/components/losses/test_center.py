from __future__ import annotations

import pytest
import torch
from torch import nn

from hpo_cli.components.losses import Center, CrossEntropy, CrossEntropyCenter
from hpo_cli.errors import ConfigError

X = torch.tensor([[2.0, 0.0], [4.0, 0.0], [0.0, 3.0]])
Y = torch.tensor([0, 0, 2])
OUTPUTS = torch.zeros(3, 3)


def test_two_updates_by_hand() -> None:
    """Equation 4 with alpha 0.5: class 0 moves by 0.5 (2 + 4) / 3 = 1, class 2 by 0.5 * 3 / 2 = 0.75, and so on."""
    loss = Center(num_outputs=3, num_features=2, center_lr=0.5)
    assert loss(OUTPUTS, Y, X).item() == pytest.approx((4.0 + 16.0 + 9.0) / 2 / 3)
    torch.testing.assert_close(loss.centers, torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.75]]))
    assert loss(OUTPUTS, Y, X).item() == pytest.approx((1.0 + 9.0 + 2.25**2) / 2 / 3)
    torch.testing.assert_close(loss.centers, torch.tensor([[1.0 + 0.5 * 4.0 / 3.0, 0.0], [0.0, 0.0], [0.0, 1.3125]]))


def test_center_lr_is_read_at_every_update() -> None:
    loss = Center(num_outputs=3, num_features=2)
    loss.center_lr = 0.0
    loss(OUTPUTS, Y, X)
    assert not loss.centers.any()
    loss.center_lr = 1.0
    loss(OUTPUTS, Y, X)
    torch.testing.assert_close(loss.centers[0], torch.tensor([2.0, 0.0]))


def test_evaluation_keeps_the_centres_and_the_penalty() -> None:
    loss = Center(num_outputs=3, num_features=2)
    loss(OUTPUTS, Y, X)
    before = loss.centers.clone()
    loss.eval()
    assert loss(OUTPUTS, Y, X).item() == pytest.approx((1.0 + 9.0 + 2.25**2) / 2 / 3)
    assert torch.equal(loss.centers, before)


def test_the_update_leaves_the_gradient_alone() -> None:
    """The gradient of the mean penalty is (x - c) / b, c the centre of before the update."""
    loss = Center(num_outputs=3, num_features=2)
    loss(OUTPUTS, Y, X)
    before = loss.centers.clone()
    features = X.clone().requires_grad_()
    value = loss(OUTPUTS, Y, features)
    assert not torch.equal(loss.centers, before)
    (gradient,) = torch.autograd.grad(value, features)
    torch.testing.assert_close(gradient, (X - before[Y]) / 3)
    assert not loss.centers.requires_grad
    assert list(loss.parameters()) == []


def test_centres_are_part_of_the_state() -> None:
    loss, other = (CrossEntropyCenter(num_outputs=3, num_features=2) for _ in range(2))
    loss(OUTPUTS, Y, X)
    other.load_state_dict(loss.state_dict())
    assert other.centers.any()
    assert torch.equal(other.centers, loss.centers)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_features_of_other_precisions_are_taken(dtype: torch.dtype) -> None:
    loss = Center(num_outputs=3, num_features=2)
    assert loss(OUTPUTS, Y, X.to(dtype)).dtype == dtype
    assert loss.centers.dtype == torch.float32
    assert loss.centers[0, 0].item() == pytest.approx(1.0)


def test_cross_entropy_center_is_the_weighted_sum() -> None:
    torch.manual_seed(0)
    outputs = torch.randn(3, 3)
    loss = CrossEntropyCenter(num_outputs=3, num_features=2, weight=0.1, class_weights=[1.0, 2.0, 3.0])
    plain, center = CrossEntropy(class_weights=[1.0, 2.0, 3.0]), Center(num_outputs=3, num_features=2)
    for _ in range(3):
        torch.testing.assert_close(loss(outputs, Y, X), plain(outputs, Y) + 0.1 * center(outputs, Y, X))
    loss.weight, loss.label_smoothing = 0.0, 0.2
    torch.testing.assert_close(
        loss(outputs, Y, X), CrossEntropy(class_weights=[1.0, 2.0, 3.0], label_smoothing=0.2)(outputs, Y)
    )
    assert loss.label_smoothing == 0.2


def test_features_draw_together_with_it_and_not_without() -> None:
    assert spread_after_training(weight=0.1) < 0.8 * spread_after_training(weight=0.0)


def spread_after_training(*, weight: float) -> float:
    """Mean distance of features from their class's mean, over the distance between the classes' means."""
    torch.manual_seed(0)
    y = torch.arange(60) % 2
    x = torch.randn(60, 4) + 2.0 * y.unsqueeze(1)
    body, head = nn.Linear(4, 3), nn.Linear(3, 2)
    loss = CrossEntropyCenter(num_outputs=2, num_features=3, weight=weight)
    optimizer = torch.optim.SGD([*body.parameters(), *head.parameters()], lr=0.1)
    for _ in range(200):
        features = body(x)
        optimizer.zero_grad()
        loss(head(features), y, features).backward()
        optimizer.step()
    features = body(x).detach()
    means = torch.stack([features[y == c].mean(0) for c in (0, 1)])
    return ((features - means[y]).norm(dim=1).mean() / (means[0] - means[1]).norm()).item()


def test_a_model_without_a_last_linear_layer_is_refused() -> None:
    with pytest.raises(ConfigError, match="outputs come from a linear layer"):
        CrossEntropyCenter(num_outputs=3, num_features=None)
