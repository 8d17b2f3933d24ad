"""Lion, as the package pytorch_optimizer has it."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT


def lion(
    params: ParamsT,
    *,
    lr: float = 3e-4,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.1,
) -> Optimizer:
    """Steps of one size, along the sign of a moving average: w -= lr * (sign(b1 m + (1-b1) g) + weight_decay * w).

    Then m = b2 m + (1-b2) g. The decay is decoupled.
    Source: Chen et al. 2023 (arXiv:2302.06675), algorithm 2.
    """
    from pytorch_optimizer import Lion  # takes a second to import

    optimizer: Optimizer = Lion(params, lr=lr, betas=(betas[0], betas[1]), weight_decay=weight_decay)
    return optimizer
