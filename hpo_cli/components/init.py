"""Initialisation of a model's weights, in place, drawn from torch's global generator.

Every function but `default` fills the weights of linear and convolution layers and sets their biases to zero;
normalisation layers keep their scale of one and shift of zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

_WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def default(model: nn.Module) -> None:
    """Leaves what torch's layers draw themselves: uniform within +-1/sqrt(fan_in), biases as well."""


def normal(model: nn.Module, *, std: float = 0.02) -> None:
    """Weights from N(0, std^2) whatever the layer's width. Source: Radford et al. 2016 (DCGAN), std 0.02."""
    _fill(model, draw=lambda weight: nn.init.normal_(weight, std=std))


def xavier_uniform(model: nn.Module, *, gain: float = 1.0) -> None:
    """Weights uniform with variance `2 gain^2 / (fan_in + fan_out)`. Source: Glorot & Bengio 2010, eq. 16."""
    _fill(model, draw=lambda weight: nn.init.xavier_uniform_(weight, gain=gain))


def xavier_normal(model: nn.Module, *, gain: float = 1.0) -> None:
    """Weights normal with variance `2 gain^2 / (fan_in + fan_out)`. Source: Glorot & Bengio 2010, eq. 12."""
    _fill(model, draw=lambda weight: nn.init.xavier_normal_(weight, gain=gain))


def he_uniform(model: nn.Module) -> None:
    """Weights uniform with variance `2 / fan_in`, for relu. Source: He et al. 2015 (arXiv:1502.01852)."""
    _fill(model, draw=lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity="relu"))


def he_normal(model: nn.Module) -> None:
    """Weights normal with variance `2 / fan_in`, for relu. Source: He et al. 2015 (arXiv:1502.01852)."""
    _fill(model, draw=lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"))


def orthogonal(model: nn.Module, *, gain: float = 1.0) -> None:
    """Rows (or columns, if fewer) of each weight, flattened to [out, rest], orthogonal and of length `gain`.

    Source: Saxe et al. 2014 (arXiv:1312.6120).
    """
    _fill(model, draw=lambda weight: nn.init.orthogonal_(weight, gain=gain))


def _fill(model: nn.Module, *, draw: Callable[[Tensor], object]) -> None:
    for layer in model.modules():
        if isinstance(layer, _WEIGHTED):
            draw(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
