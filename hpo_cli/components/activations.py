"""Activations by name. The table is readable without torch; a module is built only when one is asked for."""

from __future__ import annotations

import pkgutil
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from hpo_cli.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

ACTIVATIONS: Mapping[str, str] = MappingProxyType(
    {
        "relu": "torch.nn.ReLU",
        "leaky_relu": "torch.nn.LeakyReLU",
        "prelu": "torch.nn.PReLU",
        "elu": "torch.nn.ELU",
        "selu": "torch.nn.SELU",
        "sigmoid": "torch.nn.Sigmoid",
        "tanh": "torch.nn.Tanh",
        "maxout": "hpo_cli.components.maxout.Maxout",
        "swish": "torch.nn.SiLU",
        "mish": "torch.nn.Mish",
        "gelu": "torch.nn.GELU",
        "softplus": "torch.nn.Softplus",
        "identity": "torch.nn.Identity",
    }
)
"""Name -> class. swish is x * sigmoid(x), which torch calls SiLU."""


def activation(name: str, *, pieces: int | None = None) -> nn.Module:
    """Make the module for the activation `name` with torch's default parameters, shape in = shape out.

    pieces: only for models whose layers are `widening(name, pieces=pieces)` times as wide: maxout takes the largest of
    so many neighbours of axis 1 and gives as many times fewer features. Models without such layers leave it out.
    Raises ConfigError for a name that is not in `ACTIVATIONS`, and for maxout without pieces.
    """
    if name not in ACTIVATIONS:
        raise ConfigError(
            "model.activation",
            name,
            rule=f"must be one of {', '.join(ACTIVATIONS)}",
            fix=did_you_mean(name, ACTIVATIONS),
        )
    if name == "maxout" and pieces is None:
        rule = "needs several pieces a unit, which the layers of this model do not have"
        raise ConfigError("model.activation", name, rule=rule, fix="choose another, or set model=mlp or model=cnn")
    arguments = (pieces,) if name == "maxout" else ()
    return cast("nn.Module", pkgutil.resolve_name(ACTIVATIONS[name])(*arguments))


def widening(name: str, *, pieces: int) -> int:
    """How many times wider than its units the layer before the activation is: `pieces` for maxout, else 1."""
    return pieces if name == "maxout" else 1
