"""Every schedule option is a finite factor within 0 .. 1 at any progress, alone and behind a warm-up."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from hpo_cli.components.schedules import warmed_up
from tests.conformance.options import collect, function_of, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hpo_cli.options import Option


@pytest.mark.parametrize("option", collect("schedule"), ids=name_of)
def test_stays_a_factor(option: Option) -> None:
    assert not strays(function_of(option)(i / 1000) for i in range(1001))


@pytest.mark.parametrize("option", collect("schedule"), ids=name_of)
@pytest.mark.parametrize("warmup_steps", [0, 1, 7, 50])
def test_stays_a_factor_behind_a_warm_up(option: Option, warmup_steps: int) -> None:
    schedule: Callable[[float], float] = function_of(option)
    factors = [warmed_up(i, schedule=schedule, total_steps=50, warmup_steps=warmup_steps) for i in range(51)]
    assert not strays(factors)
    assert factors[0] > 0


def test_a_schedule_that_strays_is_noticed() -> None:
    assert strays([0.5, 1.5])
    assert strays([math.nan])
    assert strays([])


def strays(factors: Iterable[float]) -> bool:
    """Whether a factor is outside 0 .. 1 or not finite, or there is none."""
    seen = list(factors)
    return not seen or not all(isinstance(factor, float) and 0.0 <= factor <= 1.0 for factor in seen)
