"""Parameter groups: which parameters share a rate and a decay."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hpo_cli.engine.parameters import parameter_groups
from tests.engine.plans import SMALL, new_loop, plan


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))


def test_one_group_unless_something_asks_for_more() -> None:
    model = net()
    groups = parameter_groups(plan(), model, nn.CrossEntropyLoss())
    assert [set(group) for group in groups] == [{"params"}]
    assert list(groups[0]["params"]) == list(model.parameters())


def test_biases_and_norms_are_spared_decay() -> None:
    model = net()
    decayed, spared = parameter_groups(plan("regularization.decay=weights"), model, nn.CrossEntropyLoss())
    assert all(parameter.ndim == 2 for parameter in decayed["params"])
    assert all(parameter.ndim == 1 for parameter in spared["params"])
    assert (spared["weight_decay"], spared["decayed"]) == (0.0, False)
    assert len(decayed["params"]) + len(spared["params"]) == len(list(model.parameters()))


def test_each_layer_has_a_share_of_the_next_ones_rate() -> None:
    model = net()
    groups = parameter_groups(plan("finetune.layer_decay=0.5"), model, nn.CrossEntropyLoss())
    scales = {parameter: group.get("lr_scale", 1.0) for group in groups for parameter in group["params"]}
    assert [scales[parameter] for parameter in model.parameters()] == [0.25] * 4 + [0.5] * 2 + [1.0] * 2


def test_frozen_parameters_are_in_no_group_and_a_learning_loss_is() -> None:
    class Learnt(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.temperature = nn.Parameter(torch.ones(1))

    model, criterion = net(), Learnt()
    model[0].requires_grad_(requires_grad=False)
    (group,) = parameter_groups(plan(), model, criterion)
    assert criterion.temperature in set(group["params"])
    assert not {*model[0].parameters()} & {*group["params"]}


def test_the_step_obeys_the_groups() -> None:
    """SGD without momentum moves each layer by its own rate, and decays weights alone."""
    words = ("optimizer=sgd", "optimizer.momentum=0", "optimizer.fused=false", "lr=0.1", "schedule=constant")
    made = plan(
        *SMALL, *words, "finetune.layer_decay=0.5", "regularization.decay=weights", "optimizer.weight_decay=0.3"
    )
    loop = new_loop(made)
    loop.system.train()
    x, y = next(loop.train_source.batches(0, start=0, batch_size=32))
    before = {name: p.detach().clone() for name, p in loop.system.model.named_parameters()}
    gradients = torch.autograd.grad(loop.stepper.loss_of(x, y), list(loop.system.model.parameters()))
    loop.stepper.update([(x, y)], rates=loop.stepper.rates(0, loop.horizon), place=(0, 0), sizes=[32])
    scales = {"linear0": 0.25, "linear1": 0.5, "head": 1.0}
    for (name, after), gradient in zip(loop.system.model.named_parameters(), gradients, strict=True):
        decay = 0.3 if after.ndim > 1 else 0.0
        wanted = before[name] - 0.1 * scales[name.split(".")[0]] * (gradient + decay * before[name])
        torch.testing.assert_close(after.detach(), wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_layer_decay_changes_what_is_learnt(scale: float) -> None:
    made = plan(*SMALL, f"finetune.layer_decay={scale}")
    assert len(new_loop(made).system.optimizer.param_groups) == (1 if scale == 1.0 else 3)
