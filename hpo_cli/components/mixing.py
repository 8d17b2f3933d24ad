"""Mixup and cutmix: a batch is mixed with itself in another order, and so are its losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hpo_cli.errors import ConfigError


@dataclass(frozen=True)
class Mixed:
    """A mixed batch. Its loss is share * loss(outputs, y) + (1 - share) * loss(outputs, y[order])."""

    x: Tensor
    order: Tensor
    share: float


def mix(x: Tensor, *, mixup: float, cutmix: float) -> Mixed:
    """Mix each sample of a batch with another one, the whole batch in the same proportion.

    mixup, cutmix: alpha of the Beta(alpha, alpha) that the proportion is drawn from; 0 turns a method off. With both
    on, each batch takes one of them at even odds. With both off the batch comes back as it is.
    Draws from torch's global generators: the order on x's device, all else on the CPU, so that nothing waits for x.
    """
    if mixup and (not cutmix or torch.rand(()).item() < 0.5):  # noqa: PLR2004 - even odds
        return mixed_up(x, share=draw_share(mixup))
    if cutmix:
        return cut_and_mixed(x, share=draw_share(cutmix))
    return Mixed(x, torch.arange(len(x), device=x.device), 1.0)


def draw_share(alpha: float) -> float:
    """A number of 0 .. 1 from Beta(alpha, alpha).

    The ratio of two Gamma(alpha) draws, each as log Gamma(alpha + 1) + log(uniform) / alpha: small alphas do not
    underflow, for which torch's own Beta gives 0.5.
    """
    shape = torch.full((2,), alpha + 1.0, dtype=torch.float64)
    logs = torch.distributions.Gamma(shape, torch.ones_like(shape), validate_args=False).sample().log()
    ours, theirs = logs + torch.rand(2, dtype=torch.float64).log() / alpha
    return torch.sigmoid(ours - theirs).item()


def mixed_up(x: Tensor, *, share: float) -> Mixed:
    """The batch as share * x + (1 - share) * x[order]: Zhang et al. 2018 (arXiv:1710.09412), equation 1."""
    order = torch.randperm(len(x), device=x.device)
    return Mixed(torch.lerp(x[order], x, share), order, share)


def cut_and_mixed(x: Tensor, *, share: float) -> Mixed:
    """The batch with one box of x[order] in it: Yun et al. 2019 (arXiv:1905.04899), equation 2 and algorithm 1.

    x: images [b, c, h, w] or signals [b, c, length]. The box has 1 - share of the area before it is cut at the
    borders; the share that is returned is what the box really left.
    """
    order = torch.randperm(len(x), device=x.device)
    sizes = x.shape[2:]
    box = tuple(_span(size, part=(1.0 - share) ** (1.0 / len(sizes))) for size in sizes)
    area = 1.0
    for span, size in zip(box, sizes, strict=True):
        area *= (span.stop - span.start) / size
    mixed = x.clone()
    place = (slice(None), slice(None), *box)
    mixed[place] = x[place][order]
    return Mixed(mixed, order, 1.0 - area)


def check_mixing(*, cutmix: float, input_shape: Sequence[int]) -> None:
    """Raises ConfigError when samples have nothing to cut: cutmix is for images and signals."""
    if cutmix and len(input_shape) < 2:  # noqa: PLR2004 - channels, then places
        rule = "cuts boxes from images and signals, these samples are rows of a table"
        raise ConfigError("regularization.cutmix", cutmix, rule=rule, fix="set regularization.mixup instead")


def _span(size: int, *, part: float) -> slice:
    """A piece of `part` of a side round a point drawn from the whole side, cut at the borders."""
    length = int(size * part)
    start = int(torch.randint(size, ()).item()) - length // 2
    return slice(max(0, start), min(size, start + length))
