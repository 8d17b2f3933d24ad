"""Every model option gives raw outputs of the right shape, and each of its parameters a finite gradient."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from hpo_cli.components.build import build
from hpo_cli.errors import ConfigError
from tests.conformance.options import collect, component_of, name_of

if TYPE_CHECKING:
    from hpo_cli.options import Option

SHAPES = {"table": (30,), "sequence": (1, 40), "tiny image": (1, 8, 8), "colour image": (3, 28, 28)}
MODELS = collect("model")
VARIANTS = [
    pytest.param(option, {key: value}, id=f"{option.name} {key}={value}")
    for option in MODELS
    for key, rule in option.rules.items()
    for value in rule.get("one_of", ())
] + [pytest.param(option, {}, id=option.name) for option in MODELS]


def test_variants_are_collected() -> None:
    assert len(VARIANTS) >= 25


@pytest.mark.parametrize(("option", "changes"), VARIANTS)
def test_gives_outputs_and_gradients_wherever_it_applies(option: Option, changes: dict[str, Any]) -> None:
    fitting = [shape for shape in SHAPES.values() if (net := built(option, shape, changes)) and not flaws(net, shape)]
    refusing = [shape for shape in SHAPES.values() if built(option, shape, changes) is None]
    assert fitting
    assert len(fitting) + len(refusing) == len(SHAPES)


@pytest.mark.parametrize("option", MODELS, ids=name_of)
def test_is_copied_saved_and_loaded(option: Option) -> None:
    shape = next(shape for shape in SHAPES.values() if built(option, shape, {}))
    first, second = built(option, shape, {}), built(option, shape, {})
    assert first is not None
    assert second is not None
    second.load_state_dict(first.state_dict())
    x = torch.randn(4, *shape)
    third = copy.deepcopy(first).eval()
    assert torch.equal(first.eval()(x), second.eval()(x))
    assert torch.equal(first(x), third(x))


def test_a_faulty_model_is_noticed() -> None:
    class Unused(nn.Linear):
        def __init__(self) -> None:
            super().__init__(30, 5)
            self.extra = nn.Parameter(torch.zeros(1))

    assert flaws(nn.Linear(30, 4), (30,)) == ["shape"]
    assert flaws(Unused(), (30,)) == ["extra"]
    assert flaws(nn.Linear(30, 5), (30,)) == []


def built(option: Option, shape: tuple[int, ...], changes: dict[str, Any]) -> nn.Module | None:
    """The model with five outputs, or None when it refuses such data."""
    torch.manual_seed(0)
    try:
        net: nn.Module = build(component_of(option, **changes), input_shape=shape, num_outputs=5)
    except ConfigError:
        return None
    return net


def flaws(net: nn.Module, shape: tuple[int, ...]) -> list[str]:
    """`shape` for a wrong output shape, else the names of parameters without a finite gradient."""
    outputs = net(torch.randn(8, *shape))
    if outputs.shape != (8, 5):
        return ["shape"]
    nn.functional.cross_entropy(outputs, torch.arange(8) % 5).backward()
    return [name for name, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
