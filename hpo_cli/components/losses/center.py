"""Center loss: features of a class are drawn to the class's centre (Wen et al. 2016, ECCV)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hpo_cli.components.losses.class_weights import ClassWeights
from hpo_cli.components.losses.classes import CrossEntropy
from hpo_cli.errors import ConfigError


class Center(nn.Module):
    """Half the squared distance of each sample's features to its class's centre, the mean over the batch.

    Equation 2, divided by the batch as the cross-entropy beside it is. While training, each call moves the centres
    by the paper's rule (equation 4), after the loss is computed and outside autograd:
    c_j -= center_lr * sum over the samples of class j of (c_j - x) / (1 + their number).
    Centres start at 0, belong to the loss's state and are not weights: no optimizer moves them.
    """

    needs_features = True

    def __init__(self, *, num_outputs: int, num_features: int | None, center_lr: float = 0.5) -> None:
        super().__init__()
        if num_features is None:
            rule = "needs a model whose outputs come from a linear layer"
            raise ConfigError("loss", rule=rule, fix="choose another model, or loss=cross_entropy")
        self.center_lr = center_lr
        self.centers: Tensor
        self.register_buffer("centers", torch.zeros(num_outputs, num_features))

    def forward(self, outputs: Tensor, targets: Tensor, features: Tensor) -> Tensor:  # noqa: ARG002 - as every loss
        """Mean penalty, a scalar. targets: int64 [b]; features: [b, num_features]."""
        own = self.centers[targets]
        penalty = 0.5 * (features - own.to(features.dtype)).square().sum(1).mean()
        if self.training:
            self._move(targets, features.detach())
        return penalty

    @torch.no_grad()
    def _move(self, targets: Tensor, features: Tensor) -> None:
        pulls = self.centers[targets] - features.to(self.centers.dtype)
        total = torch.zeros_like(self.centers).index_add_(0, targets, pulls)
        count = self.centers.new_zeros(len(self.centers)).index_add_(0, targets, pulls.new_ones(len(targets)))
        self.centers -= self.center_lr * total / (1.0 + count).unsqueeze(1)


class CrossEntropyCenter(Center):
    """Cross-entropy plus `weight` times the center loss, equation 5.

    `weight` (the paper's lambda), `center_lr` (its alpha) and `label_smoothing` may change while training.
    """

    def __init__(
        self,
        *,
        num_outputs: int,
        num_features: int | None,
        class_counts: Sequence[int] | None = None,
        weight: float = 0.003,
        center_lr: float = 0.5,
        class_weights: ClassWeights = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(num_outputs=num_outputs, num_features=num_features, center_lr=center_lr)
        self.weight = weight
        self.cross_entropy = CrossEntropy(
            num_outputs=num_outputs,
            class_counts=class_counts,
            class_weights=class_weights,
            label_smoothing=label_smoothing,
        )

    @property
    def label_smoothing(self) -> float:
        """The share that the cross-entropy gives to all classes alike."""
        return self.cross_entropy.label_smoothing

    @label_smoothing.setter
    def label_smoothing(self, value: float) -> None:
        self.cross_entropy.label_smoothing = value

    def forward(self, outputs: Tensor, targets: Tensor, features: Tensor) -> Tensor:
        """Mean loss, a scalar. outputs: logits [b, k]; targets: int64 [b]; features: [b, num_features]."""
        loss: Tensor = self.cross_entropy(outputs, targets)
        return loss + self.weight * super().forward(outputs, targets, features)
