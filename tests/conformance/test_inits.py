"""Every initialisation option gives finite weights, a function of the seed, and leaves normalisation layers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from tests.conformance.options import collect, function_of, name_of

if TYPE_CHECKING:
    from hpo_cli.options import Option

every_init = pytest.mark.parametrize("option", collect("init"), ids=name_of)


@every_init
def test_gives_finite_outputs_that_differ(option: Option) -> None:
    outputs = initialised(option, seed=0)(torch.randn(6, 1, 8, 8))
    assert outputs.isfinite().all()
    assert outputs.std() > 0


@every_init
def test_is_a_function_of_the_seed(option: Option) -> None:
    one, same, other = (vector(initialised(option, seed=seed)) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@every_init
def test_leaves_normalisation_alone(option: Option) -> None:
    norm = initialised(option, seed=0)[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert torch.equal(norm.weight, torch.ones(6))
    assert torch.equal(norm.bias, torch.zeros(6))


def initialised(option: Option, *, seed: int) -> nn.Sequential:
    """A small network with every kind of layer that an initialisation meets, initialised."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(216, 20), nn.Linear(20, 3)
    )
    function_of(option)(net)
    return net


def vector(net: nn.Module) -> torch.Tensor:
    """All parameters in one vector."""
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])
