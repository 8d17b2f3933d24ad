"""Dropout that costs next to nothing while its rate is zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class Dropout(nn.Dropout):
    """`torch.nn.Dropout` whose rate `p` may be 0 now and more later, as a nudge can set it between two steps.

    At rate 0 the input itself is passed on, without a call into torch.
    Source: Srivastava et al. 2014; what is kept is scaled by 1 / (1 - p), so evaluation needs no change.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Zero a share `p` of the values while training, shape in = shape out."""
        return super().forward(input) if self.p else input
