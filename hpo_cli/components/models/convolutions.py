"""What the convolutional networks share: layers for signals [c, length] and images [c, h, w], and their checks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

import torch
from torch import nn

from hpo_cli.components.activations import activation as new_activation
from hpo_cli.components.norms import bias_before
from hpo_cli.components.norms import norm as new_norm
from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

Dims = Literal[1, 2]

CONVOLUTIONS: Mapping[int, type[nn.Conv1d | nn.Conv2d]] = {1: nn.Conv1d, 2: nn.Conv2d}
AVERAGES: Mapping[int, type[nn.AvgPool1d | nn.AvgPool2d]] = {1: nn.AvgPool1d, 2: nn.AvgPool2d}
GLOBAL_AVERAGES: Mapping[int, type[nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d]] = {
    1: nn.AdaptiveAvgPool1d,
    2: nn.AdaptiveAvgPool2d,
}


@dataclass(frozen=True)
class Layers:
    """Makes the layers of one network: what all of its convolutions, norms and activations have in common.

    dims: position axes of the data, 1 or 2.   activation, norm, norm_groups: the config keys.
    """

    dims: Dims
    activation: str
    norm: str
    norm_groups: int

    def convolution(self, num_inputs: int, num_outputs: int, *, kernel_size: int, stride: int = 1) -> nn.Module:
        """A convolution with a norm right behind it: it needs no bias where that is a batch norm. Padded."""
        padding, bias = kernel_size // 2, bias_before(self.norm)
        kind = CONVOLUTIONS[self.dims]
        return kind(num_inputs, num_outputs, kernel_size, stride=stride, padding=padding, bias=bias)

    def new_norm(self, num_channels: int, *, positions: int) -> nn.Module:
        """The norm of so many channels with so many positions each."""
        return new_norm(self.norm, num_channels, dims=self.dims, groups=self.norm_groups, positions=positions)

    def new_activation(self) -> nn.Module:
        """The activation, a module of its own at each place."""
        return new_activation(self.activation)


def position_axes(input_shape: tuple[int, ...], *, model: str) -> Dims:
    """1 for signals [c, length], 2 for images [c, h, w]. Raises ConfigError for every other shape."""
    dims = len(input_shape) - 1
    if dims not in CONVOLUTIONS:
        raise ConfigError(
            "model",
            model,
            rule=f"needs images [c, h, w] or sequences [c, length], samples here are {shown(input_shape)}",
            fix="set model=mlp",
        )
    return cast("Dims", dims)


def check_odd(kernel_size: int, *, largest: float = math.inf) -> None:
    """Raises ConfigError for an even kernel. largest: size of the data, above which no kernel is proposed."""
    if kernel_size % 2 == 0:
        near = [size for size in (kernel_size - 1, kernel_size + 1) if size <= largest] or [
            int(largest) - 1 + int(largest) % 2
        ]
        raise ConfigError(
            "model.kernel_size",
            kernel_size,
            rule="must be odd, so that a kernel has a centre and the padding is symmetric",
            fix=f"set model.kernel_size={' or '.join(map(str, near))}",
        )


def check_depth(depth: int, *, base: int, step: int, why: str) -> None:
    """Raises ConfigError, naming the nearest choices, for a depth that is not `step` n + `base`, n at least 1."""
    if depth > base and (depth - base) % step == 0:
        return
    below = base + (depth - base) // step * step
    nearest = [n for n in (below, below + step) if n > base] or [base + step]
    fix = f"set model.depth={' or '.join(map(str, nearest))}"
    raise ConfigError("model.depth", depth, rule=f"must be {step} n + {base}: {why}", fix=fix)


def with_fast_memory(net: nn.Module) -> None:
    """Lay the weights for images out with the channels last, which is faster on CPUs and GPUs; the values stay."""
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch does not annotate it


def shown(shape: tuple[int, ...]) -> str:
    """`1x28x28`."""
    return "x".join(map(str, shape))
