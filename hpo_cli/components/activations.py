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
        "elu": "torch.nn.ELU",
        "selu": "torch.nn.SELU",
        "sigmoid": "torch.nn.Sigmoid",
        "tanh": "torch.nn.Tanh",
        "gelu": "torch.nn.GELU",
        "silu": "torch.nn.SiLU",
        "identity": "torch.nn.Identity",
    }
)


def activation(name: str) -> nn.Module:
    """Make the module for the activation `name` with torch's default parameters, shape in = shape out.

    Raises ConfigError for a name that is not in `ACTIVATIONS`.
    """
    if name not in ACTIVATIONS:
        raise ConfigError(
            "model.activation",
            name,
            rule=f"must be one of {', '.join(ACTIVATIONS)}",
            fix=did_you_mean(name, ACTIVATIONS),
        )
    return cast("nn.Module", pkgutil.resolve_name(ACTIVATIONS[name])())
