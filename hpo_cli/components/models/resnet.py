"""Residual networks for small images [c, h, w] and signals [c, length], and their twins without shortcuts."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING

from torch import nn

from hpo_cli.components.dropout import Dropout, StochasticDepth
from hpo_cli.components.models.convolutions import (
    GLOBAL_AVERAGES,
    Layers,
    check_depth,
    check_odd,
    position_axes,
    with_fast_memory,
)
from hpo_cli.components.models.mlp import without_identities
from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

STAGES = 3


class ResNet(nn.Sequential):
    """A flat `nn.Sequential`: convolution, norm, activation, 3 n blocks, global average, dropout, a linear head.

    Gives raw outputs [b, num_outputs]. depth = 6 n + 2 counts the layers with weights: the first convolution, two in
    each block, the head. Three stages of n blocks have `channels`, twice and four times as many; the first block of
    the second and of the third halves the size. Norm and activation follow the convolutions, the last activation of a
    block its sum. The shortcuts have no parameters (option A of the paper), so that the twin with `shortcut` false
    has the same parameters, name by name, and draws the same initial weights.
    squeeze_excite: 0, or the ratio by which the gates of a `SqueezeExcite` in each block narrow.
    stochastic_depth: block l of L is dropped with rate * l / L (Huang et al. 2016, arXiv:1603.09382, eq. 4).
    Raises ConfigError for data without positions and for values that do not fit together.
    Source: He et al. 2016, arXiv:1512.03385, section 4.2.
    """

    def __init__(  # noqa: PLR0913 - one argument a config key
        self,
        *,
        input_shape: tuple[int, ...],
        num_outputs: int,
        depth: int = 20,
        channels: int = 16,
        kernel_size: int = 3,
        shortcut: bool = True,
        squeeze_excite: int = 0,
        activation: str = "relu",
        norm: str = "batch",
        norm_groups: int = 8,
        dropout: float = 0.0,
        stochastic_depth: float = 0.0,
    ) -> None:
        dims = position_axes(input_shape, model="resnet")
        check_depth(depth, base=2, step=2 * STAGES, why="three stages of n blocks, each of two convolutions")
        check_odd(kernel_size)
        _check_ratio(squeeze_excite, channels=channels)
        _check_dropped(stochastic_depth, skips=shortcut)
        make = Layers(dims=dims, activation=activation, norm=norm, norm_groups=norm_groups)
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv=make.convolution(input_shape[0], channels, kernel_size=kernel_size),
            norm=make.new_norm(channels, positions=_positions(input_shape, stage=0)),
            activation=make.new_activation(),
        )
        num_blocks, num_inputs = (depth - 2) // 2, channels
        for i in range(num_blocks):
            stage = i * STAGES // num_blocks
            width = channels * 2**stage
            positions = _positions(input_shape, stage=stage)
            branch = _branch(make, num_inputs, width, kernel_size=kernel_size, positions=positions)
            if squeeze_excite:
                branch["squeeze_excite"] = SqueezeExcite(width, ratio=squeeze_excite)
            if shortcut:
                branch["drop"] = StochasticDepth(stochastic_depth, share=(i + 1) / num_blocks)
                skip = Shortcut(num_extra=width - num_inputs, stride=1 if width == num_inputs else 2)
                layers[f"block{i}"] = _residual(make, branch, shortcut=skip)
            else:
                layers[f"block{i}"] = _plain(make, branch)
            num_inputs = width
        layers["average"] = GLOBAL_AVERAGES[dims](1)
        layers["flatten"] = nn.Flatten()
        layers["dropout"] = Dropout(dropout)
        layers["head"] = nn.Linear(num_inputs, num_outputs)
        super().__init__(without_identities(layers))
        with_fast_memory(self)


class SqueezeExcite(nn.Module):
    """Scales every channel by a gate between 0 and 1 that sees the averages of all channels; shape in = shape out.

    num_channels / ratio hidden units and no biases: 2 num_channels^2 / ratio parameters.
    Source: Hu et al. 2018, arXiv:1709.01507, eq. 2 to 4 and section 4.
    """

    def __init__(self, num_channels: int, *, ratio: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(num_channels, num_channels // ratio, bias=False)
        self.excite = nn.Linear(num_channels // ratio, num_channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Weigh the channels of x [b, c, ...]."""
        means = x.mean(tuple(range(2, x.dim())))
        gates = self.excite(self.squeeze(means).relu()).sigmoid()
        scaled: Tensor = x * gates.view(*gates.shape, *[1] * (x.dim() - 2))
        return scaled


class Shortcut(nn.Module):
    """The identity, every `stride`-th position of it, with `num_extra` channels of zeros behind: no parameters.

    Source: He et al. 2016, arXiv:1512.03385, section 3.3, option A.
    """

    def __init__(self, *, num_extra: int, stride: int) -> None:
        super().__init__()
        self.num_extra = num_extra
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Bring x [b, c, ...] to the shape that the block's branch gives: more channels, fewer positions."""
        if self.stride == 1:
            return x
        dims = x.dim() - 2
        kept = x[:, :, :: self.stride] if dims == 1 else x[:, :, :: self.stride, :: self.stride]
        return nn.functional.pad(kept, (*[0, 0] * dims, 0, self.num_extra))


class ResidualBlock(nn.Module):
    """`activation(shortcut(x) + branch(x))`. Source: He et al. 2016, arXiv:1512.03385, eq. 1."""

    def __init__(self, branch: nn.Module, *, shortcut: Shortcut, activation: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Map x [b, c, ...] to the shape of the branch."""
        out: Tensor = self.activation(self.branch(x) + self.shortcut(x))
        return out


def _branch(
    make: Layers, num_inputs: int, width: int, *, kernel_size: int, positions: int
) -> OrderedDict[str, nn.Module]:
    stride = 1 if width == num_inputs else 2
    return OrderedDict(
        conv0=make.convolution(num_inputs, width, kernel_size=kernel_size, stride=stride),
        norm0=make.new_norm(width, positions=positions),
        activation0=make.new_activation(),
        conv1=make.convolution(width, width, kernel_size=kernel_size),
        norm1=make.new_norm(width, positions=positions),
    )


def _residual(make: Layers, branch: OrderedDict[str, nn.Module], *, shortcut: Shortcut) -> ResidualBlock:
    branch["norm1"].closes_block = True  # type: ignore[assignment]  # a mark, no module
    return ResidualBlock(nn.Sequential(without_identities(branch)), shortcut=shortcut, activation=make.new_activation())


def _plain(make: Layers, branch: OrderedDict[str, nn.Module]) -> nn.Sequential:
    layers = nn.Sequential(without_identities(branch))
    return nn.Sequential(OrderedDict(branch=layers, activation=make.new_activation()))


def _positions(input_shape: tuple[int, ...], *, stage: int) -> int:
    return math.prod(-(-size // 2**stage) for size in input_shape[1:])


def _check_ratio(ratio: int, *, channels: int) -> None:
    if ratio and channels % ratio:
        fitting = [n for n in range(2, channels + 1) if channels % n == 0] or [0]
        raise ConfigError(
            "model.squeeze_excite",
            ratio,
            rule=f"must divide the {channels} channels of the first stage",
            fix=f"choose one of {', '.join(map(str, fitting))}",
        )


def _check_dropped(rate: float, *, skips: bool) -> None:
    if rate and not skips:
        raise ConfigError(
            "model.stochastic_depth",
            rate,
            rule="drops the branch beside a shortcut, and model.shortcut=false leaves none",
            fix="set regularization.stochastic_depth=0",
        )
