"""Cross-entropies over many classes and over two."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from hpo_cli.components.losses.class_weights import ClassWeighted, ClassWeights


class CrossEntropy(ClassWeighted):
    """Softmax and the negative log likelihood of the right class, as `torch.nn.CrossEntropyLoss` computes it.

    `label_smoothing` (s) may change while training: the target becomes 1 - s + s / k, every other class s / k.
    With class weights w the mean is of w_y * loss over all targets, as Keras' and not as torch's, which divides by the
    sum of w_y: so a batch in pieces (accumulated, shared by processes) gives what it gives as a whole.
    """

    def __init__(
        self,
        *,
        num_outputs: int | None = None,
        class_counts: Sequence[int] | None = None,
        class_weights: ClassWeights = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(
            num_classes=num_outputs,
            class_counts=class_counts,
            class_weights=class_weights,
            label_smoothing=label_smoothing,
        )

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss, a scalar in nats. outputs: logits [b, k] or [b, k, positions]; targets: int64 without the k."""
        smoothing = self.label_smoothing
        if self.class_weights is None:
            return functional.cross_entropy(outputs, targets, label_smoothing=smoothing)
        weights = self.class_weights.to(outputs.dtype)
        losses = functional.cross_entropy(outputs, targets, weight=weights, label_smoothing=smoothing, reduction="sum")
        return losses / targets.numel()


class BinaryCrossEntropy(ClassWeighted):
    """Cross-entropy of one logit a sample against a class 0 or 1, with label smoothing.

    The target y becomes `y (1 - s) + s / 2`, which is what `torch.nn.CrossEntropyLoss` does with two classes
    (Szegedy et al. 2016, arXiv:1512.00567, section 7). `label_smoothing` (s) may change while training.
    Class weights are two, for class 0 and class 1, and mean what they mean in CrossEntropy.
    """

    def __init__(
        self,
        *,
        class_counts: Sequence[int] | None = None,
        class_weights: ClassWeights = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(
            num_classes=2,
            class_counts=class_counts,
            class_weights=class_weights,
            label_smoothing=label_smoothing,
        )

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss, a scalar in nats. outputs: logits [b, 1]; targets: int64 [b], each 0 or 1."""
        logits = outputs.squeeze(1)
        smooth = targets.to(outputs.dtype) * (1.0 - self.label_smoothing) + self.label_smoothing / 2.0
        if self.class_weights is None:
            return functional.binary_cross_entropy_with_logits(logits, smooth)
        weights = self.class_weights.to(outputs.dtype)
        losses = weights[1] * smooth * functional.softplus(-logits) + weights[0] * (1.0 - smooth) * functional.softplus(
            logits
        )
        return losses.mean()
