"""Every loss option gives a finite scalar that falls towards the target and leads gradient descent there."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from hpo_cli.components.metrics import METRICS
from tests.conformance.options import collect, make, name_of

if TYPE_CHECKING:
    from hpo_cli.components.metrics import Head
    from hpo_cli.options import Option

TARGETS = {
    "classes": torch.arange(12) % 4,
    "one": torch.arange(12) % 2,
    "targets": torch.linspace(-2.0, 2.0, 24).view(12, 2),
}
BEST_OUTPUTS = {
    "classes": 8.0 * nn.functional.one_hot(TARGETS["classes"], 4).float(),
    "one": 8.0 * (2.0 * TARGETS["one"].float().unsqueeze(1) - 1.0),
    "targets": TARGETS["targets"],
}
SMOOTHED = [option for option in collect("loss") if "label_smoothing" in option.keys]
every_loss = pytest.mark.parametrize("option", collect("loss"), ids=name_of)


def test_every_head_has_an_option() -> None:
    assert len(SMOOTHED) >= 2
    assert {option.defaults["head"] for option in collect("loss")} == set(METRICS)


@every_loss
def test_falls_towards_the_target(option: Option) -> None:
    assert falls(make(option), head=option.defaults["head"])


@every_loss
def test_is_the_mean_over_the_batch(option: Option) -> None:
    head, loss = option.defaults["head"], make(option)
    outputs, targets = 0.3 * BEST_OUTPUTS[head], TARGETS[head]
    once, twice = loss(outputs, targets), loss(torch.cat((outputs, outputs)), torch.cat((targets, targets)))
    torch.testing.assert_close(once, twice)


@every_loss
def test_descent_on_the_outputs_lowers_it(option: Option) -> None:
    head, loss = option.defaults["head"], make(option)
    outputs = torch.zeros_like(BEST_OUTPUTS[head]).requires_grad_()
    first = loss(outputs, TARGETS[head])
    (gradient,) = torch.autograd.grad(first, outputs)
    assert gradient.isfinite().all()
    assert loss(outputs - 0.1 * gradient, TARGETS[head]) < first


@pytest.mark.parametrize("option", SMOOTHED, ids=name_of)
def test_label_smoothing_changes_while_training(option: Option) -> None:
    head, loss = option.defaults["head"], make(option)
    sharp = loss(BEST_OUTPUTS[head], TARGETS[head])
    loss.label_smoothing = 0.1
    assert loss(BEST_OUTPUTS[head], TARGETS[head]) > sharp


def test_a_loss_that_ignores_the_outputs_is_noticed() -> None:
    class Blind(nn.Module):
        def forward(self, outputs: torch.Tensor, _targets: torch.Tensor) -> torch.Tensor:
            return 0.0 * outputs.sum()

    assert not falls(Blind(), head="classes")
    assert not falls(nn.MSELoss(reduction="none"), head="targets")


def falls(loss: nn.Module, *, head: Head) -> bool:
    """Whether the loss is a finite scalar at each of five outputs on the way to the best, and lower at each."""
    losses = [loss(share * BEST_OUTPUTS[head], TARGETS[head]) for share in (-0.5, 0.0, 0.5, 0.75, 1.0)]
    if not all(value.dim() == 0 and value.isfinite() for value in losses):
        return False
    return all(a > b for a, b in itertools.pairwise(losses))
