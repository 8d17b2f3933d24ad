"""Losses that torch does not have. Each takes raw outputs and gives the mean over the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor


class BinaryCrossEntropy(nn.Module):
    """Cross-entropy of one logit a sample against a class 0 or 1, with label smoothing.

    The target y becomes `y (1 - s) + s / 2`, which is what `torch.nn.CrossEntropyLoss` does with two classes
    (Szegedy et al. 2016, arXiv:1512.00567, section 7). `label_smoothing` (s) may change while training.
    """

    def __init__(self, *, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss, a scalar in nats. outputs: logits [b, 1]; targets: int64 [b], each 0 or 1."""
        smooth = targets.to(outputs.dtype) * (1.0 - self.label_smoothing) + self.label_smoothing / 2.0
        return functional.binary_cross_entropy_with_logits(outputs.squeeze(1), smooth)
