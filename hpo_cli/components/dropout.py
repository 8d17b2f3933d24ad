"""Dropout of values and of residual branches that costs next to nothing while its rate is zero.

Every layer here has its rate in the attribute `p`, which may be 0 now and more later, as a nudge can set it between
two steps. At rate 0 the input itself is passed on, without a call into torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


class Dropout(nn.Dropout):
    """`torch.nn.Dropout` whose rate can change while training.

    Source: Srivastava et al. 2014; what is kept is scaled by 1 / (1 - p), so evaluation needs no change.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Zero a share `p` of the values while training, shape in = shape out."""
        return super().forward(input) if self.p else input


class AlphaDropout(nn.AlphaDropout):
    """`torch.nn.AlphaDropout` whose rate can change while training: keeps selu's mean of 0 and variance of 1.

    Source: Klambauer et al. 2017 (arXiv:1706.02515), section 2, "new dropout technique".
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Set a share `p` of the values to selu's lower limit while training, then rescale; shape in = shape out."""
        return super().forward(input) if self.p else input


def dropout_after(activation: str, rate: float) -> nn.Module:
    """The dropout that fits hidden units with this activation: alpha dropout after selu, plain dropout elsewhere."""
    return AlphaDropout(rate) if activation == "selu" else Dropout(rate)


class StochasticDepth(nn.Module):
    """Drops a residual branch for a share of the samples while training: `x + StochasticDepth(p)(branch(x))`.

    p: rate of the network, 0 .. below 1, a hot knob like dropout's.
    share: the part of `p` that this branch takes, `l / L` for block l of L when deeper branches drop more often.
    What is kept is scaled by 1 / (1 - p * share), so evaluation needs no change.
    Source: Huang et al. 2016 (arXiv:1603.09382), eq. 2 and 4. Raises ConfigError for a rate outside 0 .. below 1.
    """

    def __init__(self, p: float = 0.0, *, share: float = 1.0) -> None:
        if not 0.0 <= p < 1.0:
            rule = "must be at least 0 and below 1"
            raise ConfigError("model.stochastic_depth", p, rule=rule, fix="set model.stochastic_depth=0.1")
        super().__init__()
        self.p = p
        self.share = share

    def forward(self, branch: Tensor) -> Tensor:
        """Zero whole samples of `branch` [b, ...] while training, shape in = shape out."""
        if not self.p or not self.training:
            return branch
        one_a_sample = branch.new_ones(branch.shape[0], *[1] * (branch.dim() - 1))
        return branch * nn.functional.dropout(one_a_sample, self.p * self.share)

    def extra_repr(self) -> str:
        """`p=0.2, share=0.5`, what torch shows of the module."""
        return f"p={self.p}, share={self.share}"
