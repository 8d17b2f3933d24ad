"""Schedule-free AdamW: its recursion, its two sets of weights, and looks at the validation data without a trace."""

from __future__ import annotations

import copy

import numpy as np
import torch
from pytorch_optimizer import ScheduleFreeAdamW as PackagedScheduleFreeAdamW

from hpo_cli.components.optimizers.schedule_free import ScheduleFreeAdamW
from tests.components.optimizers.options import new

GRADIENTS = np.random.default_rng(0).normal(size=(12, 3))
START = [1.0, -2.0, 3.0]


def trained(num_steps: int, *, look_after: tuple[int, ...] = ()) -> tuple[torch.nn.Parameter, ScheduleFreeAdamW]:
    weight = torch.nn.Parameter(torch.tensor(START, dtype=torch.float64))
    optimizer = new("schedule_free", [weight], lr=0.1, weight_decay=0.1)
    assert isinstance(optimizer, ScheduleFreeAdamW)
    go_on(weight, optimizer, steps=range(num_steps), look_after=look_after)
    return weight, optimizer


def go_on(
    weight: torch.nn.Parameter, optimizer: ScheduleFreeAdamW, *, steps: range, look_after: tuple[int, ...] = ()
) -> None:
    for step in steps:
        weight.grad = torch.tensor(GRADIENTS[step])
        optimizer.step()
        if step in look_after:
            optimizer.eval()
            optimizer.train()


def test_follows_the_recursion_of_the_paper() -> None:
    y, z, x, v = np.array(START), np.array(START), np.array(START), np.zeros(3)
    for t, g in enumerate(GRADIENTS, start=1):
        v = 0.999 * v + 0.001 * g**2
        z = z - 0.1 * (g / (np.sqrt(v / (1 - 0.999**t)) + 1e-8) + 0.1 * y)
        x = (1 - 1 / t) * x + z / t
        y = 0.1 * z + 0.9 * x
    weight, optimizer = trained(12)
    np.testing.assert_allclose(weight.detach().numpy(), y, rtol=1e-6)
    optimizer.eval()
    np.testing.assert_allclose(weight.detach().numpy(), x, rtol=1e-6)
    assert not np.allclose(x, y, rtol=1e-3)


def test_a_look_at_the_average_leaves_no_trace() -> None:
    plain, _ = trained(12)
    watched, _ = trained(12, look_after=(0, 3, 4, 9))
    assert torch.equal(watched, plain)


def test_the_packages_own_way_back_loses_bits() -> None:
    """The look that the test above forbids to leave a trace does leave one in the class that ours builds on."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(1000, generator=generator))
    optimizer = PackagedScheduleFreeAdamW([weight], lr=0.1)
    for _ in range(10):
        weight.grad = torch.randn(1000, generator=generator)
        optimizer.step()
    before = weight.detach().clone()
    optimizer.eval()
    optimizer.train()
    assert not torch.equal(weight, before)


def test_looking_twice_is_looking_once() -> None:
    weight, optimizer = trained(5)
    before = weight.detach().clone()
    optimizer.train()
    assert torch.equal(weight, before)
    optimizer.eval()
    average = weight.detach().clone()
    optimizer.eval()
    assert torch.equal(weight, average)
    optimizer.train()
    assert torch.equal(weight, before)


def test_a_state_saved_during_evaluation_goes_on_to_the_bit() -> None:
    through, _ = trained(12)
    weight, optimizer = trained(6)
    optimizer.eval()
    saved = copy.deepcopy(optimizer.state_dict())
    later = torch.nn.Parameter(weight.detach().clone())
    resumed = new("schedule_free", [later], lr=0.1, weight_decay=0.1)
    assert isinstance(resumed, ScheduleFreeAdamW)
    resumed.load_state_dict(saved)
    resumed.train()
    go_on(later, resumed, steps=range(6, 12))
    assert torch.equal(later, through)


def test_evaluation_before_the_first_step_changes_nothing() -> None:
    weight, optimizer = trained(0)
    optimizer.eval()
    optimizer.train()
    assert weight.tolist() == START
