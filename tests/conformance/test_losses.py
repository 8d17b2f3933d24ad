"""Every loss option gives a finite scalar that falls towards the target and leads gradient descent there."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, get_args

import pytest
import torch
from torch import nn

from hpo_cli.components.data.arrays import TargetColumn
from hpo_cli.plan import Head
from tests.conformance.options import collect, make, name_of

if TYPE_CHECKING:
    from torch import Tensor

    from hpo_cli.options import Option

CLASSES, NUMBERS = torch.arange(12) % 4, torch.linspace(-2.0, 2.0, 24).view(12, 2)
ONE_HOT = 8.0 * nn.functional.one_hot(CLASSES, 4).float()
TARGETS = {
    "classes": CLASSES,
    "one": torch.arange(12) % 2,
    "targets": NUMBERS,
    "several": torch.cat((CLASSES.float().unsqueeze(1), NUMBERS), 1),
}
BEST_OUTPUTS = {
    "classes": ONE_HOT,
    "one": 8.0 * (2.0 * TARGETS["one"].float().unsqueeze(1) - 1.0),
    "targets": NUMBERS,
    "several": torch.cat((ONE_HOT, NUMBERS), 1),
}
GIVEN = {
    "classes": {"num_outputs": 4, "class_counts": (3, 3, 3, 3)},
    "one": {"num_outputs": 1, "class_counts": (6, 6)},
    "targets": {"num_outputs": 2},
    "several": {
        "num_outputs": 6,
        "columns": (TargetColumn("kind", ("a", "b", "c", "d")), TargetColumn("x"), TargetColumn("y")),
    },
}
"""What a run gives to a loss of this head, beside num_features."""
FEATURES = torch.linspace(-1.0, 1.0, 60).view(12, 5)
HOT = ("label_smoothing", "gamma", "alpha", "delta", "weight", "center_lr")
SMOOTHED = [option for option in collect("loss") if "label_smoothing" in option.keys]
every_loss = pytest.mark.parametrize("option", collect("loss"), ids=name_of)


def build(option: Option) -> nn.Module:
    """The loss as a run builds it."""
    loss: nn.Module = make(option, num_features=FEATURES.shape[1], **GIVEN[option.defaults["head"]])
    return loss


def value(loss: nn.Module, outputs: Tensor, targets: Tensor) -> Tensor:
    """The loss as a step calls it, with the same features for every sample of a place in the batch."""
    needs_features = getattr(loss, "needs_features", False)
    features = FEATURES.repeat(len(outputs) // len(FEATURES), 1)
    found: Tensor = loss(outputs, targets, features) if needs_features else loss(outputs, targets)
    return found


def test_every_head_has_an_option() -> None:
    assert len(SMOOTHED) >= 8
    assert {option.defaults["head"] for option in collect("loss")} == set(get_args(Head)) == set(TARGETS)


@every_loss
def test_falls_towards_the_target(option: Option) -> None:
    assert falls(build(option).eval(), head=option.defaults["head"])


@every_loss
def test_is_the_mean_over_the_batch(option: Option) -> None:
    head, loss = option.defaults["head"], build(option).eval()
    outputs, targets = 0.3 * BEST_OUTPUTS[head], TARGETS[head]
    once = value(loss, outputs, targets)
    twice = value(loss, torch.cat((outputs, outputs)), torch.cat((targets, targets)))
    torch.testing.assert_close(once, twice)


@every_loss
def test_descent_on_the_outputs_lowers_it(option: Option) -> None:
    head, loss = option.defaults["head"], build(option).eval()
    outputs = torch.zeros_like(BEST_OUTPUTS[head]).requires_grad_()
    first = value(loss, outputs, TARGETS[head])
    (gradient,) = torch.autograd.grad(first, outputs)
    assert gradient.isfinite().all()
    assert value(loss, outputs - 0.1 * gradient, TARGETS[head]) < first


@every_loss
def test_extreme_outputs_have_finite_losses_and_gradients(option: Option) -> None:
    head, loss = option.defaults["head"], build(option)
    for size in (12.5, -12.5):
        outputs = (size * BEST_OUTPUTS[head]).requires_grad_()
        found = value(loss, outputs, TARGETS[head])
        (gradient,) = torch.autograd.grad(found, outputs)
        assert found.isfinite()
        assert gradient.isfinite().all()


@every_loss
def test_its_numbers_are_plain_and_change_while_training(option: Option) -> None:
    head, loss = option.defaults["head"], build(option).eval()
    for name in [name for name in HOT if name in option.keys]:
        assert type(getattr(loss, name)) is float
        changed = copy.deepcopy(loss)
        setattr(changed, name, 0.125)
        assert getattr(changed, name) == 0.125
        if name != "center_lr":  # it acts on the call after the next
            outputs = 0.3 * BEST_OUTPUTS[head] - 0.7
            assert value(changed, outputs, TARGETS[head]) != value(loss, outputs, TARGETS[head])


@every_loss
def test_calls_in_evaluation_leave_no_trace(option: Option) -> None:
    head, loss = option.defaults["head"], build(option).eval()
    before = copy.deepcopy(loss.state_dict())
    first = value(loss, BEST_OUTPUTS[head], TARGETS[head])
    assert torch.equal(first, value(loss, BEST_OUTPUTS[head], TARGETS[head]))
    assert all(torch.equal(before[key], state) for key, state in loss.state_dict().items())


@pytest.mark.parametrize("option", SMOOTHED, ids=name_of)
def test_label_smoothing_costs_sure_outputs(option: Option) -> None:
    head, loss = option.defaults["head"], build(option).eval()
    sharp = value(loss, BEST_OUTPUTS[head], TARGETS[head])
    loss.label_smoothing = 0.1
    assert value(loss, BEST_OUTPUTS[head], TARGETS[head]) > sharp


def test_a_loss_that_ignores_the_outputs_is_noticed() -> None:
    class Blind(nn.Module):
        def forward(self, outputs: torch.Tensor, _targets: torch.Tensor) -> torch.Tensor:
            return 0.0 * outputs.sum()

    assert not falls(Blind(), head="classes")
    assert not falls(nn.MSELoss(reduction="none"), head="targets")


def falls(loss: nn.Module, *, head: Head) -> bool:
    """Whether the loss is a finite scalar at each of five outputs on the way to the best, and lower at each."""
    losses = [value(loss, share * BEST_OUTPUTS[head], TARGETS[head]) for share in (-0.5, 0.0, 0.5, 0.75, 1.0)]
    if not all(found.dim() == 0 and found.isfinite() for found in losses):
        return False
    return all(a > b for a, b in itertools.pairwise(losses))
