"""torch's schedulers by name: the same numbers whatever was asked before, and one line for what cannot be."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from torch.optim import lr_scheduler as torch_schedulers

from hpo_cli.components.schedules import Factors, Schedule, TorchScheduler, bind_schedule
from hpo_cli.components.schedules.from_torch import REFUSED, _names
from hpo_cli.errors import ConfigError
from tests.components.test_schedules_oracles import MOMENTUM, differ, torch_factors

if TYPE_CHECKING:
    from torch.optim.lr_scheduler import LRScheduler

N = 40
ARGUMENTS: dict[str, dict[str, Any]] = {
    "ConstantLR": {},
    "CosineAnnealingLR": {"T_max": 15},
    "CosineAnnealingWarmRestarts": {"T_0": 7, "T_mult": 2, "eta_min": 0.01},
    "CyclicLR": {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 4, "max_momentum": MOMENTUM},
    "ExponentialLR": {"gamma": 0.9},
    "LinearLR": {},
    "MultiStepLR": {"milestones": [10, 30]},
    "OneCycleLR": {"max_lr": 1.0, "total_steps": N},
    "PolynomialLR": {"total_iters": 30, "power": 2.0},
    "StepLR": {"step_size": 9, "gamma": 0.5},
}


def bound(name: str, arguments: dict[str, Any] | None = None, per: str = "step") -> Schedule:
    return bind_schedule(TorchScheduler, {"name": name, "arguments": arguments, "per": per})


def reference(name: str, n: int = N) -> list[Factors]:
    def make(optimizer: Any) -> LRScheduler:
        scheduler: LRScheduler = getattr(torch_schedulers, name)(optimizer, **ARGUMENTS[name])
        return scheduler

    return torch_factors(make, n)


def test_every_scheduler_that_torch_has_is_known() -> None:
    assert _names(vars(torch_schedulers)) == list(ARGUMENTS)
    assert all(hasattr(torch_schedulers, name) for name in REFUSED)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_equals_torch_at_every_step_in_any_order(name: str) -> None:
    schedule, theirs = bound(name, ARGUMENTS[name]), reference(name)
    order = random.Random(0).sample(range(N), N)
    found = {i: schedule.factors(i, total_steps=N) for i in order}
    assert differ([found[i] for i in range(N)], theirs) == []
    assert differ([found[i] for i in order], theirs) != [] or name == "ConstantLR"
    assert schedule.moves_momentum == any(factors.momentum != 1.0 for factors in theirs)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_per_epoch_it_is_updated_with_each_epoch(name: str) -> None:
    schedule, theirs = bound(name, ARGUMENTS[name], per="epoch"), reference(name)
    found = [schedule.factors(i, total_steps=3 * N, steps_per_epoch=3) for i in range(3 * N)]
    assert differ(found, [factors for factors in theirs for _ in range(3)]) == []


def test_it_starts_when_the_warm_up_is_over() -> None:
    schedule = bound("StepLR", {"step_size": 1, "gamma": 0.5}, per="epoch")
    found = [schedule.factors(i, total_steps=10, warmup_steps=4, steps_per_epoch=3).lr for i in range(10)]
    assert found == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5])


def test_the_momentum_counts_over_the_one_it_starts_with() -> None:
    arguments = {"max_lr": 1.0, "total_steps": 20, "max_momentum": 0.8, "base_momentum": 0.4}
    found = [bound("OneCycleLR", arguments).factors(i, total_steps=20).momentum for i in range(20)]
    assert (found[0], min(found), found[-1]) == pytest.approx((1.0, 0.5, 1.0))
    assert not bound("OneCycleLR", {**arguments, "cycle_momentum": False}).moves_momentum


def test_the_next_step_costs_one_update_and_an_earlier_one_none(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = bound("ExponentialLR", {"gamma": 0.99})
    updates = []
    step = torch_schedulers.ExponentialLR.get_lr
    monkeypatch.setattr(
        torch_schedulers.ExponentialLR, "get_lr", lambda scheduler: updates.append(1) or step(scheduler)
    )
    schedule.factors(100, total_steps=1000)
    del updates[:]
    for i in (101, 50, 101, 102):
        schedule.factors(i, total_steps=1000)
    assert len(updates) == 2


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("ReduceLROnPlateau", "needs the results of validations; set schedule=plateau"),
        ("SequentialLR", "is made of other schedulers; set schedule.warmup_steps for a warm-up before a single one"),
        ("ChainedScheduler", "is made of other schedulers; set schedule.warmup_steps for a warm-up"),
        ("LambdaLR", "takes functions, which a config cannot hold; write a schedule of your own: docs/your-own.md"),
        ("MultiplicativeLR", "takes functions, which a config cannot hold; write a schedule of your own"),
        ("StepLr", "is no scheduler of torch; did you mean StepLR?"),
        ("LRScheduler", "is no scheduler of torch; choose one of "),
        ("none", f"is no scheduler of torch; choose one of {', '.join(ARGUMENTS)}"),
        ("Optimizer", "is no scheduler of torch; "),
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_is_refused(name: str, line: str) -> None:
    assert refusal(name, {}).startswith(f"schedule.name={name}: {line}")


@pytest.mark.parametrize(
    ("name", "arguments", "rule"),
    [
        ("StepLR", None, "StepLR needs step_size"),
        ("StepLR", {"stepsize": 3}, "StepLR takes step_size, gamma"),
        ("StepLR", {"step_size": 0}, "ZeroDivisionError"),
        ("StepLR", {"step_size": "x"}, "unsupported operand type(s) for %"),
        ("StepLR", {"step_size": 1, "last_epoch": 3}, "last_epoch is given by the run itself; leave it out"),
        ("StepLR", {"step_size": 1, "optimizer": 3}, "optimizer is given by the run itself; leave it out"),
        ("ExponentialLR", {"gamma": -1.0}, "gives -1 times lr at update 1; change the arguments"),
        ("CyclicLR", {"base_lr": 0.1, "max_lr": 1, "scale_fn": "x"}, "'str' object is not callable"),
    ],
)
def test_arguments_that_cannot_be_are_refused(name: str, arguments: dict[str, Any] | None, rule: str) -> None:
    line = refusal(name, arguments)
    assert line.startswith(f"schedule.arguments={arguments or {}}: ")
    assert rule in line


def refusal(name: str, arguments: dict[str, Any] | None) -> str:
    with pytest.raises(ConfigError) as caught:
        bound(name, arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_any_other_word_for_per_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"schedule\.per=batch: must be one of epoch, step"):
        bound("LinearLR", per="batch")


def test_one_that_ends_before_the_run_is_refused_at_the_first_step() -> None:
    schedule = bound("OneCycleLR", {"max_lr": 1.0, "total_steps": 10})
    assert schedule.factors(9, total_steps=10).lr > 0.0
    with pytest.raises(ConfigError, match="ends after 10 steps, the run has 11; raise total_steps, or set schedule="):
        schedule.factors(0, total_steps=11)


def test_a_rate_that_grows_beyond_numbers_is_refused() -> None:
    schedule = bound("ExponentialLR", {"gamma": 1e200})
    with pytest.raises(ConfigError, match="gives inf times lr at update 2"):
        schedule.factors(5, total_steps=10)


def test_a_rate_below_zero_by_rounding_is_zero_and_any_other_is_refused() -> None:
    up = {"max_lr": 1.0, "step_size_up": 4}
    assert bound("CyclicLR", {**up, "base_lr": -1e-15}).factors(0, total_steps=10).lr == 0.0
    assert "gives -0.1 times lr at update 0" in refusal("CyclicLR", {**up, "base_lr": -0.1})


def test_when_all_steps_are_done_it_stays_where_the_last_one_was() -> None:
    schedule = bound("OneCycleLR", {"max_lr": 1.0, "total_steps": 10})
    assert schedule.factors(10, total_steps=10) == schedule.factors(9, total_steps=10)
    assert schedule.factors(8, total_steps=10) != schedule.factors(9, total_steps=10)
