"""Weights of classes: as given, or so that rare classes count as much as frequent ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from hpo_cli.components.data.balance import class_weights
from hpo_cli.errors import ConfigError

ClassWeights: TypeAlias = str | Sequence[float] | None
KEY = "loss.class_weights"


class ClassWeighted(nn.Module):
    """A loss with label smoothing, which may change while training, and weights of classes, which may not."""

    def __init__(
        self,
        *,
        num_classes: int | None,
        class_counts: Sequence[int] | None,
        class_weights: ClassWeights,
        label_smoothing: float,
    ) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.class_weights: Tensor | None
        weights = class_weights_of(class_weights, num_classes=num_classes, class_counts=class_counts)
        self.register_buffer("class_weights", weights, persistent=False)


def class_weights_of(
    wanted: ClassWeights, *, num_classes: int | None, class_counts: Sequence[int] | None
) -> Tensor | None:
    """float32 [num_classes] of the key `class_weights`: null, `balanced`, or one number a class.

    balanced: n / (k n_c), as scikit-learn's.
    num_classes: None where nobody knows it, then any length will do. Raises ConfigError for anything else.
    """
    if wanted is None:
        return None
    if wanted == "balanced":
        if class_counts is None:
            rule = "needs the class counts of a classification task"
            raise ConfigError(KEY, wanted, rule=rule, fix="give one number a class, or null")
        if not all(class_counts):
            rule = "needs training samples of every class"
            raise ConfigError(KEY, wanted, rule=rule, fix="give one number a class, or null")
        return torch.tensor(class_weights(class_counts))
    if isinstance(wanted, str) or not isinstance(wanted, Sequence) or not all(map(_is_weight, wanted)):
        rule = "must be null, balanced, or one number above 0 a class"
        raise ConfigError(KEY, wanted, rule=rule, fix="set loss.class_weights=balanced")
    if num_classes is not None and len(wanted) != num_classes:
        rule = f"must have one number for each of the {num_classes} classes"
        raise ConfigError(KEY, list(wanted), rule=rule, fix=f"give {num_classes} numbers, or balanced")
    return torch.tensor([float(weight) for weight in wanted])


def _is_weight(value: object) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value > 0  # type: ignore[operator,arg-type]
