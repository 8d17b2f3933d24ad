"""One loss a target column, weighted and added: multi-task learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from hpo_cli.components.losses.terms import KEY, SmoothedSum, Term, make_term, unknown_terms
from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    from hpo_cli.components.data.arrays import TargetColumn


@dataclass(frozen=True)
class Part:
    """Where a column stands: its outputs are start .. stop, its targets column `index`."""

    name: str
    index: int
    start: int
    stop: int
    is_class: bool


class MultiTask(SmoothedSum):
    """The sum over the target columns of weight * loss, each on the outputs of its own column.

    terms: {column: {loss: name, weight: 1.0, that loss's own keys}}, or {column: weight}. A column that is not named
    has the weight 1; a column of classes starts with cross_entropy, one of numbers with mse. The columns of numbers
    are standardised, so that weights of 1 put the losses within an order of each other.
    Raises ConfigError, its key `loss.terms.<column>...`.
    """

    def __init__(
        self,
        *,
        columns: Sequence[TargetColumn] | None,
        num_features: int | None = None,
        terms: Mapping[str, Any] | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        if columns is None:
            raise ConfigError("loss", "multi_task", rule="is for several target columns", fix="set data.task=several")
        if terms is not None and not isinstance(terms, Mapping):
            raise ConfigError(KEY, terms, rule="must be a mapping", fix=f"{KEY}={{{columns[0].name}:1.0}}")
        given = {str(name): value for name, value in (terms or {}).items()}
        if problems := unknown_terms(given, known=[column.name for column in columns], what="target column"):
            raise ConfigError.of(problems)
        made = {column.name: _term(column, given.get(column.name, 1.0), num_features) for column in columns}
        super().__init__(made, label_smoothing=label_smoothing)
        self._parts = parts_of(columns)

    def forward(self, outputs: Tensor, targets: Tensor, features: Tensor | None = None) -> Tensor:
        """The sum, a scalar. outputs: the columns' outputs side by side; targets: float [b, number of columns]."""
        first, *others = (self._value(part, outputs, targets, features) for part in self._parts)
        return sum(others, first)

    def _value(self, part: Part, outputs: Tensor, targets: Tensor, features: Tensor | None) -> Tensor:
        wanted = targets[:, part.index].long() if part.is_class else targets[:, part.index : part.index + 1]
        return self.terms[part.name].value(outputs[:, part.start : part.stop], wanted, features)


def parts_of(columns: Sequence[TargetColumn]) -> tuple[Part, ...]:
    """Where the outputs of each column stand: one a class, one for a number."""
    parts: list[Part] = []
    start = 0
    for index, column in enumerate(columns):
        stop = start + _width(column)
        parts.append(Part(column.name, index, start, stop, column.class_names is not None))
        start = stop
    return tuple(parts)


def _width(column: TargetColumn) -> int:
    return len(column.class_names) if column.class_names is not None else 1


def _term(column: TargetColumn, given: object, num_features: int | None) -> Term:
    injected = {"num_outputs": _width(column), "num_features": num_features, "class_counts": None}
    if column.class_names is None:
        return make_term(column.name, given, head="targets", default="mse", **injected)
    return make_term(column.name, given, head="classes", default="cross_entropy", **injected)
