"""Every initialisation option gives finite weights, a function of the seed, and leaves normalisation layers alone."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from hpo_cli.components.build import build
from hpo_cli.components.init import Kinds
from hpo_cli.components.models.cnn import CNN
from hpo_cli.components.models.mlp import MLP
from tests.conformance.options import collect, component_of, name_of

if TYPE_CHECKING:
    from hpo_cli.options import Option

SAMPLES = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
MLP_ALONE = ("autoencoder",)
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
    if option.name in MLP_ALONE:
        pytest.skip("trains the layers of an mlp, norms too")
    norm = initialised(option, seed=0).get_submodule("norm1")
    assert isinstance(norm, nn.BatchNorm2d)
    for name, wanted in {**nn.BatchNorm2d(12).state_dict()}.items():
        assert torch.equal(norm.state_dict()[name], wanted)


@every_init
def test_takes_the_keys_that_all_share(option: Option) -> None:
    head = initialised(option, seed=0, linear="uniform").get_submodule("head")
    weight = head.get_parameter("weight")
    highest = weight.abs().max().item()
    assert weight.std().item() / highest == pytest.approx(3**-0.5, rel=0.15)
    assert highest < 0.1 or option.name == "lsuv"  # which scales what was drawn
    assert torch.count_nonzero(head.get_parameter("bias")) == 0


def initialised(option: Option, *, seed: int, **shared: Any) -> nn.Module:
    """A small network with the layers that the option is for, initialised as a run does it."""
    torch.manual_seed(seed)
    keys: dict[str, Any] = {"input_shape": (1, 8, 8), "num_outputs": 10, "depth": 2, "norm": "batch"}
    net = MLP(**keys, width=24) if option.name in MLP_ALONE else CNN(**keys, channels=6)
    component = component_of(option, **{**dataclasses.asdict(Kinds()), **shared})
    assert build(component, model=net, samples=lambda: SAMPLES) is None
    return net


def vector(net: nn.Module) -> torch.Tensor:
    """All parameters in one vector."""
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])
