from __future__ import annotations

import copy
import functools
import inspect
import math
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from hpo_cli.components import init

if TYPE_CHECKING:
    from collections.abc import Callable

PHI_2 = math.exp(-2) / math.sqrt(2 * math.pi)
"""Density of the standard normal at 2, for the variance of what lies within two deviations."""
CASES = [
    (init.normal, lambda w: nn.init.normal_(w, std=0.02)),
    (init.truncated_normal, lambda w: nn.init.trunc_normal_(w, std=0.02, a=-0.04, b=0.04)),
    (init.uniform, lambda w: nn.init.uniform_(w, -0.1, 0.1)),
    (init.lecun_normal, lambda w: nn.init.kaiming_normal_(w, nonlinearity="linear")),
    (init.scaled, lambda w: nn.init.kaiming_normal_(w, nonlinearity="linear")),
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
        (init.truncated_normal, lambda _fan_in, _fan_out: 0.02**2 * (1 - 4 * PHI_2 / math.erf(2 / math.sqrt(2)))),
        (init.uniform, lambda _fan_in, _fan_out: 0.1**2 / 3),
        (init.lecun_normal, lambda fan_in, _fan_out: 1 / fan_in),
        (init.scaled, lambda fan_in, _fan_out: 1 / fan_in),
        (functools.partial(init.scaled, scale=0.1), lambda fan_in, _fan_out: 0.01 / fan_in),
        (init.xavier_uniform, lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
        (init.xavier_normal, lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
        (init.he_uniform, lambda fan_in, _fan_out: 2 / fan_in),
        (init.he_normal, lambda fan_in, _fan_out: 2 / fan_in),
        (functools.partial(init.he_normal, slope=0.25), lambda fan_in, _fan_out: 2 / (1.0625 * fan_in)),
        (functools.partial(init.he_uniform, slope=0.25), lambda fan_in, _fan_out: 2 / (1.0625 * fan_in)),
        (functools.partial(init.he_normal, fan="fan_out"), lambda _fan_in, fan_out: 2 / fan_out),
        (functools.partial(init.he_uniform, fan="fan_out"), lambda _fan_in, fan_out: 2 / fan_out),
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


def test_orthogonal_fills_kernels_with_channels_last() -> None:
    layer = nn.Conv2d(8, 16, 3)
    ours, theirs = copy.deepcopy(layer).to(memory_format=torch.channels_last), layer
    torch.manual_seed(0)
    init.orthogonal(ours)
    torch.manual_seed(0)
    nn.init.orthogonal_(theirs.weight)
    assert torch.equal(ours.weight, theirs.weight)
    assert ours.weight.is_contiguous(memory_format=torch.channels_last)


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


def test_every_draw_has_an_oracle() -> None:
    assert {"default", *(initialise.__name__ for initialise, _ in CASES)} == set(init.DRAWS)


def test_truncated_normal_has_nothing_beyond_two_deviations() -> None:
    layer = nn.Linear(300, 300)
    init.truncated_normal(layer, std=0.1)
    assert layer.weight.abs().max() <= 0.2
    init.normal(layer, std=0.1)
    assert layer.weight.abs().max() > 0.2


def test_the_signature_shows_own_and_shared_keys() -> None:
    shared = ["linear", "convolution", "recurrent", "embedding", "zero_residual"]
    assert list(inspect.signature(init.he_normal).parameters) == ["model", "slope", "fan", *shared]
    assert list(inspect.signature(init.default).parameters) == ["model", *shared]
    assert list(inspect.signature(init.lsuv).parameters) == ["model", "samples", "num_samples", *shared]


def variances(
    initialise: Callable[[nn.Module], None], activation: Callable[[], nn.Module], *, depth: int = 30, width: int = 256
) -> list[float]:
    """The mean square of the signal behind each of `depth` layers whose input has mean 0 and variance 1."""
    torch.manual_seed(0)
    net = nn.Sequential(*(layer for _ in range(depth) for layer in (nn.Linear(width, width), activation())))
    initialise(net)
    x, found = torch.randn(500, width), []
    with torch.no_grad():
        for layer in net:
            x = layer(x)
            found.append(x.square().mean().item())
    return found[1::2]


def test_he_keeps_the_signal_through_thirty_relu_layers_where_others_lose_it() -> None:
    he, xavier = variances(init.he_normal, nn.ReLU), variances(init.xavier_normal, nn.ReLU)
    fixed = variances(functools.partial(init.normal, std=0.01), nn.ReLU)
    assert all(0.4 < found < 2.0 for found in he)
    assert math.log2(xavier[-1]) == pytest.approx(-30, abs=2)  # each layer halves it
    assert fixed[4] == pytest.approx((256 * 1e-4 / 2) ** 5, rel=0.5)
    assert fixed[-1] < 1e-30


def test_the_slope_of_leaky_relu_counts() -> None:
    leaky = functools.partial(nn.LeakyReLU, 0.5)
    assert 0.4 < variances(functools.partial(init.he_normal, slope=0.5), leaky)[-1] < 2.0
    assert variances(init.he_normal, leaky)[-1] > 100.0


def test_xavier_keeps_the_signal_of_linear_layers() -> None:
    assert 0.5 < variances(init.xavier_normal, nn.Identity)[-1] < 2.0


def moments(initialise: Callable[[nn.Module], None], activation: Callable[[], nn.Module]) -> tuple[float, float]:
    """Mean and variance behind fifty layers of width 512."""
    torch.manual_seed(0)
    net = nn.Sequential(*(layer for _ in range(50) for layer in (nn.Linear(512, 512), activation())))
    initialise(net)
    with torch.no_grad():
        x = net(torch.randn(500, 512))
    return x.mean().item(), x.var().item()


def test_mean_zero_and_variance_one_are_a_fixed_point_of_selu_with_lecun_normal() -> None:
    mean, variance = moments(init.lecun_normal, nn.SELU)
    assert mean == pytest.approx(0.0, abs=0.1)
    assert variance == pytest.approx(1.0, abs=0.2)
    assert moments(init.default, nn.SELU)[1] < 0.2
    assert moments(init.lecun_normal, nn.ELU)[1] < 0.2
