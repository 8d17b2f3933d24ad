"""Focal loss: cross-entropy that looks away from what is already right (Lin et al. 2017, arXiv:1708.02002)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from hpo_cli.components.losses.class_weights import ClassWeighted, ClassWeights

_NEARLY_ONE = -1e-12
"""Log of the largest probability: beyond it 1 - p is 0, whose powers below 1 have no finite slope."""


class Focal(ClassWeighted):
    """-(1 - p)^gamma log p of the right class, p by softmax; cross-entropy at gamma 0.

    With label smoothing, the sum over the classes of the smoothed target times that term of each class. Class
    weights mean what they mean in CrossEntropy. `gamma` and `label_smoothing` may change while training.
    """

    def __init__(
        self,
        *,
        num_outputs: int | None = None,
        class_counts: Sequence[int] | None = None,
        gamma: float = 2.0,
        class_weights: ClassWeights = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(
            num_classes=num_outputs,
            class_counts=class_counts,
            class_weights=class_weights,
            label_smoothing=label_smoothing,
        )
        self.gamma = gamma

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss, a scalar in nats. outputs: logits [b, k] or [b, k, positions]; targets: int64 without the k."""
        num_classes = outputs.shape[1]
        right = functional.one_hot(targets, num_classes).movedim(-1, 1).to(outputs.dtype)
        smooth = right * (1.0 - self.label_smoothing) + self.label_smoothing / num_classes
        losses = smooth * _focal(functional.log_softmax(outputs, 1), gamma=self.gamma)
        if self.class_weights is None:
            return losses.sum(1).mean()
        weights = self.class_weights.to(outputs.dtype)
        return (losses.movedim(1, -1) * weights).sum() / targets.numel()


class BinaryFocal(nn.Module):
    """-alpha_t (1 - p_t)^gamma log p_t of one logit a sample, equation 5: alpha for class 1, 1 - alpha for class 0.

    At gamma 0 and alpha 0.5 half of the binary cross-entropy. The published loss is divided by the number of boxes
    with an object; this one by the number of samples. All three numbers may change while training.
    """

    def __init__(self, *, gamma: float = 2.0, alpha: float = 0.25, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.gamma, self.alpha, self.label_smoothing = gamma, alpha, label_smoothing

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss, a scalar in nats. outputs: logits [b, 1]; targets: int64 [b], each 0 or 1."""
        logits = outputs.squeeze(1)
        smooth = targets.to(outputs.dtype) * (1.0 - self.label_smoothing) + self.label_smoothing / 2.0
        of_one = _focal(functional.logsigmoid(logits), gamma=self.gamma)
        of_zero = _focal(functional.logsigmoid(-logits), gamma=self.gamma)
        return (self.alpha * smooth * of_one + (1.0 - self.alpha) * (1.0 - smooth) * of_zero).mean()


def _focal(log_p: Tensor, *, gamma: float) -> Tensor:
    rest = -torch.expm1(log_p.clamp(max=_NEARLY_ONE))
    return rest.pow(gamma) * -log_p
