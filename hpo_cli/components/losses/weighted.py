"""Weighted sums of losses on the same outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from hpo_cli.components.losses.terms import KEY, SmoothedSum, Term, TermSum, make_term, simple_losses
from hpo_cli.errors import ConfigError
from hpo_cli.plan import Head

Terms = Mapping[str, Any] | None


class WeightedClasses(SmoothedSum):
    """Several losses on one output a class: the sum of weight * loss. Without terms cross-entropy alone.

    terms: {name: {loss: a loss for classes, or center; weight: 1.0; that loss's own keys}}; {focal: 0.5} is short for
    {focal: {loss: focal, weight: 0.5}}. Raises ConfigError, its key `loss.terms.<name>...`.
    """

    def __init__(
        self,
        *,
        num_outputs: int | None = None,
        class_counts: Sequence[int] | None = None,
        num_features: int | None = None,
        terms: Terms = None,
        label_smoothing: float = 0.0,
    ) -> None:
        given = {"num_outputs": num_outputs, "class_counts": class_counts, "num_features": num_features}
        made = _made(terms, head="classes", default="cross_entropy", **given)
        super().__init__(made, label_smoothing=label_smoothing)

    def forward(self, outputs: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:
        """The sum, a scalar. features: what the model's last linear layer takes in, for terms that need it."""
        return _sum(self.terms, outputs, targets, features)


class WeightedBinary(SmoothedSum):
    """Several losses on one logit for two classes; as WeightedClasses. Without terms binary cross-entropy alone."""

    def __init__(
        self, *, class_counts: Sequence[int] | None = None, terms: Terms = None, label_smoothing: float = 0.0
    ) -> None:
        super().__init__(
            _made(terms, head="one", default="bce", class_counts=class_counts), label_smoothing=label_smoothing
        )

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The sum, a scalar. outputs: logits [b, 1]; targets: int64 [b]."""
        return _sum(self.terms, outputs, targets)


class WeightedTargets(TermSum):
    """Several losses on one output a target column; as WeightedClasses. Without terms mean squared error alone."""

    def __init__(self, *, terms: Terms = None) -> None:
        super().__init__(_made(terms, head="targets", default="mse"))

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The sum, a scalar. outputs and targets: [b, k]."""
        return _sum(self.terms, outputs, targets)


def _made(terms: Terms, *, head: Head, default: str, **injected: Any) -> dict[str, Term]:
    if terms is not None and not isinstance(terms, Mapping):
        raise ConfigError(KEY, terms, rule="must be a mapping", fix=f"{KEY}={{{default}:1.0}}")
    known = simple_losses(head)
    return {
        str(name): make_term(str(name), given, head=head, default=str(name) if name in known else None, **injected)
        for name, given in ({default: 1.0} if terms is None else terms).items()
    }


def _sum(terms: Mapping[str, Term], outputs: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:
    first, *others = (term.value(outputs, targets, features) for term in terms.values())
    return sum(others, first)
