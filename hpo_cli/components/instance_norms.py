"""Instance norms that refuse a channel of one position, where torch's fail in training and give zeros after it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import nn

from hpo_cli.components.norms import check_positions

if TYPE_CHECKING:
    from torch import Tensor


class InstanceNorm1d(nn.InstanceNorm1d):
    """`torch.nn.InstanceNorm1d` with a scale and a shift for each channel, as every other norm here has."""

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features, affine=True)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Normalise each channel of each sample over its positions, shape in = shape out."""
        check_positions(math.prod(input.shape[2:]))
        return super().forward(input)


class InstanceNorm2d(nn.InstanceNorm2d):
    """`torch.nn.InstanceNorm2d` with a scale and a shift for each channel, as every other norm here has."""

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features, affine=True)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Normalise each channel of each sample over its positions, shape in = shape out."""
        check_positions(math.prod(input.shape[2:]))
        return super().forward(input)
