from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from hpo_cli.components import init

if TYPE_CHECKING:
    from collections.abc import Callable

CASES = [
    (init.normal, lambda w: nn.init.normal_(w, std=0.02)),
    (init.xavier_uniform, nn.init.xavier_uniform_),
    (init.xavier_normal, nn.init.xavier_normal_),
    (init.he_uniform, lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu")),
    (init.he_normal, lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu")),
    (init.orthogonal, nn.init.orthogonal_),
]
LAYERS = {
    "linear": lambda: nn.Linear(300, 200),
    "conv1d": lambda: nn.Conv1d(30, 40, 7),
    "conv2d": lambda: nn.Conv2d(30, 40, 5),
    "conv3d": lambda: nn.Conv3d(20, 30, 3),
}
every_layer = pytest.mark.parametrize("new_layer", LAYERS.values(), ids=LAYERS)


@every_layer
@pytest.mark.parametrize(("initialise", "reference"), CASES, ids=[f.__name__ for f, _ in CASES])
def test_equals_torch_with_the_same_seed(
    new_layer: Callable[[], nn.Linear | nn.Conv1d],
    initialise: Callable[[nn.Module], None],
    reference: Callable[[torch.Tensor], object],
) -> None:
    ours, theirs = new_layer(), new_layer()
    torch.manual_seed(5)
    initialise(nn.Sequential(ours))
    torch.manual_seed(5)
    reference(theirs.weight)
    assert torch.equal(ours.weight, theirs.weight)
    assert ours.bias is not None
    assert torch.count_nonzero(ours.bias) == 0


@every_layer
@pytest.mark.parametrize(
    ("initialise", "variance"),
    [
        (init.normal, lambda _fan_in, _fan_out: 0.02**2),
        (init.xavier_uniform, lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
        (init.xavier_normal, lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
        (init.he_uniform, lambda fan_in, _fan_out: 2 / fan_in),
        (init.he_normal, lambda fan_in, _fan_out: 2 / fan_in),
    ],
)
def test_has_the_analytic_variance(
    new_layer: Callable[[], nn.Linear | nn.Conv1d],
    initialise: Callable[[nn.Module], None],
    variance: Callable[[int, int], float],
) -> None:
    torch.manual_seed(0)
    layer = new_layer()
    initialise(layer)
    positions = layer.weight[0, 0].numel()
    wanted = variance(layer.weight.shape[1] * positions, layer.weight.shape[0] * positions)
    assert layer.weight.mean().item() == pytest.approx(0.0, abs=0.05 * wanted**0.5)
    assert layer.weight.var().item() == pytest.approx(wanted, rel=0.05)


def test_orthogonal_keeps_lengths() -> None:
    layer = nn.Linear(50, 50, dtype=torch.float64)
    init.orthogonal(layer, gain=2.0)
    torch.testing.assert_close(layer.weight @ layer.weight.T, 4.0 * torch.eye(50, dtype=torch.float64))


def test_default_leaves_all_as_it_was() -> None:
    layer = nn.Linear(4, 3)
    before = [parameter.clone() for parameter in layer.parameters()]
    init.default(layer)
    assert all(torch.equal(a, b) for a, b in zip(before, layer.parameters(), strict=True))


def test_layers_without_bias_and_norms_are_passed_over() -> None:
    net = nn.Sequential(nn.Linear(4, 3, bias=False), nn.LayerNorm(3))
    init.he_normal(net)
    assert torch.equal(net[1].weight, torch.ones(3))
    assert torch.equal(net[1].bias, torch.zeros(3))


def test_he_keeps_the_signal_through_thirty_relu_layers_where_a_fixed_deviation_loses_it() -> None:
    layers = [layer for _ in range(30) for layer in (nn.Linear(128, 128), nn.ReLU())]
    net, x = nn.Sequential(*layers), torch.randn(200, 128)
    sizes = {}
    for initialise in (init.he_normal, init.normal):
        torch.manual_seed(0)
        initialise(net)
        sizes[initialise] = net(x).square().mean().sqrt().item()
    assert 0.1 < sizes[init.he_normal] < 10.0
    assert sizes[init.normal] < 1e-10
