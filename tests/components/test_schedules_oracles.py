"""Every schedule equals torch's scheduler with matching arguments at every step; a changed key does not."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler as torch_schedulers

from hpo_cli.components.schedules import (
    Factors,
    bind_schedule,
    constant,
    cosine,
    cyclical,
    exponential,
    inverse_time,
    linear,
    one_cycle,
    polynomial,
    step,
    warm_restarts,
    wsd,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.optim.lr_scheduler import LRScheduler

N = 40
MOMENTUM = 0.95


@dataclass(frozen=True)
class Case:
    """A schedule, torch's own for N steps, and a change of keys that must be noticed."""

    target: Callable[..., Any]
    keys: dict[str, Any]
    theirs: Callable[[torch.optim.Optimizer], LRScheduler]
    changed: dict[str, Any] = field(default_factory=dict)


def cyclic(o: torch.optim.Optimizer, **keys: Any) -> LRScheduler:
    return torch_schedulers.CyclicLR(o, max_lr=1.0, cycle_momentum=False, **keys)


def cycle_once(o: torch.optim.Optimizer, *, rise: float, n: int = N, dip: float = 0.894737, **keys: Any) -> LRScheduler:
    """torch's one cycle, whose last step is n and whose first phase ends at step rise * n."""
    share = (rise * n + 1) / (n + 1)
    momenta = {"max_momentum": MOMENTUM, "base_momentum": MOMENTUM * dip}
    return torch_schedulers.OneCycleLR(o, max_lr=1.0, total_steps=n + 1, pct_start=share, **momenta, **keys)


CASES = {
    "constant": Case(constant, {}, lambda o: torch_schedulers.ConstantLR(o, 1.0)),
    "step": Case(step, {}, lambda o: torch_schedulers.MultiStepLR(o, [20, 30]), {"at": [0.5, 0.8]}),
    "multistep": Case(
        step, {"at": [0.5, 0.75, 0.875]}, lambda o: torch_schedulers.MultiStepLR(o, [20, 30, 35]), {"factor": 0.2}
    ),
    "step, fractions between two steps": Case(
        step, {"at": [0.33, 0.66]}, lambda o: torch_schedulers.MultiStepLR(o, [14, 27]), {"at": [0.32, 0.66]}
    ),
    "step, evenly": Case(
        step, {"at": [0.25, 0.5, 0.75], "factor": 0.3}, lambda o: torch_schedulers.StepLR(o, 10, 0.3), {"factor": 0.31}
    ),
    "linear": Case(linear, {}, lambda o: torch_schedulers.LinearLR(o, 1.0, 0.0, N), {"floor": 0.01}),
    "linear, floor half-way": Case(
        linear, {"rate": 2.0, "floor": 0.1}, lambda o: torch_schedulers.LinearLR(o, 1.0, 0.1, N // 2), {"rate": 1.9}
    ),
    "inverse time": Case(
        inverse_time, {"rate": 3.0, "every": 0.25},
        lambda o: torch_schedulers.LambdaLR(o, lambda t: 1 / (1 + 3.0 * t / 10)), {"rate": 2.9},
    ),
    "inverse time, stairs": Case(
        inverse_time, {"rate": 3.0, "every": 0.25, "stairs": True},
        lambda o: torch_schedulers.LambdaLR(o, lambda t: 1 / (1 + 3.0 * (t // 10))), {"stairs": False},
    ),
    "exponential": Case(
        exponential, {}, lambda o: torch_schedulers.ExponentialLR(o, 0.01 ** (1 / N)), {"final": 0.011}
    ),
    "exponential by rate": Case(
        exponential, {"final": None, "rate": 0.5, "every": 0.2},
        lambda o: torch_schedulers.ExponentialLR(o, 0.5 ** (1 / 8)), {"every": 0.1},
    ),
    "exponential by rate, stairs": Case(
        exponential, {"final": None, "rate": 0.5, "every": 0.1, "stairs": True},
        lambda o: torch_schedulers.StepLR(o, 4, 0.5), {"stairs": False},
    ),
    "exponential, stairs": Case(
        exponential, {"final": 0.01, "every": 0.1, "stairs": True},
        lambda o: torch_schedulers.StepLR(o, 4, 0.01**0.1), {"every": 0.2},
    ),
    "triangular": Case(cyclical, {}, lambda o: cyclic(o, base_lr=0.25, step_size_up=5), {"cycles": 5}),
    "triangular, steep rise": Case(
        cyclical, {"cycles": 2, "rise": 0.2, "floor": 0.1},
        lambda o: cyclic(o, base_lr=0.1, step_size_up=4, step_size_down=16), {"rise": 0.25},
    ),
    "triangular2": Case(
        cyclical, {"mode": "triangular2"}, lambda o: cyclic(o, base_lr=0.25, step_size_up=5, mode="triangular2"),
        {"mode": "triangular"},
    ),
    "exp_range": Case(
        cyclical, {"mode": "exp_range"},
        lambda o: cyclic(o, base_lr=0.25, step_size_up=5, mode="exp_range", gamma=0.1 ** (1 / N)), {"final": 0.2},
    ),
    "cosine": Case(cosine, {}, lambda o: torch_schedulers.CosineAnnealingLR(o, N), {"floor": 0.01}),
    "cosine with floor": Case(
        cosine, {"floor": 0.1}, lambda o: torch_schedulers.CosineAnnealingLR(o, N, eta_min=0.1), {"floor": 0.0}
    ),
    "warm restarts": Case(
        warm_restarts, {"cycles": 4, "multiplier": 1.0, "floor": 0.1},
        lambda o: torch_schedulers.CosineAnnealingWarmRestarts(o, 10, eta_min=0.1), {"multiplier": 1.1},
    ),
    "warm restarts, longer and longer": Case(
        warm_restarts, {"cycles": 4, "multiplier": 3.0},
        lambda o: torch_schedulers.CosineAnnealingWarmRestarts(o, 1, 3), {"multiplier": 2.0},
    ),
    "one cycle": Case(one_cycle, {}, lambda o: cycle_once(o, rise=0.3), {"rise": 0.31}),
    "one cycle, lines": Case(
        one_cycle, {"anneal": "linear", "div": 10.0, "final": 0.001},
        lambda o: cycle_once(o, rise=0.3, anneal_strategy="linear", div_factor=10.0, final_div_factor=100.0),
        {"anneal": "cos"},
    ),
    "one cycle, three phases": Case(
        one_cycle, {"phases": 3, "rise": 0.4}, lambda o: cycle_once(o, rise=0.4, three_phase=True), {"phases": 2}
    ),
    "one cycle, momentum": Case(
        one_cycle, {"dip": 0.5}, lambda o: cycle_once(o, rise=0.3, dip=0.5), {"dip": 0.6}
    ),
    "polynomial": Case(polynomial, {}, lambda o: torch_schedulers.PolynomialLR(o, N, 0.9), {"power": 1.0}),
    "warm-up, stable, decay": Case(
        wsd, {"decay_share": 0.25},
        lambda o: torch_schedulers.SequentialLR(
            o, [torch_schedulers.ConstantLR(o, 1.0), torch_schedulers.LinearLR(o, 1.0, 0.0, 10)], [30]
        ),
        {"decay_share": 0.2},
    ),
}  # fmt: skip

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def torch_factors(make: Callable[[torch.optim.Optimizer], LRScheduler], n: int = N) -> list[Factors]:
    """What torch's scheduler makes of a learning rate of 1 and of the momentum, at steps 0 .. n - 1."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0, momentum=MOMENTUM)
    scheduler, found = make(optimizer), []
    for _ in range(n):
        group = optimizer.param_groups[0]
        found.append(Factors(float(group["lr"]), group["momentum"] / MOMENTUM))
        optimizer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SequentialLR warns of its own calls
            scheduler.step()
    return found


def our_factors(case: Case, n: int = N, *, warmup: int = 0, **changed: Any) -> list[Factors]:
    schedule = bind_schedule(case.target, {**case.keys, **changed})
    return [schedule.factors(i, total_steps=n + warmup, warmup_steps=warmup) for i in range(n + warmup)]


def differ(ours: list[Factors], theirs: list[Factors]) -> list[int]:
    """The steps at which they differ by more than rounding."""
    return [
        i
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True))
        if (a.lr, a.momentum) != pytest.approx((b.lr, b.momentum), rel=1e-9, abs=1e-12)
    ]


@every_case
@pytest.mark.parametrize("warmup", [0, 7])
def test_equals_torch_at_every_step(case: Case, warmup: int) -> None:
    theirs = torch_factors(case.theirs)
    start = 1 / (warmup + 1)
    ramp = torch_factors(lambda o: torch_schedulers.LinearLR(o, start, 1.0, max(1, warmup)), warmup)
    ramp = [Factors(factors.lr * theirs[0].lr) for factors in ramp]
    assert differ(our_factors(case, warmup=warmup), ramp + theirs) == []


@pytest.mark.parametrize(
    "case", [case for case in CASES.values() if case.changed], ids=lambda case: case.target.__name__
)
def test_a_changed_key_is_noticed(case: Case) -> None:
    assert differ(our_factors(case, **case.changed), torch_factors(case.theirs)) != []


def test_a_warm_up_of_another_length_is_noticed() -> None:
    case = CASES["cosine"]
    ramp = torch_factors(lambda o: torch_schedulers.LinearLR(o, 1 / 7, 1.0, 6), 7)
    assert differ(our_factors(case, warmup=7), ramp + torch_factors(case.theirs)) != []


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 59), unique=True, max_size=5).map(sorted), st.floats(0.1, 1.0))
def test_step_with_any_fractions(milestones: list[int], factor: float) -> None:
    case = Case(
        step, {"at": [m / 60 for m in milestones], "factor": factor},
        lambda o: torch_schedulers.MultiStepLR(o, milestones, factor),
    )  # fmt: skip
    assert differ(our_factors(case, 60), torch_factors(case.theirs, 60)) == []


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 6), st.integers(1, 9), st.integers(1, 9), st.floats(0.0, 1.0),
    st.sampled_from(["triangular", "triangular2", "exp_range"]), st.floats(0.01, 1.0),
)  # fmt: skip
def test_cyclical_of_any_form(cycles: int, up: int, down: int, floor: float, mode: str, final: float) -> None:
    n = cycles * (up + down)
    keys = {"cycles": cycles, "rise": up / (up + down), "floor": floor, "mode": mode, "final": final}
    form = {"step_size_up": up, "step_size_down": down, "mode": mode, "gamma": final ** (1 / n)}
    case = Case(cyclical, keys, lambda o: cyclic(o, base_lr=floor, **form))
    assert differ(our_factors(case, n), torch_factors(case.theirs, n)) == []


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 5), st.integers(1, 7), st.integers(1, 3), st.floats(0.0, 1.0))
def test_warm_restarts_of_any_form(cycles: int, first: int, multiplier: int, floor: float) -> None:
    n = sum(first * multiplier**index for index in range(cycles))
    case = Case(
        warm_restarts, {"cycles": cycles, "multiplier": float(multiplier), "floor": floor},
        lambda o: torch_schedulers.CosineAnnealingWarmRestarts(o, first, multiplier, eta_min=floor),
    )  # fmt: skip
    assert differ(our_factors(case, n), torch_factors(case.theirs, n)) == []


@settings(deadline=None, max_examples=40)
@given(
    st.integers(4, 80), st.floats(0.05, 0.5), st.floats(1.0, 100.0), st.floats(1.0, 1e4),
    st.sampled_from(["cos", "linear"]), st.sampled_from([2, 3]), st.floats(0.1, 1.0),
)  # fmt: skip
def test_one_cycle_of_any_form(
    n: int, rise: float, div: float, final_div: float, anneal: str, phases: int, dip: float
) -> None:
    keys = {"rise": rise, "div": div, "final": 1 / div / final_div, "anneal": anneal, "phases": phases, "dip": dip}
    form = {"anneal_strategy": anneal, "div_factor": div, "final_div_factor": final_div, "three_phase": phases == 3}
    case = Case(one_cycle, keys, lambda o: cycle_once(o, rise=rise, n=n, dip=dip, **form))
    assert differ(our_factors(case, n), torch_factors(case.theirs, n)) == []


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 80), st.floats(0.1, 5.0), st.floats(0.0, 1.0))
def test_polynomial_and_cosine_of_any_length(n: int, power: float, floor: float) -> None:
    power_case = Case(polynomial, {"power": power}, lambda o: torch_schedulers.PolynomialLR(o, n, power))
    cosine_case = Case(cosine, {"floor": floor}, lambda o: torch_schedulers.CosineAnnealingLR(o, n, floor))
    for case in (power_case, cosine_case):
        assert differ(our_factors(case, n), torch_factors(case.theirs, n)) == []
