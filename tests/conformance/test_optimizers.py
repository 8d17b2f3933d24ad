"""Every optimizer option lowers a least-squares loss with its default keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from tests.conformance.options import collect, make, name_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpo_cli.options import Option


@pytest.mark.parametrize("option", collect("optimizer"), ids=name_of)
def test_descends(option: Option) -> None:
    assert share_of_loss_left(lambda net: make(option, params=net.parameters())) < 0.8


@pytest.mark.parametrize("option", collect("optimizer"), ids=name_of)
def test_brings_its_own_rate_decay_and_range(option: Option) -> None:
    assert {"lr", "weight_decay"} <= set(option.keys)
    assert {"lr", "weight_decay"} <= set(option.space)


def test_an_optimizer_that_goes_nowhere_is_noticed() -> None:
    assert share_of_loss_left(lambda net: torch.optim.SGD(net.parameters(), lr=0.0)) == 1.0


def share_of_loss_left(new_optimizer: Callable[[nn.Module], torch.optim.Optimizer], *, num_steps: int = 300) -> float:
    """The loss after `num_steps` full-batch steps on a least-squares problem over the loss at the start."""
    torch.manual_seed(0)
    net, x = nn.Linear(8, 2), torch.randn(64, 8)
    y = x @ torch.randn(8, 2)
    optimizer = new_optimizer(net)
    losses = []
    for _ in range(num_steps + 1):
        loss = nn.functional.mse_loss(net(x), y)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses[-1] / losses[0]
