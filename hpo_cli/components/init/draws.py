"""Plain initialisations: how the weight of one layer is drawn, by its shape alone.

Each function here draws a weight; `plain` makes it the target of an option, called with a model, the function's own
keys and those of `Kinds`. Biases become zero; normalisation layers keep their scale of one and shift of zero.
"""

from __future__ import annotations

import functools
import inspect
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from torch import nn

from hpo_cli.components.init.kinds import Kinds, takes_kinds
from hpo_cli.components.init.layers import fill

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

_DRAWS: dict[str, Callable[..., None]] = {}
DRAWS: Mapping[str, Callable[..., None]] = MappingProxyType(_DRAWS)
"""Name -> function that draws one weight [out, in, ...] in place: what `init.linear` and its like may name."""

Fan = Literal["fan_in", "fan_out"]


def plain(draw: Callable[..., None]) -> Callable[..., None]:
    """Register a draw under its name and make the initialisation of whole models from it."""
    _DRAWS[draw.__name__] = draw

    @functools.wraps(draw)
    def initialise(model: nn.Module, *, kinds: Kinds, **own: Any) -> None:
        fill(model, own=draw.__name__, draws={**DRAWS, draw.__name__: functools.partial(draw, **own)}, kinds=kinds)

    _, *keys = inspect.signature(draw).parameters.values()
    return takes_kinds(initialise, keys=keys)


@plain
def default(weight: Tensor) -> None:
    """Leaves what torch's layers draw themselves: uniform within +-1/sqrt(fan_in), biases as well."""


@plain
def normal(weight: Tensor, *, std: float = 0.02) -> None:
    """Weights from N(0, std^2) whatever the layer's width. Source: Radford et al. 2016 (DCGAN), std 0.02."""
    nn.init.normal_(weight, std=std)


@plain
def truncated_normal(weight: Tensor, *, std: float = 0.02) -> None:
    """Weights from N(0, std^2) without what lies beyond two deviations, which leaves 0.88 of the deviation.

    Source: Devlin et al. 2019 (BERT), Dosovitskiy et al. 2021 (ViT), std 0.02.
    """
    nn.init.trunc_normal_(weight, std=std, a=-2.0 * std, b=2.0 * std)


@plain
def uniform(weight: Tensor, *, limit: float = 0.1) -> None:
    """Weights uniform within +-limit. Source: Zaremba et al. 2014 (arXiv:1409.2329), limits 0.04 to 0.1."""
    nn.init.uniform_(weight, -limit, limit)


@plain
def scaled(weight: Tensor, *, scale: float = 1.0) -> None:
    """Weights normal with deviation `scale / sqrt(fan_in)`, the width of the layer before."""
    nn.init.normal_(weight, std=scale / weight[0].numel() ** 0.5)


@plain
def lecun_normal(weight: Tensor) -> None:
    """Weights normal with variance `1 / fan_in`, for selu.

    Source: LeCun et al. 1998 ("Efficient BackProp"), eq. 16; Klambauer et al. 2017 (arXiv:1706.02515).
    """
    nn.init.normal_(weight, std=weight[0].numel() ** -0.5)


@plain
def xavier_uniform(weight: Tensor, *, gain: float = 1.0) -> None:
    """Weights uniform with variance `2 gain^2 / (fan_in + fan_out)`. Source: Glorot & Bengio 2010, eq. 16."""
    nn.init.xavier_uniform_(weight, gain=gain)


@plain
def xavier_normal(weight: Tensor, *, gain: float = 1.0) -> None:
    """Weights normal with variance `2 gain^2 / (fan_in + fan_out)`. Source: Glorot & Bengio 2010, eq. 12."""
    nn.init.xavier_normal_(weight, gain=gain)


@plain
def he_uniform(weight: Tensor, *, slope: float = 0.0, fan: Fan = "fan_in") -> None:
    """Weights uniform with variance `2 / ((1 + slope^2) fan)`, for relu and leaky relu.

    Source: He et al. 2015 (arXiv:1502.01852), eq. 10, 14 and 15.
    """
    nn.init.kaiming_uniform_(weight, a=slope, mode=fan, nonlinearity="leaky_relu")


@plain
def he_normal(weight: Tensor, *, slope: float = 0.0, fan: Fan = "fan_in") -> None:
    """Weights normal with variance `2 / ((1 + slope^2) fan)`, for relu and leaky relu.

    slope: of the activation below zero. fan: `fan_in` keeps the variance forward, `fan_out` that of gradients backward.
    Source: He et al. 2015 (arXiv:1502.01852), eq. 10, 14 and 15.
    """
    nn.init.kaiming_normal_(weight, a=slope, mode=fan, nonlinearity="leaky_relu")


@plain
def orthogonal(weight: Tensor, *, gain: float = 1.0) -> None:
    """Rows (or columns, if fewer) of each weight, flattened to [out, rest], orthogonal and of length `gain`.

    Source: Saxe et al. 2014 (arXiv:1312.6120).
    """
    row_by_row = weight.detach().contiguous()  # torch cannot fill a kernel whose channels lie last in memory
    nn.init.orthogonal_(row_by_row, gain=gain)
    weight.detach().copy_(row_by_row)
