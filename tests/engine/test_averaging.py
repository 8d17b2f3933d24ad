"""The moving average of the weights, against its formula and torch's own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hpo_cli.engine import checkpoints
from hpo_cli.engine.averaging import WeightAverage
from hpo_cli.engine.backend import Backend
from hpo_cli.engine.evaluation import evaluate, judge
from hpo_cli.engine.knobs import set_knobs
from hpo_cli.engine.stop import StopFlag
from tests.engine.plans import SMALL, arrays, new_loop, plan, rows_of, trained

if TYPE_CHECKING:
    from hpo_cli.engine.loop import TrainingLoop


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def walk(model: nn.Module) -> None:
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.add_(torch.rand_like(tensor))


def test_after_the_ramp_it_is_torchs_average() -> None:
    """From update 82 on, (1 + n) / (10 + n) is above 0.9 and the decay alone counts."""
    model = net()
    ours = WeightAverage(model)
    ours._num_updates = 1000
    torchs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    torchs.update_parameters(model)  # the first call copies
    for _ in range(5):
        walk(model)
        ours.update(0.9)
        torchs.update_parameters(model)
    with ours.lent():
        for name, tensor in torchs.module.state_dict().items():
            torch.testing.assert_close(model.state_dict()[name], tensor, rtol=1e-6, atol=1e-7)


def test_the_ramp_forgets_the_start() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average, wanted = WeightAverage(model), 0.0
    for n in range(1, 6):
        model.weight.data.fill_(float(n))
        average.update(0.999)
        ramp = (1 + n) / (10 + n)
        wanted = ramp * wanted + (1 - ramp) * n
    with average.lent():
        assert model.weight.item() == pytest.approx(wanted)


def test_lending_gives_the_same_bits_back() -> None:
    model = net()
    average = WeightAverage(model)
    walk(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    average.update(0.5)
    with average.lent():
        assert not torch.equal(model.state_dict()["0.weight"], before["0.weight"])
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_tied_weights_are_averaged_once_and_given_back() -> None:
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    average, before = WeightAverage(model), model[0].weight.detach().clone()
    model[0].weight.data.mul_(2.0)
    average.update(0.5)
    with average.lent():
        assert torch.equal(model[1].weight, model[0].weight)
        assert not torch.equal(model[0].weight, 2.0 * before)
    assert torch.equal(model[0].weight, 2.0 * before)


def test_switching_it_off_forgets_it() -> None:
    loop = new_loop(plan(*SMALL, "regularization.ema=0.9"))
    loop.begin()
    loop.advance(2, StopFlag())
    assert loop.system.average is not None
    set_knobs(loop.system, {"regularization.ema": None})
    loop.advance(1, StopFlag())
    assert loop.system.average is None


def test_validation_and_best_weights_are_the_averages() -> None:
    loop = trained(plan(*SMALL, "regularization.ema=0.9"))
    own = evaluate_own(loop)
    assert loop.system.average is not None
    averaged = judge(loop.system, arrays(loop.plan, "val"), backend=loop.stepper.backend)
    last = rows_of(loop)[-1]
    assert last["val/loss"] == averaged["loss"] != own["loss"]


def evaluate_own(loop):  # type: ignore[no-untyped-def]
    loop.system.model.eval()
    found = evaluate(loop.system, arrays(loop.plan, "val"), backend=loop.stepper.backend)
    loop.system.train()
    return found


def test_training_itself_does_not_feel_the_average() -> None:
    with_it, without = (trained(plan(*SMALL, *words)) for words in (("regularization.ema=0.9",), ()))
    for ours, bare in zip(with_it.system.model.parameters(), without.system.model.parameters(), strict=True):
        assert torch.equal(ours, bare)
    assert new_loop(plan(*SMALL)).system.average is None


@pytest.mark.parametrize("bad", [0, 3, 6])
def test_a_step_that_the_scaler_leaves_out_is_no_update_of_the_average(bad: int) -> None:
    """Weights, average and its count are those of a run that never met the step."""
    made = plan("regularization.ema=0.9", "optimizer=sgd", "schedule=constant", *SMALL)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    loop = new_loop(made, backend=Backend(scaler=scaler))
    loop.begin()
    for step in range(8):
        before = averaged(loop)
        if step == bad:
            hook = next(loop.system.model.parameters()).register_hook(lambda gradient: gradient * math.inf)
        loop.advance(1, StopFlag())
        if step == bad:
            hook.remove()
            assert scaler.get_scale() == 512.0
        assert (averaged(loop) == before) == (step == bad)
    assert loop.system.average is not None
    assert loop.system.average.state()["num_updates"] == 7


def averaged(loop: TrainingLoop) -> tuple[Any, str]:
    """How many updates the average has seen, and its tensors as a hash."""
    average = loop.system.average
    if average is None:
        return 0, ""
    named = {str(i): tensor for i, tensor in enumerate(average.tensors)}
    return average.state()["num_updates"], checkpoints.weights_sha256(named.items())
