"""Maxout, the activation that takes several linear pieces for each unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


class Maxout(nn.Module):
    """The largest of `pieces` neighbouring features: [b, units * pieces, ...] becomes [b, units, ...].

    The layer before must be `pieces` times as wide. Source: Goodfellow et al. 2013 (arXiv:1302.4389), section 3.
    Raises ConfigError for fewer than two pieces, which would be no activation at all.
    """

    def __init__(self, pieces: int = 2) -> None:
        if pieces < 2:  # noqa: PLR2004 - one piece is linear
            rule = "must be at least 2: a maxout of one piece is linear"
            raise ConfigError("model.pieces", pieces, rule=rule, fix="set model.pieces=2")
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        """The maximum over each unit's pieces, along axis 1."""
        largest: Tensor = x.unflatten(1, (-1, self.pieces)).amax(2)
        return largest

    def extra_repr(self) -> str:
        """`pieces=2`, what torch shows of the module."""
        return f"pieces={self.pieces}"
