"""What every optimizer option must do: descend, obey its groups, decay weights, go on from its state to the bit."""

from __future__ import annotations

import copy
import io
import itertools
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from tests.components.optimizers.options import new
from tests.conformance.options import collect, name_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpo_cli.options import Option

every_optimizer = pytest.mark.parametrize("option", collect("optimizer"), ids=name_of)
COASTS = {"lars", "schedule_free"}
"""Whose weights move on at a rate of 0: by the rate inside the momentum, by the average that goes on."""


@every_optimizer
def test_descends(option: Option) -> None:
    """Slowly at the default rate, which may be meant for longer runs; well at the top of its range."""
    assert share_of_loss_left(lambda net: new(option.name, net.parameters(), model=net)) < 0.97
    top = option.space["lr"]["high"]
    assert share_of_loss_left(lambda net: new(option.name, net.parameters(), model=net, lr=top)) < 0.8


@every_optimizer
def test_brings_its_own_rate_decay_and_range(option: Option) -> None:
    assert {"lr", "weight_decay"} <= set(option.keys)
    assert {"lr", "weight_decay"} <= set(option.space)


@every_optimizer
def test_a_saved_state_goes_on_to_the_bit(option: Option) -> None:
    through, net = network(), network()
    optimizer = new(option.name, groups_of(through), model=through)
    train(through, optimizer, steps=range(8))
    first = new(option.name, groups_of(net), model=net)
    train(net, first, steps=range(5))
    resumed = network()
    resumed.load_state_dict(net.state_dict())
    second = new(option.name, groups_of(resumed), model=resumed, lr=123.0)
    second.load_state_dict(written_and_read(first.state_dict()))
    train(resumed, second, steps=range(5, 8))
    assert same_weights(resumed, through)
    assert not same_weights(net, through)


@every_optimizer
def test_a_state_that_was_lost_is_noticed(option: Option) -> None:
    """The control of the test above: who has memory ends elsewhere without it."""
    through, net = network(), network()
    train(through, new(option.name, groups_of(through), model=through), steps=range(8))
    train(net, new(option.name, groups_of(net), model=net), steps=range(5))
    train(net, new(option.name, groups_of(net), model=net), steps=range(5, 8))
    assert same_weights(net, through) == (option.name == "sgd")


@every_optimizer
def test_keys_of_its_groups_survive_a_round_trip(option: Option) -> None:
    net = network()
    optimizer = new(option.name, groups_of(net), model=net)
    train(net, optimizer, steps=range(2))
    optimizer.load_state_dict(written_and_read(optimizer.state_dict()))
    owners = {id(weight): group for group in optimizer.param_groups for weight in group["params"]}
    assert set(owners) == {id(weight) for weight in net.parameters()}
    for weight in net.parameters():
        assert owners[id(weight)].get("decayed", True) == (weight.ndim > 1)
        assert (owners[id(weight)]["weight_decay"] == 0) == (weight.ndim <= 1 or option.defaults["weight_decay"] == 0)
    scaled = {id(weight) for weight in net[0].parameters()}
    shares = {key: group.get("lr_scale", 1.0) for key, group in owners.items()}
    assert max(shares[key] for key in scaled) < max(shares[key] for key in shares.keys() - scaled)


@every_optimizer
def test_a_rate_of_zero_moves_nothing(option: Option) -> None:
    net = network()
    optimizer = new(option.name, groups_of(net), model=net)
    train(net, optimizer, steps=range(3))
    before = copy.deepcopy(net)
    train(net, optimizer, steps=range(3, 5), lr=0.0)
    assert same_weights(net, before) == (option.name not in COASTS)
    train(net, optimizer, steps=range(5, 6), lr=option.defaults["lr"])
    assert not same_weights(net, before)


@every_optimizer
def test_a_group_moves_by_its_own_rate(option: Option) -> None:
    net = network()
    optimizer = new(option.name, groups_of(net), model=net)
    for group in optimizer.param_groups:
        group["lr"] = 0.0 if "decayed" in group else group["lr"]
    before = copy.deepcopy(net)
    give_gradients(net, step=0)
    optimizer.step()
    for weight, old in zip(net.parameters(), before.parameters(), strict=True):
        assert torch.equal(weight, old) == (weight.ndim <= 1)


@every_optimizer
def test_weight_decay_pulls_the_weights_in(option: Option) -> None:
    free, held = network(), network()
    for net, decay in ((free, 0.0), (held, 0.5)):
        train(net, new(option.name, net.parameters(), model=net, weight_decay=decay, lr=0.01), steps=range(10))
    assert not same_weights(free, held)
    assert size_of(held) < size_of(free)


@every_optimizer
def test_a_group_without_decay_is_spared(option: Option) -> None:
    """All decay set in the group, as `regularization.decay=weights` and a nudge of weight_decay do."""
    free, spared = network(), network()
    train(free, new(option.name, free.parameters(), model=free, weight_decay=0.0), steps=range(4))
    groups = [{"params": list(spared.parameters()), "weight_decay": 0.0, "decayed": False}]
    train(spared, new(option.name, groups, model=spared, weight_decay=0.5), steps=range(4))
    assert same_weights(free, spared)


@every_optimizer
def test_parameters_without_a_gradient_stay(option: Option) -> None:
    net = network()
    optimizer = new(option.name, net.parameters(), model=net)
    before = copy.deepcopy(net)
    for step in range(2):
        give_gradients(net, step=step)
        net[2].weight.grad = None
        optimizer.step()
    assert torch.equal(net[2].weight, before[2].weight)
    assert not torch.equal(net[0].weight, before[0].weight)


@every_optimizer
def test_its_step_is_that_of_its_class(option: Option) -> None:
    """The engine calls `type(optimizer).step(optimizer)`, without torch's wrapping for profilers."""
    bare, usual = network(), network()
    for net, is_bare in ((bare, True), (usual, False)):
        optimizer = new(option.name, net.parameters(), model=net)
        step: Any = type(optimizer).step
        step = getattr(step, "__wrapped__", step) if is_bare else step
        for index in range(3):
            give_gradients(net, step=index)
            step(optimizer)
    assert same_weights(bare, usual)


def test_an_optimizer_that_goes_nowhere_is_noticed() -> None:
    assert share_of_loss_left(lambda net: torch.optim.SGD(net.parameters(), lr=0.0)) == 1.0


def network() -> nn.Sequential:
    """Three layers with a norm between, always with the same weights."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3))


def groups_of(net: nn.Sequential) -> list[dict[str, Any]]:
    """Groups as the engine gives them: the first layer at half the rate, vectors without decay."""
    first = set(net[0].parameters())
    found = []
    for is_first, is_matrix in itertools.product((True, False), repeat=2):
        members = [w for w in net.parameters() if (w in first) == is_first and (w.ndim > 1) == is_matrix]
        group: dict[str, Any] = {"params": members, **({"lr_scale": 0.5} if is_first else {})}
        found.append(group if is_matrix else {**group, "weight_decay": 0.0, "decayed": False})
    return found


def give_gradients(net: nn.Module, *, step: int) -> None:
    generator = torch.Generator().manual_seed(1000 + step)
    for weight in net.parameters():
        weight.grad = torch.randn(weight.shape, generator=generator)


def train(net: nn.Module, optimizer: torch.optim.Optimizer, *, steps: range, lr: float | None = None) -> None:
    """Steps with a gradient that the step's number decides; `lr` as the engine writes it into the groups."""
    for step in steps:
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] if lr is None else lr * group.get("lr_scale", 1.0)
        give_gradients(net, step=step)
        optimizer.step()


def written_and_read(state: dict[str, Any]) -> Any:
    """The state after a way through a file that may hold nothing but tensors and plain values."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(weight, twin) for weight, twin in pairs)


def size_of(net: nn.Module) -> float:
    """The norm of all matrices together."""
    return float(torch.stack([weight.detach().norm() for weight in net.parameters() if weight.ndim > 1]).norm())


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
