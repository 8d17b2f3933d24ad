"""Recurrent networks for sequences [c, length] and for windows of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeAlias

import torch
from torch import nn

from hpo_cli.components.dropout import Dropout
from hpo_cli.components.models.sequences import check_sequence

if TYPE_CHECKING:
    from collections.abc import Mapping

State: TypeAlias = torch.Tensor | tuple[torch.Tensor, torch.Tensor]


class Recurrent(nn.Module):
    """An embedding for tokens, `layers` recurrent layers with dropout between two, dropout, a linear head.

    Sequences of numbers [b, c, length] give raw outputs [b, num_outputs] from the last position. With `num_tokens`,
    windows of tokens, int64 [b, window], give [b, num_outputs, window]: what follows after each position.

    With `carry`, a network of tokens starts a batch where the batch before it ended, row by row, and no gradient
    passes from one to the other: truncated backpropagation through time (Williams & Peng 1990). A batch with
    another number of rows starts from zero. What is carried is no part of `state_dict`.
    """

    layer: ClassVar[type[nn.LSTM | nn.GRU]]
    states: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        num_outputs: int,
        num_tokens: int | None = None,
        layers: int = 1,
        width: int = 128,
        embedding: int = 64,
        dropout: float = 0.0,
        carry: bool = True,
    ) -> None:
        super().__init__()
        if num_tokens is None:
            check_sequence(input_shape, model=type(self).__name__.lower())
        self.embedding = None if num_tokens is None else nn.Embedding(num_tokens, embedding)
        widths = [input_shape[0] if num_tokens is None else embedding, *[width] * layers]
        self.layers = nn.ModuleList(self.layer(num_inputs, width, batch_first=True) for num_inputs in widths[:-1])
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(width, num_outputs)
        self.carries = carry and num_tokens is not None
        self._carried: dict[str, torch.Tensor] = {}

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's name
        """Outputs [b, num_outputs] of sequences, [b, num_outputs, window] of tokens."""
        values = input.transpose(1, 2) if self.embedding is None else self.embedding(input)
        for index, layer in enumerate(self.layers):
            values = self.dropout(values) if index else values
            values, state = layer(values, self._start(index, values))
            self._keep(index, state)
        last = values[:, -1] if self.embedding is None else values
        outputs: torch.Tensor = self.head(self.dropout(last))
        return outputs if self.embedding is None else outputs.transpose(1, 2)

    def carried(self) -> dict[str, torch.Tensor]:
        """What the next batch starts from, [1, b, width] for each layer and kind of state; empty: from zero."""
        return dict(self._carried)

    def carry(self, state: Mapping[str, torch.Tensor]) -> None:
        """Start the next batch from what `carried` gave, from zero where that is empty."""
        self._carried = dict(state)

    def _start(self, index: int, values: torch.Tensor) -> State | None:
        found = [self._carried[name] for name in self._names(index) if name in self._carried]
        if not found or found[0].shape[1] != len(values):
            return None
        first, *rest = (state.to(values) for state in found)
        return (first, *rest) if rest else first  # type: ignore[return-value]  # at most two kinds of state

    def _keep(self, index: int, state: State) -> None:
        if self.carries:
            kinds = state if isinstance(state, tuple) else (state,)
            self._carried.update(zip(self._names(index), (kind.detach() for kind in kinds), strict=True))

    def _names(self, index: int) -> list[str]:
        return [f"layers.{index}.{kind}" for kind in self.states]


class LSTM(Recurrent):
    """Long short-term memory. Source: Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000."""

    layer = nn.LSTM
    states = ("hidden", "cell")


class GRU(Recurrent):
    """Gated recurrent units. Source: Cho et al. 2014, arXiv:1406.1078."""

    layer = nn.GRU
    states = ("hidden",)
