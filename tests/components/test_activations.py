from __future__ import annotations

import math
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch

from hpo_cli.components.activations import ACTIVATIONS, activation, widening
from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

CLOSED_FORMS: dict[str, Callable[[float], float]] = {
    "relu": lambda x: max(x, 0.0),
    "leaky_relu": lambda x: max(x, 0.01 * x),
    "prelu": lambda x: max(x, 0.25 * x),
    "elu": lambda x: x if x > 0 else math.expm1(x),
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * math.expm1(x)),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": math.tanh,
    "swish": lambda x: x / (1 + math.exp(-x)),
    "mish": lambda x: x * math.tanh(math.log1p(math.exp(x))),
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "softplus": lambda x: math.log1p(math.exp(x)),
    "identity": lambda x: x,
}


def test_every_activation_has_a_closed_form() -> None:
    assert {*CLOSED_FORMS, "maxout"} == set(ACTIVATIONS)


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_equals_its_closed_form(name: str) -> None:
    points = torch.linspace(-4.0, 4.0, 81, dtype=torch.float64)
    wanted = torch.tensor([CLOSED_FORMS[name](x) for x in points.tolist()], dtype=torch.float64)
    torch.testing.assert_close(activation(name).double()(points), wanted)


@pytest.mark.parametrize("shape", [(5, 12), (5, 12, 7), (5, 12, 3, 4)])
@pytest.mark.parametrize("pieces", [2, 3])
def test_maxout_is_the_largest_of_neighbouring_features(shape: tuple[int, ...], pieces: int) -> None:
    x = torch.randn(shape)
    wanted = torch.stack([x[:, first::pieces] for first in range(pieces)]).max(0).values
    assert torch.equal(activation("maxout", pieces=pieces)(x), wanted)


def test_two_pieces_can_be_relu_and_the_absolute_value() -> None:
    x = torch.randn(50, 1)
    maxout = activation("maxout", pieces=2)
    assert torch.equal(maxout(torch.cat([x, torch.zeros_like(x)], 1)), x.relu())
    assert torch.equal(maxout(torch.cat([x, -x], 1)), x.abs())


def test_maxout_of_stacked_models_is_mapped() -> None:
    x = torch.randn(3, 5, 8)
    maxout = activation("maxout", pieces=2)
    assert torch.equal(torch.func.vmap(maxout)(x), torch.stack([maxout(one) for one in x]))


def test_only_maxout_widens_the_layer_before_it() -> None:
    assert {name: widening(name, pieces=3) for name in ACTIVATIONS} == {**dict.fromkeys(ACTIVATIONS, 1), "maxout": 3}


def test_pieces_say_nothing_to_other_activations() -> None:
    assert repr(activation("elu", pieces=5)) == repr(activation("elu"))


@pytest.mark.parametrize("pieces", [1, 0, -2])
def test_maxout_of_one_piece_is_refused(pieces: int) -> None:
    with pytest.raises(ConfigError, match=rf"^model\.pieces={pieces}: must be at least 2.*; set model\.pieces=2$"):
        activation("maxout", pieces=pieces)


def test_maxout_is_refused_by_models_without_pieces() -> None:
    with pytest.raises(ConfigError, match=r"^model\.activation=maxout: needs several pieces a unit, .*set model=mlp"):
        activation("maxout")


def test_each_call_gives_a_new_module() -> None:
    assert activation("relu") is not activation("relu")


def test_a_misspelt_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^model\.activation=rellu: must be one of relu, .*; did you mean relu\?$"):
        activation("rellu")


@pytest.mark.parametrize("module", ["activations", "norms"])
def test_tables_are_readable_without_torch(module: str) -> None:
    code = f"import sys, hpo_cli.components.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
