"""What usually matters most: the order in which practitioners tune hyperparameters."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

TIERS: tuple[tuple[str, ...], ...] = (
    ("lr", "*.lr", "loss.*"),
    ("batch_size", "batch.size", "momentum", "*.momentum"),
    (
        "*.betas", "*.beta*", "*.eps", "weight_decay", "*.weight_decay", "*.l1", "*.l2", "dropout", "*.dropout",
        "model", "model.*", "init", "init.*",
    ),
)  # fmt: skip
"""Keys by tier, the first tier to be tuned first: 1 learning rate and parameters of the loss; 2 batch size, momentum;
3 betas, eps, weight decay, dropout and the network. docs/catalogue.md, "Order of importance"."""


def tier_of(keys: Sequence[str]) -> int | None:
    """The best tier of these keys, 1 .. 3; None for what the order does not name, such as a choice of optimizer.

    >>> tier_of(["optimizer.lr"]), tier_of(["batch_size"]), tier_of(["model.dropout"]), tier_of(["augment"])
    (1, 2, 3, None)
    """
    found = [
        place
        for place, patterns in enumerate(TIERS, start=1)
        for key in keys
        if any(fnmatchcase(key, pattern) for pattern in patterns)
    ]
    return min(found, default=None)
