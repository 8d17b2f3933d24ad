"""The engine against a bare torch loop: every loss, every learning rate and the final weights."""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from hpo_cli.engine.backend import Backend
from hpo_cli.engine.stop import StopFlag
from tests.conformance.options import collect, make, name_of
from tests.engine.bare import Recipe, Result, bare_loop, mlp, rows
from tests.engine.plans import SMALL, arrays, finish, new_loop, plan, rows_of, trained, weights_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from hpo_cli.engine.loop import TrainingLoop
    from hpo_cli.options import Option

CONSTANT = ("schedule=constant", *SMALL)
OPTIMIZERS = collect("optimizer")


def adam(weights: list[nn.Parameter], **keys: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(weights, fused=True, **keys)


def sgd(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Unlike adam it feels the scale of a gradient."""
    return torch.optim.SGD(weights, momentum=0.9, fused=True)


SGD = ("optimizer=momentum", "lr=0.001")


def compare(loop: TrainingLoop, oracle: Result, *, tolerance: float = 0.0) -> None:
    """Raise AssertionError unless both saw the same; tolerance 0 means the same bits."""
    ours, expected = rows_of(loop), rows(oracle.steps)
    assert len(ours) == len(expected)
    for row, wanted in zip(ours, expected, strict=True):
        assert (row["step"], row["epoch"]) == (wanted["step"], wanted["epoch"])
        assert row["lr"] == pytest.approx(wanted["lr"], rel=1e-12)
        assert row["train/loss"] == pytest.approx(wanted["train/loss"], rel=tolerance, abs=0)
        if loop.system.measure.has_accuracy and not tolerance:
            assert row.get("train/accuracy") == wanted.get("train/accuracy")
    pairs = zip(loop.system.model.parameters(), oracle.model.parameters(), strict=True)
    for mine, bare in pairs:
        torch.testing.assert_close(mine.detach(), bare.detach(), rtol=tolerance, atol=tolerance)


def check(words: tuple[str, ...], recipe: Recipe, *, tolerance: float = 0.0) -> None:
    """Train both ways and compare."""
    made = plan(*words)
    compare(trained(made), bare_loop(*arrays(made, "train"), recipe), tolerance=tolerance)


def test_optimizer_options_are_collected() -> None:
    assert len(OPTIMIZERS) >= 18


@pytest.mark.parametrize("option", OPTIMIZERS, ids=name_of)
def test_every_optimizer_option_is_what_its_file_says(option: Option) -> None:
    model = mlp(64, 16, 10)

    def optimizer(weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        for own, given in zip(model.parameters(), weights, strict=True):
            assert own.shape == given.shape
        made: torch.optim.Optimizer = make(option, params=[{"params": weights}], model=_Holding(weights, like=model))
        return made

    if hasattr(optimizer(list(model.parameters())), "eval"):
        pytest.skip("what it evaluates is not what it trains")
    check((f"optimizer={option.name}", *CONSTANT), Recipe(optimizer, lr_at=lambda _: option.defaults["lr"]))


class _Holding(nn.Module):
    """A network like another one, over weights that are somebody else's."""

    def __init__(self, weights: list[nn.Parameter], *, like: nn.Module) -> None:
        super().__init__()
        self.net = copy.deepcopy(like)
        rest = iter(weights)
        for layer in self.net.modules():
            for name in list(layer._parameters):
                layer._parameters[name] = next(rest)


@pytest.mark.parametrize(
    ("option", "name"), [("sgd", "SGD"), ("adam", "Adam"), ("adamw", "AdamW"), ("rmsprop", "RMSprop")]
)
def test_weight_decay_is_the_optimizers_own(option: str, name: str) -> None:
    optimizer = functools.partial(getattr(torch.optim, name), weight_decay=0.1)
    words = (f"optimizer={option}", "regularization.weight_decay=0.1", "lr=0.01", *CONSTANT)
    fused = {"fused": True} if name != "RMSprop" else {}
    check(words, Recipe(functools.partial(optimizer, **fused), lr_at=lambda _: 0.01))


def test_nesterov_momentum_and_amsgrad() -> None:
    nesterov = functools.partial(torch.optim.SGD, momentum=0.8, nesterov=True, fused=True)
    words = ("optimizer=nesterov", "optimizer.momentum=0.8", "lr=0.01", *CONSTANT)
    check(words, Recipe(nesterov, lr_at=lambda _: 0.01))
    check(("optimizer.amsgrad=true", *CONSTANT), Recipe(functools.partial(adam, amsgrad=True)))


def _warm(step: int, warmup: int) -> float | None:
    return (step + 1) / (warmup + 1) if step < warmup else None


def _cosine(step: int) -> float:
    return 0.01 * (_warm(step, 3) or (0.1 + 0.9 * (1 + math.cos(math.pi * (step - 3) / 5)) / 2))


def _steps(step: int) -> float:
    return 0.01 * (_warm(step, 3) or 0.5 ** ((step - 3 >= 2.5) + (step - 3 >= 4)))


def _exponential(step: int) -> float:
    return 0.01 * (_warm(step, 3) or 0.1 ** ((step - 3) / 5))


@pytest.mark.parametrize(
    ("words", "lr_at"),
    [
        (("schedule=cosine", "schedule.floor=0.1"), _cosine),
        (("schedule=step", "schedule.at=[0.5,0.8]", "schedule.factor=0.5"), _steps),
        (("schedule=exponential", "schedule.final=0.1"), _exponential),
        (("schedule=constant",), lambda step: 0.01 * (_warm(step, 3) or 1.0)),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_schedules_with_warm_up(words: tuple[str, ...], lr_at: Callable[[int], float]) -> None:
    check((*words, "schedule.warmup_steps=3", "lr=0.01", *SMALL), Recipe(adam, lr_at=lr_at), tolerance=1e-6)


def test_a_schedule_is_stretched_over_max_steps() -> None:
    recipe = Recipe(adam, lr_at=lambda step: 1e-3 * (1 + math.cos(math.pi * step / 6)) / 2, max_steps=6)
    check(("trainer.max_steps=6", *SMALL), recipe, tolerance=1e-6)


def test_clip_norm() -> None:
    recipe = Recipe(adam, clip=lambda weights: nn.utils.clip_grad_norm_(weights, 0.05))
    check(("regularization.clip_norm=0.05", *CONSTANT), recipe)


def test_clip_norm_is_the_global_norm() -> None:
    def clip(weights: list[nn.Parameter]) -> None:
        norm = math.sqrt(sum(float(w.grad.double().square().sum()) for w in weights))
        assert norm > 0.05
        for weight in weights:
            weight.grad *= 0.05 / norm

    words = ("optimizer=momentum", "regularization.clip_norm=0.05", *CONSTANT)
    recipe = Recipe(sgd, lr_at=lambda _: 0.01, clip=clip)
    check(words, recipe, tolerance=1e-5)


def test_clip_value() -> None:
    recipe = Recipe(adam, clip=lambda weights: [weight.grad.clamp_(-1e-3, 1e-3) for weight in weights])
    check(("regularization.clip_value=0.001", *CONSTANT), recipe)


@pytest.mark.parametrize(("accumulate", "batch_size"), [(1, 31), (3, 32), (3, 20), (2, 25), (9, 32)])
def test_accumulation_with_a_partial_last_group_and_batch(accumulate: int, batch_size: int) -> None:
    words = (f"batch.accumulate={accumulate}", f"batch_size={batch_size}", *SGD, *CONSTANT)
    check(words, Recipe(sgd, accumulate=accumulate, batch_size=batch_size), tolerance=1e-6)


def _matrices(model: nn.Module) -> list[torch.Tensor]:
    return [weight for weight in model.parameters() if weight.ndim > 1]


def test_l1_and_l2_leave_biases_alone_and_are_no_part_of_the_loss_shown() -> None:
    def penalty(model: nn.Module) -> Any:
        return sum(1e-3 * weight.abs().sum() + 0.1 / 2 * weight.pow(2).sum() for weight in _matrices(model))

    words = ("regularization.l1=0.001", "regularization.l2=0.1", *CONSTANT)
    check(words, Recipe(adam, penalty=penalty), tolerance=1e-5)


def test_label_smoothing_of_cross_entropy_by_hand() -> None:
    def criterion(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        wanted = nn.functional.one_hot(targets, 10) * 0.8 + 0.2 / 10
        return -(wanted * outputs.log_softmax(1)).sum(1).mean()

    words = ("regularization.label_smoothing=0.2", *CONSTANT)
    check(words, Recipe(adam, criterion), tolerance=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_bce_by_hand(smoothing: float) -> None:
    def criterion(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        p, wanted = outputs[:, 0].sigmoid(), targets * (1 - smoothing) + smoothing / 2
        return -(wanted * p.log() + (1 - wanted) * (1 - p).log()).mean()

    words = ("data=breast_cancer", "loss=bce", f"regularization.label_smoothing={smoothing}", *CONSTANT)
    check(words, Recipe(adam, criterion, model=lambda: mlp(30, 16, 1)[1:], batch_size=32), tolerance=1e-4)


def test_regression() -> None:
    words = ("data=diabetes", "loss=mse", "schedule=constant", "epochs=2", *SMALL[2:])
    recipe = Recipe(adam, lambda outputs, y: ((outputs - y) ** 2).mean(), model=lambda: mlp(10, 16, 1)[1:])
    check(words, recipe, tolerance=1e-5)


def test_dropout_draws_what_the_seeds_say() -> None:
    words = ("regularization.dropout=0.4", "batch.accumulate=2", *CONSTANT)
    check(words, Recipe(adam, model=lambda: mlp(64, 16, 10, dropout=0.4), accumulate=2))


def test_max_steps_in_the_middle_of_an_epoch() -> None:
    loop = trained(plan("trainer.max_steps=6", *CONSTANT))
    compare(loop, bare_loop(*arrays(loop.plan, "train"), Recipe(adam, max_steps=6)))
    assert "val/loss" in rows_of(loop)[-1]
    assert (loop.position.epoch, loop.position.step) == (1, 6)


def test_double_precision_to_ten_digits() -> None:
    check(("trainer.precision=64-true", *CONSTANT), Recipe(adam, dtype=torch.float64), tolerance=1e-10)


@pytest.mark.parametrize(
    "flaw",
    [{"divide": False}, {"order_seed": 1}, {"seed": 1}, {"batch_size": 31}, {"accumulate": 1}],
    ids=lambda flaw: next(iter(flaw)),
)
def test_the_comparison_notices_a_flaw(flaw: dict[str, Any]) -> None:
    right = {"accumulate": 2, "batch_size": 32}
    with pytest.raises(AssertionError):
        check(("batch.accumulate=2", *SGD, *CONSTANT), Recipe(sgd, **{**right, **flaw}), tolerance=1e-4)


def _autocast() -> torch.autocast:
    return torch.autocast("cpu", dtype=torch.bfloat16)


def _inside_lightnings_autocast(loop: TrainingLoop) -> TrainingLoop:
    """Train as under Lightning, which wraps a whole stretch in autocast: the casts of weights are then kept."""
    with _autocast(), torch.autocast("cpu", enabled=False):
        return finish(loop)


def test_mixed_precision_uses_the_weights_of_now() -> None:
    made = plan(*CONSTANT)
    oracle = bare_loop(*arrays(made, "train"), Recipe(adam, forward_context=_autocast))
    loop = new_loop(made, backend=Backend(autocast=_autocast))
    compare(_inside_lightnings_autocast(loop), oracle)
    with pytest.raises(AssertionError):  # it is another arithmetic
        compare(trained(made), oracle)


def test_stale_casts_of_the_weights_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan(*CONSTANT)
    oracle = bare_loop(*arrays(made, "train"), Recipe(adam, forward_context=_autocast))
    monkeypatch.setattr(torch, "clear_autocast_cache", lambda: None)
    loop = new_loop(made, backend=Backend(autocast=_autocast))
    with pytest.raises((AssertionError, RuntimeError)):
        compare(_inside_lightnings_autocast(loop), oracle)


class _Notes:
    """What a bare loop's gradients and weights were, before clipping, in plain float64 arithmetic."""

    def __init__(self, limit: float | None) -> None:
        self.norms: list[float] = []
        self.weights: list[list[torch.Tensor]] = []
        self._limit = limit

    def clip(self, weights: list[nn.Parameter]) -> None:
        self.norms.append(math.sqrt(sum(weight.grad.double().square().sum().item() for weight in weights)))  # type: ignore[union-attr]
        self.weights.append([weight.detach().double().clone() for weight in weights])
        if self._limit is not None:
            nn.utils.clip_grad_norm_(weights, self._limit)

    def ratios(self, model: nn.Module) -> list[float]:
        after = [*self.weights[1:], [weight.detach().double() for weight in model.parameters()]]
        return [_distance(new, old) / _distance(old) for old, new in zip(self.weights, after, strict=True)]


def _distance(these: list[torch.Tensor], those: list[torch.Tensor] | None = None) -> float:
    those = those or [torch.zeros_like(tensor) for tensor in these]
    return math.sqrt(sum((a - b).square().sum().item() for a, b in zip(these, those, strict=True)))


@pytest.mark.parametrize(("words", "recipe", "limit"), [
    (SGD, Recipe(sgd), None),
    ((*SGD, "regularization.clip_norm=0.01"), Recipe(sgd), 0.01),
    ((*SGD, "batch.accumulate=2"), Recipe(sgd, accumulate=2), None),
    (("optimizer=adam",), Recipe(adam), None),
], ids=["sgd", "clipped", "accumulated", "adam"])  # fmt: skip
def test_gradient_norm_and_update_ratio_are_those_of_a_bare_loop(
    words: tuple[str, ...], recipe: Recipe, limit: float | None
) -> None:
    notes = _Notes(limit)
    made = plan(*words, *CONSTANT)
    bare = bare_loop(*arrays(made, "train"), dataclasses.replace(recipe, clip=notes.clip))
    loop = new_loop(made)
    loop.begin()
    norms, ratios = [], []
    while not loop.finished:
        loop.advance(1, StopFlag())
        assert loop.stepper.gradient_norm is not None
        assert loop.stepper.update_ratio is not None
        norms.append(loop.stepper.gradient_norm.item())
        ratios.append(loop.stepper.update_ratio.item())
    assert norms == pytest.approx(notes.norms, rel=1e-5)
    assert ratios == pytest.approx(notes.ratios(bare.model), rel=1e-3)
    assert min(norms) > 0.1
    compare(loop, bare)


def test_gradients_are_measured_at_steps_that_are_logged_and_at_no_other() -> None:
    loop = new_loop(plan(*SMALL[:-1], "trainer.log_every_steps=3"))
    loop.begin()
    measured = []
    for step in range(1, 9):
        loop.advance(1, StopFlag())
        if loop.stepper.gradient_norm is not None:
            measured.append(step)
    assert measured == [3, 4, 6, 8]


def test_measuring_changes_nothing_that_is_learnt() -> None:
    quiet, loud = (trained(plan(f"trainer.log_gradients={word}", *SMALL)) for word in ("false", "true"))
    assert weights_of(quiet) == weights_of(loud)
    assert quiet.stepper.gradient_norm is None


def test_weights_of_zero_have_a_finite_ratio() -> None:
    loop = new_loop(plan(*CONSTANT))
    for parameter in loop.system.model.parameters():
        nn.init.zeros_(parameter)
    loop.begin()
    loop.advance(1, StopFlag())
    assert loop.stepper.update_ratio is not None
    assert loop.stepper.update_ratio.isfinite()
