from __future__ import annotations

import functools
import math
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from hpo_cli.components import schedules
from hpo_cli.components.schedules import constant, cosine, exponential, step, warmed_up

if TYPE_CHECKING:
    from collections.abc import Callable

TOTAL = 40
SHARE = st.floats(0.0, 1.0)
SCHEDULES = st.one_of(
    st.just(constant),
    st.builds(
        lambda at, factor: functools.partial(step, at=at, factor=factor),
        st.lists(st.floats(0.01, 0.99), max_size=4),
        st.floats(0.01, 1.0),
    ),
    st.floats(1e-6, 1.0).map(lambda final: functools.partial(exponential, final=final)),
    SHARE.map(lambda floor: functools.partial(cosine, floor=floor)),
)


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (constant, [1.0, 1.0, 1.0, 1.0, 1.0]),
        (step, [1.0, 1.0, 0.1, 0.01, 0.01]),
        (functools.partial(step, at=[0.75, 0.25], factor=0.5), [1.0, 0.5, 0.5, 0.25, 0.25]),
        (exponential, [1.0, 10**-0.5, 0.1, 10**-1.5, 0.01]),
        (cosine, [1.0, (2 + math.sqrt(2)) / 4, 0.5, (2 - math.sqrt(2)) / 4, 0.0]),
        (functools.partial(cosine, floor=0.2), [1.0, 0.6 + 0.2 * math.sqrt(2), 0.6, 0.6 - 0.2 * math.sqrt(2), 0.2]),
    ],
)  # fmt: skip
def test_closed_forms_at_quarters(schedule: Callable[[float], float], values: list[float]) -> None:
    assert [schedule(quarter / 4) for quarter in range(5)] == pytest.approx(values, abs=1e-12)


@pytest.mark.parametrize(
    ("schedule", "reference"),
    [
        (cosine, lambda o, n: lr_scheduler.CosineAnnealingLR(o, T_max=n)),
        (functools.partial(cosine, floor=0.1), lambda o, n: lr_scheduler.CosineAnnealingLR(o, T_max=n, eta_min=0.1)),
        (
            step,
            lambda o, n: lr_scheduler.MultiStepLR(o, milestones=[math.ceil(n / 2), math.ceil(n * 3 / 4)], gamma=0.1),
        ),
        (exponential, lambda o, n: lr_scheduler.ExponentialLR(o, gamma=0.01 ** (1 / n))),
        (constant, lambda o, n: lr_scheduler.ConstantLR(o, factor=1.0, total_iters=n)),
    ],
    ids=["cosine", "cosine with floor", "step", "exponential", "constant"],
)
@pytest.mark.parametrize("warmup_steps", [0, 1, 8])
def test_equals_torch_at_every_step(
    schedule: Callable[[float], float],
    reference: Callable[[torch.optim.Optimizer, int], lr_scheduler.LRScheduler],
    warmup_steps: int,
) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = reference(optimizer, TOTAL - warmup_steps)
    if warmup_steps:
        start = 1 / (warmup_steps + 1)
        rise = lr_scheduler.LinearLR(optimizer, start_factor=start, total_iters=warmup_steps)
        theirs = lr_scheduler.SequentialLR(optimizer, [rise, theirs], milestones=[warmup_steps])
    for i in range(TOTAL):
        ours = warmed_up(i, schedule=schedule, total_steps=TOTAL, warmup_steps=warmup_steps)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9, abs=1e-12), i
        optimizer.step()
        theirs.step()


@given(SCHEDULES, SHARE, SHARE)
def test_falls_from_one_within_bounds(schedule: Callable[[float], float], a: float, b: float) -> None:
    early, late = schedule(min(a, b)), schedule(max(a, b))
    assert schedule(0.0) == 1.0
    assert 0.0 <= late <= early <= 1.0


@given(SCHEDULES, st.integers(1, 200), st.data())
def test_warm_up_rises_to_the_schedule(schedule: Callable[[float], float], total: int, data: st.DataObject) -> None:
    warmup = data.draw(st.integers(0, total))
    factors = [warmed_up(i, schedule=schedule, total_steps=total, warmup_steps=warmup) for i in range(total + 1)]
    assert factors[: warmup + 1] == sorted(factors[: warmup + 1])
    assert factors[0] > 0.0
    assert factors[warmup] == 1.0
    assert factors[warmup:] == sorted(factors[warmup:], reverse=True)
    assert all(0.0 <= factor <= 1.0 for factor in factors)


def test_a_step_takes_effect_where_its_fraction_is_reached() -> None:
    factors = [warmed_up(i, schedule=step, total_steps=8) for i in range(8)]
    assert factors == pytest.approx([1.0] * 4 + [0.1] * 2 + [0.01] * 2)


def test_needs_no_torch() -> None:
    code = f"import sys, {schedules.__name__}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    seen = subprocess.run([sys.executable, "-c", "import sys, torch; " + code], check=False)
    assert seen.returncode == 1
