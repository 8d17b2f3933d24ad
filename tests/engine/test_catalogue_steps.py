"""What the catalogue adds to a step: decayed and scaled rates, moved momentum, mixing, augmentation, features."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from hpo_cli.components.mixing import mix
from hpo_cli.engine import evaluation
from hpo_cli.engine.evaluation import judge
from hpo_cli.engine.knobs import read_knobs, set_knobs
from hpo_cli.engine.loop import TrainingLoop
from hpo_cli.engine.moving import momentum_of, set_momentum
from hpo_cli.engine.randomness import STEP, derive, seed_everywhere
from hpo_cli.engine.stop import StopFlag
from hpo_cli.options import list_options
from tests.engine.plans import SMALL, arrays, new_loop, plan, trained
from tests.engine.test_step import CONSTANT, Recipe, check, sgd

PLAIN_SGD = ("optimizer=momentum", "optimizer.momentum=0.9", "lr=0.01")


def test_keras_decay_divides_the_rate_by_the_steps() -> None:
    recipe = Recipe(sgd, lr_at=lambda step: 0.01 / (1 + 0.1 * step))
    check((*PLAIN_SGD, "optimizer.decay=0.1", *CONSTANT), recipe)


@pytest.mark.parametrize(("rule", "factor"), [("linear", 4.0), ("sqrt", 2.0), ("none", 1.0)])
def test_the_rate_follows_the_batch_of_an_update(rule: str, factor: float) -> None:
    recipe = Recipe(sgd, lr_at=lambda _: 0.001 * factor, accumulate=2, batch_size=32)
    size = () if rule == "none" else ("batch.base_size=16",)
    words = (f"batch.scale_lr={rule}", *size, "batch.accumulate=2")
    check((*PLAIN_SGD, "lr=0.001", *words, *CONSTANT), recipe, tolerance=1e-5)


def one_step(loop: TrainingLoop) -> tuple[torch.Tensor, torch.Tensor]:
    """The first batch, after the loop has taken one step from it."""
    batch = next(loop.train_source.batches(0, start=0, batch_size=32))
    loop.begin()
    loop.stepper.update([batch], rates=loop.stepper.rates(0, loop.horizon), place=(0, 0), sizes=[32])
    return batch


@pytest.mark.parametrize("words", [("regularization.mixup=0.4",), ("regularization.cutmix=1.0",)])
def test_a_mixed_loss_weighs_both_targets(words: tuple[str, ...]) -> None:
    made = plan(*SMALL, *words)
    loop, twin = new_loop(made), new_loop(made).system.model.train()
    x, y = one_step(loop)
    seed_everywhere(derive(made.seed, STEP, 0, 0, 0))
    mixed = mix(x, mixup=made.regularization.mixup, cutmix=made.regularization.cutmix)
    outputs = twin(mixed.x)
    wanted = mixed.share * cross_entropy(outputs, y) + (1 - mixed.share) * cross_entropy(outputs, y[mixed.order])
    assert loop.stepper.losses[0].item() == wanted.item()
    assert wanted.item() != cross_entropy(twin(x), y).item()


def test_training_alone_is_augmented() -> None:
    words = (*SMALL, "lr=1e-30")
    plain, augmented = (trained(plan(*words, *more)) for more in ((), ("augment=standard",)))
    assert plain.metrics["train/loss"] != augmented.metrics["train/loss"]
    assert plain.metrics["val/loss"] == pytest.approx(augmented.metrics["val/loss"], abs=1e-12)


def test_one_cycle_moves_the_rate_and_the_momentum() -> None:
    """Up along half a cosine from 1/25 over three tenths of training, while momentum falls from .95 to .85."""
    loop = new_loop(plan(*SMALL, "epochs=5", "optimizer=momentum", "schedule=one_cycle", "optimizer.momentum=0.95"))
    loop.begin()
    for step in range(6):
        loop.advance(1, StopFlag())
        rise = (1 - math.cos(math.pi * step / 20 / 0.3)) / 2
        group = loop.system.optimizer.param_groups[0]
        assert group["lr"] == pytest.approx(0.01 * (0.04 + 0.96 * rise), rel=1e-6)
        assert group["momentum"] == pytest.approx(0.95 - 0.1 * rise, rel=1e-3)


@pytest.mark.parametrize(("words", "key", "value"), [
    (("optimizer=momentum",), "optimizer.momentum", 0.8),
    (("optimizer=adam",), "optimizer.betas", [0.8, 0.99]),
])  # fmt: skip
def test_a_nudged_momentum_is_what_the_cycle_then_moves(words: tuple[str, ...], key: str, value: object) -> None:
    loop = new_loop(plan(*SMALL, "schedule=one_cycle", *words))
    loop.begin()
    loop.advance(2, StopFlag())
    set_knobs(loop.system, {key: value})
    assert read_knobs(loop.system)[key] == value
    loop.advance(1, StopFlag())
    assert read_knobs(loop.system)[key] == value
    group = loop.system.optimizer.param_groups[0]
    moved = group["momentum"] if "momentum" in group else group["betas"][0]
    assert 0.8 * 0.85 < moved < 0.8


def test_a_schedule_without_momentum_leaves_it_alone() -> None:
    loop = trained(plan(*SMALL, "optimizer=momentum"))
    assert loop.system.settings.momentum is None
    assert loop.system.optimizer.param_groups[0]["momentum"] == 0.9


def test_plateau_looks_at_the_objective() -> None:
    """A rate of nothing never improves: after each validation but the first the factor halves."""
    words = ("schedule=plateau", "schedule.patience=0", "schedule.factor=0.5", "lr=1e-30", "objective=val/accuracy")
    loop = new_loop(plan(*SMALL, *words, "epochs=4"))
    loop.begin()
    rates = []
    while not loop.finished:
        loop.advance(1, StopFlag())
        rates.append(loop.system.optimizer.param_groups[0]["lr"])
    assert [rate / 1e-30 for rate in rates[::4]] == pytest.approx([1.0, 1.0, 0.5, 0.25])


def test_centers_are_those_of_the_features_before_the_head() -> None:
    loop = new_loop(plan(*SMALL, "loss=cross_entropy_center"))
    x, y = one_step(loop)
    fresh = new_loop(plan(*SMALL)).system.model
    features = nn.Sequential(*list(fresh)[:-1])(x)
    centers = loop.system.criterion.get_buffer("centers")
    assert centers.shape == (10, 16)
    for c in range(10):
        own = features[y == c]
        wanted = 0.5 * own.sum(0) / (1 + len(own)) if len(own) else torch.zeros(16)
        torch.testing.assert_close(centers[c], wanted, rtol=1e-5, atol=1e-6)


def test_evaluation_moves_no_center() -> None:
    loop = trained(plan(*SMALL, "loss=cross_entropy_center"))
    before = loop.system.criterion.get_buffer("centers").clone()
    found = judge(loop.system, arrays(loop.plan, "val"), backend=loop.stepper.backend)
    assert math.isfinite(found["loss"])
    assert torch.equal(loop.system.criterion.get_buffer("centers"), before)


@pytest.mark.parametrize("name", list_options("optimizer"))
def test_a_momentum_factor_of_one_leaves_every_group_alone(name: str) -> None:
    optimizer = new_loop(plan(*SMALL, f"optimizer={name}")).system.optimizer
    before = [settings_of(group) for group in optimizer.param_groups]
    momentum = momentum_of(optimizer)
    if momentum is not None:
        set_momentum(optimizer, momentum)
    assert [settings_of(group) for group in optimizer.param_groups] == before


def settings_of(group: dict[str, Any]) -> dict[str, Any]:
    return {key: list(value) if key == "betas" else value for key, value in group.items() if key != "params"}


def test_a_cycle_moves_muons_own_momentum_and_not_adams() -> None:
    loop = new_loop(plan(*SMALL, "epochs=5", "optimizer=muon", "schedule=one_cycle", "model.depth=3"))
    loop.begin()
    loop.advance(4, StopFlag())
    groups = loop.system.optimizer.param_groups
    assert all(group["momentum"] < 0.95 for group in groups if "momentum" in group)
    assert all(group["betas"][0] == 0.9 for group in groups if "betas" in group)


WEIGHTS = "loss.class_weights=[9,1,1,1,1,1,1,1,1,5]"


@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
def test_weighted_classes_accumulate_as_one_batch(loss: str) -> None:
    words = (*SMALL, f"loss={loss}", WEIGHTS, "optimizer=momentum", "trainer.max_steps=3")
    whole, parts = (
        trained(plan(*words, f"batch_size={size}", f"batch.accumulate={pieces}")) for size, pieces in ((32, 1), (8, 4))
    )
    for one, other in zip(whole.system.model.parameters(), parts.system.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_a_weighted_validation_does_not_feel_the_size_of_its_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = trained(plan(*SMALL, WEIGHTS))
    val = arrays(loop.plan, "val")
    whole = judge(loop.system, val, backend=loop.stepper.backend)
    monkeypatch.setattr(evaluation, "EVAL_BYTES", 4096)
    assert judge(loop.system, val, backend=loop.stepper.backend)["loss"] == pytest.approx(whole["loss"], rel=1e-5)
