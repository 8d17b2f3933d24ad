"""A small transformer for sequences [c, length] and for windows of tokens."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from hpo_cli.components.activations import activation
from hpo_cli.components.dropout import Dropout, StochasticDepth
from hpo_cli.components.models.sequences import check_sequence
from hpo_cli.components.norms import norm
from hpo_cli.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping


class Transformer(nn.Module):
    """Positions added to tokens or samples, `depth` blocks [attention, feed-forward], layer norm, a linear head.

    Sequences of numbers [b, c, length] give raw outputs [b, num_outputs] from the mean over the positions. With
    `num_tokens`, windows of tokens, int64 [b, window], give [b, num_outputs, window]: what follows after each
    position, of which it sees itself and those before it alone.
    Source: Vaswani et al. 2017, arXiv:1706.03762; the norms stand in front of the branches, as in GPT-2.
    Dropout is on the entry and at the end of each branch; with stochastic depth, deeper blocks are left out more often.
    Raises ConfigError for samples that are neither, and for heads that do not divide the width.
    """

    def __init__(  # noqa: PLR0913 - one argument a config key
        self,
        *,
        input_shape: tuple[int, ...],
        num_outputs: int,
        num_tokens: int | None = None,
        depth: int = 2,
        width: int = 128,
        heads: int = 4,
        feed_forward: int = 4,
        positions: str = "learned",
        dropout: float = 0.0,
        stochastic_depth: float = 0.0,
    ) -> None:
        super().__init__()
        if num_tokens is None:
            check_sequence(input_shape, model="transformer")
        _check_heads(heads, width=width)
        self._is_language = num_tokens is not None
        self.embedding = (
            nn.Linear(input_shape[0], width) if num_tokens is None else _small(nn.Embedding(num_tokens, width))
        )
        self.positions = _positions(positions, length=input_shape[-1], width=width)
        self.dropout = Dropout(dropout)
        self.blocks = nn.Sequential(
            *(
                Block(
                    width,
                    heads=heads,
                    feed_forward=feed_forward,
                    causal=self._is_language,
                    dropout=dropout,
                    left_out=StochasticDepth(stochastic_depth, share=(index + 1) / depth),
                )
                for index in range(depth)
            )
        )
        self.norm = norm("layer", width, dims=0)
        self.head = nn.Linear(width, num_outputs)

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's name
        """Outputs [b, num_outputs] of sequences, [b, num_outputs, window] of tokens; a shorter window is taken too."""
        values = self.embedding(input if self._is_language else input.transpose(1, 2))
        values = self.norm(self.blocks(self.dropout(self.positions(values))))
        outputs: torch.Tensor = self.head(values if self._is_language else values.mean(1))
        return outputs.transpose(1, 2) if self._is_language else outputs


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed_forward(norm(x)), shape [b, length, width] in and out."""

    def __init__(
        self, width: int, *, heads: int, feed_forward: int, causal: bool, dropout: float, left_out: StochasticDepth
    ) -> None:
        super().__init__()
        self.norm1 = norm("layer", width, dims=0)
        self.attention = Attention(width, heads=heads, causal=causal)
        self.norm2 = norm("layer", width, dims=0)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, feed_forward * width), activation("gelu"), nn.Linear(feed_forward * width, width)
        )
        self.dropout = Dropout(dropout)
        self.left_out = left_out

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Both branches, each added to what came in."""
        values = values + self.left_out(self.dropout(self.attention(self.norm1(values))))
        outputs: torch.Tensor = values + self.left_out(self.dropout(self.feed_forward(self.norm2(values))))
        return outputs


class Attention(nn.Module):
    """Self-attention with `heads` heads, [b, length, width] in and out; `causal`: no position sees a later one.

    Written out, since torch's fused kernels have no second derivative, which the curvature of a loss needs; they
    are a quarter faster on a CPU (window 64, width 128).
    """

    def __init__(self, width: int, *, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.inputs = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Vaswani et al. 2017, eq. 1 and section 3.2.2."""
        query, key, value = self.inputs(values).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        if self.causal:
            later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
            scores = scores.masked_fill(later, -math.inf)
        mixed = scores.softmax(-1) @ value
        outputs: torch.Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return outputs


class LearnedPositions(nn.Module):
    """Adds a learnt vector a position."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(length, width) * _SMALL)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Shape [b, up to length, width] in and out."""
        return values + self.weight[: values.shape[1]]


class SinusoidalPositions(nn.Module):
    """Adds sines and cosines of the position at falling frequencies. Source: Vaswani et al. 2017, section 3.5."""

    waves: torch.Tensor

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        frequencies = 10000.0 ** (-torch.arange(0, width, 2) / width)
        angles = torch.arange(length)[:, None] * frequencies
        waves = torch.stack((angles.sin(), angles.cos()), dim=2).flatten(1)[:, :width]
        self.register_buffer("waves", waves, persistent=False)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Shape [b, up to length, width] in and out."""
        return values + self.waves[: values.shape[1]]


_SMALL = 0.02  # standard deviation of embeddings, Radford et al. 2018, section 4.1
_POSITIONS: Mapping[str, type[LearnedPositions | SinusoidalPositions]] = {
    "learned": LearnedPositions,
    "sinusoidal": SinusoidalPositions,
}


def _small(embedding: nn.Embedding) -> nn.Embedding:
    nn.init.normal_(embedding.weight, std=_SMALL)
    return embedding


def _positions(name: str, *, length: int, width: int) -> nn.Module:
    if name not in _POSITIONS:
        rule = f"must be one of {', '.join(_POSITIONS)}"
        raise ConfigError("model.positions", name, rule=rule, fix=did_you_mean(name, _POSITIONS))
    return _POSITIONS[name](length, width)


def _check_heads(heads: int, *, width: int) -> None:
    if width % heads:
        fitting = [str(number) for number in range(1, min(width, 64) + 1) if width % number == 0]
        rule = f"must divide the width of {width}"
        raise ConfigError("model.heads", heads, rule=rule, fix=f"choose one of {', '.join(fitting)}")
