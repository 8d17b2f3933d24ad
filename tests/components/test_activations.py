from __future__ import annotations

import math
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch

from hpo_cli.components.activations import ACTIVATIONS, activation
from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

CLOSED_FORMS: dict[str, Callable[[float], float]] = {
    "relu": lambda x: max(x, 0.0),
    "leaky_relu": lambda x: max(x, 0.01 * x),
    "elu": lambda x: x if x > 0 else math.expm1(x),
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * math.expm1(x)),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": math.tanh,
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "silu": lambda x: x / (1 + math.exp(-x)),
    "identity": lambda x: x,
}


def test_every_activation_has_a_closed_form() -> None:
    assert set(CLOSED_FORMS) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_equals_its_closed_form(name: str) -> None:
    points = torch.linspace(-4.0, 4.0, 81, dtype=torch.float64)
    wanted = torch.tensor([CLOSED_FORMS[name](x) for x in points.tolist()], dtype=torch.float64)
    torch.testing.assert_close(activation(name)(points), wanted)


def test_each_call_gives_a_new_module() -> None:
    assert activation("relu") is not activation("relu")


def test_a_misspelt_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^model\.activation=rellu: must be one of relu, .*; did you mean relu\?$"):
        activation("rellu")


@pytest.mark.parametrize("module", ["activations", "norms", "metrics"])
def test_tables_are_readable_without_torch(module: str) -> None:
    code = f"import sys, hpo_cli.components.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
