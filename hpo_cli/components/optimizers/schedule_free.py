"""Schedule-free AdamW, as the package pytorch_optimizer has it, with an evaluation that leaves no trace."""

from __future__ import annotations

import torch
from pytorch_optimizer import ScheduleFreeAdamW as PackagedScheduleFreeAdamW
from torch.optim.optimizer import ParamsT


class ScheduleFreeAdamW(PackagedScheduleFreeAdamW):
    """AdamW that averages its weights instead of lowering its rate; the gradient is taken near that average.

    y = (1-b1) z + b1 x is what the network trains with, z takes AdamW's steps without momentum (the decay pulls at y),
    x is the average of the z, weighted by the square of the largest rate so far: what to evaluate and to keep.
    Source: Defazio et al. 2024 (arXiv:2405.15682), algorithm 1; as the authors' code, v is corrected for its zero
    start in the denominator and not by way of the rate.

    `eval()` puts x into the network, `train()` puts y back. The package computes y back from x, so that a look at the
    validation data would change the last bits of the training; here y waits in the state.
    """

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float = 2.5e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr=lr, betas=(betas[0], betas[1]), eps=eps, weight_decay=weight_decay)

    @torch.no_grad()
    def eval(self) -> None:
        """Put the averaged weights into the network; nothing when they are there already."""
        for group in self.param_groups:
            for weight in group["params"] if group["train_mode"] else ():
                if "z" in self.state[weight]:
                    self.state[weight]["y"] = weight.clone()
        super().eval()  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def train(self) -> None:
        """Put the weights to train with back, to the bit; nothing when they are there already."""
        for group in self.param_groups:
            for weight in group["params"]:
                if "y" in self.state[weight]:
                    weight.copy_(self.state[weight].pop("y"))
            group["train_mode"] = True
