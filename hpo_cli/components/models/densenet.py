"""Densely connected networks for small images [c, h, w] and signals [c, length]."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from hpo_cli.components.dropout import Dropout
from hpo_cli.components.models.convolutions import (
    AVERAGES,
    GLOBAL_AVERAGES,
    Layers,
    check_depth,
    check_odd,
    position_axes,
    shown,
    with_fast_memory,
)
from hpo_cli.components.models.mlp import without_identities
from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

BLOCKS = 3
SMALLEST = 2 ** (BLOCKS - 1)
BOTTLENECK = 4
"""A bottleneck gives `BOTTLENECK * growth` channels to the 3x3 convolution behind it."""


class DenseNet(nn.Sequential):
    """A flat `nn.Sequential`: convolution, 3 dense blocks with transitions between, norm, average, a linear head.

    Gives raw outputs [b, num_outputs]. Each layer of a block sees the outputs of all layers before it and adds
    `growth` channels of its own. depth = 3 n + 4 counts the layers with weights: the first convolution, n in each
    block, two transitions, the head; with `bottleneck` 6 n + 4, as each layer has a 1x1 convolution in front.
    A transition averages pairs of positions and leaves `compression` times the channels. Dropout follows every
    convolution but the first. Norm and activation stand in front of a convolution.
    Raises ConfigError for data without positions or with fewer than four a side, and for other depths.
    Source: Huang et al. 2017, arXiv:1608.06993, sections 3 and 4.2.
    """

    def __init__(  # noqa: PLR0913 - one argument a config key
        self,
        *,
        input_shape: tuple[int, ...],
        num_outputs: int,
        depth: int = 40,
        growth: int = 12,
        channels: int = 16,
        bottleneck: bool = False,
        compression: float = 1.0,
        kernel_size: int = 3,
        activation: str = "relu",
        norm: str = "batch",
        norm_groups: int = 4,
        dropout: float = 0.0,
    ) -> None:
        dims = position_axes(input_shape, model="densenet")
        per_layer = 2 if bottleneck else 1
        check_depth(depth, base=4, step=BLOCKS * per_layer, why="three dense blocks of n layers")
        check_odd(kernel_size)
        _check_size(input_shape)
        make = Layers(dims=dims, activation=activation, norm=norm, norm_groups=norm_groups)
        new_layer = _bottleneck_layer if bottleneck else _plain_layer
        stem = make.convolution(input_shape[0], channels, kernel_size=kernel_size)
        layers: OrderedDict[str, nn.Module] = OrderedDict(conv=stem)
        positions = _positions(input_shape, num_poolings=0)
        for i in range(BLOCKS):
            if i:
                kept = max(1, int(channels * compression))
                layers[f"transition{i}"] = _transition(make, channels, kept, dropout=dropout, positions=positions)
                channels = kept
            positions = _positions(input_shape, num_poolings=i)
            for j in range((depth - 4) // BLOCKS // per_layer):
                layers[f"block{i}_{j}"] = new_layer(
                    make, channels, growth, kernel_size=kernel_size, dropout=dropout, positions=positions
                )
                channels += growth
        layers["norm"] = make.new_norm(channels, positions=positions)
        layers["activation"] = make.new_activation()
        layers["average"] = GLOBAL_AVERAGES[dims](1)
        layers["flatten"] = nn.Flatten()
        layers["head"] = nn.Linear(channels, num_outputs)
        super().__init__(without_identities(layers))
        with_fast_memory(self)


class DenseLayer(nn.Sequential):
    """Layers whose outputs join their inputs: x [b, c, ...] to [b, c + growth, ...]."""

    def forward(self, x: Tensor) -> Tensor:
        """Give x and, beside its channels, what the layers make of it."""
        return torch.cat([x, super().forward(x)], 1)  # type: ignore[no-untyped-call]  # torch leaves it open


def _plain_layer(make: Layers, num_inputs: int, growth: int, *, kernel_size: int, **kind: Any) -> DenseLayer:
    return DenseLayer(_activated(make, num_inputs, growth, kernel_size=kernel_size, **kind))


def _bottleneck_layer(make: Layers, num_inputs: int, growth: int, *, kernel_size: int, **kind: Any) -> DenseLayer:
    narrow = _activated(make, num_inputs, BOTTLENECK * growth, kernel_size=1, **kind)
    wide = _activated(make, BOTTLENECK * growth, growth, kernel_size=kernel_size, **kind)
    return DenseLayer(OrderedDict(narrow=nn.Sequential(narrow), wide=nn.Sequential(wide)))


def _transition(make: Layers, num_inputs: int, num_outputs: int, **kind: Any) -> nn.Sequential:
    layers = _activated(make, num_inputs, num_outputs, kernel_size=1, **kind)
    layers["average"] = AVERAGES[make.dims](2)
    return nn.Sequential(layers)


def _activated(
    make: Layers, num_inputs: int, num_outputs: int, *, kernel_size: int, dropout: float, positions: int
) -> OrderedDict[str, nn.Module]:
    """Norm, activation and convolution, in the order of the paper's section 3, and dropout behind them."""
    layers = OrderedDict(
        norm=make.new_norm(num_inputs, positions=positions),
        activation=make.new_activation(),
        conv=make.convolution(num_inputs, num_outputs, kernel_size=kernel_size),
        dropout=Dropout(dropout),
    )
    return without_identities(layers)


def _positions(input_shape: tuple[int, ...], *, num_poolings: int) -> int:
    return math.prod(size >> num_poolings for size in input_shape[1:])


def _check_size(input_shape: tuple[int, ...]) -> None:
    if min(input_shape[1:]) < SMALLEST:
        raise ConfigError(
            "model",
            "densenet",
            rule=f"halves the size twice, samples here are {shown(input_shape)}, less than {SMALLEST} a side",
            fix="set model=resnet or model=cnn",
        )
