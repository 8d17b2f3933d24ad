"""Reduce on plateau equals torch's after every validation, and its memory survives a checkpoint."""

from __future__ import annotations

import json
import math
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import ReduceLROnPlateau

from hpo_cli.components.schedules import Plateau, Schedule, bind_schedule

Mode = Literal["min", "max"]
MODES = st.sampled_from(["min", "max"])
KEYS = st.fixed_dictionaries(
    {
        "factor": st.floats(0.1, 0.9),
        "patience": st.integers(0, 3),
        "threshold": st.sampled_from([0.0, 1e-4, 0.1]),
        "threshold_mode": st.sampled_from(["rel", "abs"]),
        "cooldown": st.integers(0, 3),
        "floor": st.sampled_from([0.0, 0.01, 0.3]),
    }
)
COARSE = st.sampled_from([-1.0, 0.0, 0.5, 0.95, 1.0, 1.05, 2.0, math.nan, math.inf, -math.inf])
VALUES = st.lists(st.one_of(st.floats(-5.0, 5.0), COARSE), min_size=1, max_size=60)


def ours(values: list[float], mode: Mode, keys: dict[str, Any]) -> list[float]:
    return told(bind_schedule(Plateau, keys), values, mode)


def told(schedule: Schedule, values: list[float], mode: Mode) -> list[float]:
    """The factor after each of the values."""
    found = []
    for value in values:
        schedule.observe(value, mode=mode)
        found.append(schedule.factors(5, total_steps=10).lr)
    return found


def theirs(values: list[float], mode: Mode, keys: dict[str, Any]) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    rest = {key: value for key, value in keys.items() if key != "floor"}
    scheduler = ReduceLROnPlateau(optimizer, mode, min_lr=keys["floor"], eps=0.0, **rest)
    found = []
    for value in values:
        scheduler.step(value)
        found.append(optimizer.param_groups[0]["lr"])
    return found


@settings(deadline=None)
@given(VALUES, MODES, KEYS)
def test_equals_torch_after_every_validation(values: list[float], mode: Mode, keys: dict[str, Any]) -> None:
    assert ours(values, mode, keys) == theirs(values, mode, keys)


DEFAULTS = {"factor": 0.5, "patience": 1, "threshold": 0.1, "threshold_mode": "rel", "cooldown": 1, "floor": 0.2}
VALLEY = [5.0, 4.0, 3.95, 3.9, 3.85, 3.8, 3.0, 3.0, 2.75, *[3.0] * 7]


@pytest.mark.parametrize(
    "change",
    [{"factor": 0.4}, {"patience": 2}, {"threshold": 0.01}, {"threshold_mode": "abs"}, {"cooldown": 3}, {"floor": 0.0}],
    ids=str,
)
def test_every_key_makes_a_difference_that_the_comparison_notices(change: dict[str, Any]) -> None:
    assert ours(VALLEY, "min", DEFAULTS) == theirs(VALLEY, "min", DEFAULTS)
    assert ours(VALLEY, "min", {**DEFAULTS, **change}) != theirs(VALLEY, "min", DEFAULTS)
    assert ours(VALLEY, "max", DEFAULTS) != theirs(VALLEY, "min", DEFAULTS)


@settings(deadline=None)
@given(VALUES, MODES, KEYS, st.data())
def test_going_on_from_its_state_equals_straight_through(
    values: list[float], mode: Mode, keys: dict[str, Any], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(values)))
    first, second = bind_schedule(Plateau, keys), bind_schedule(Plateau, keys)
    head = told(first, values[:cut], mode)
    second.restore(json.loads(json.dumps(first.state())))
    assert second.state() == first.state()
    assert head + told(second, values[cut:], mode) == ours(values, mode, keys)


def test_without_its_state_it_would_go_on_otherwise() -> None:
    half = ours(VALLEY[8:], "min", DEFAULTS)
    assert half != ours(VALLEY, "min", DEFAULTS)[8:]


def test_an_empty_state_is_a_fresh_memory() -> None:
    schedule = bind_schedule(Plateau, {"patience": 0})
    told(schedule, [1.0, 2.0, 3.0], "min")
    assert schedule.factors(0, total_steps=1).lr < 1.0
    schedule.restore({})
    assert schedule.state() == bind_schedule(Plateau, {}).state()
    assert schedule.factors(0, total_steps=1).lr == 1.0


def test_two_of_a_kind_share_no_memory() -> None:
    first, second = bind_schedule(Plateau, {"patience": 0}), bind_schedule(Plateau, {"patience": 0})
    told(first, [1.0, 2.0], "min")
    assert first.state() != second.state()


def test_a_floor_that_was_raised_meanwhile_does_not_raise_the_rate() -> None:
    low = bind_schedule(Plateau, {"patience": 0})
    told(low, [1.0, 2.0, 3.0], "min")
    high = bind_schedule(Plateau, {"patience": 0, "floor": 0.5})
    high.restore(low.state())
    assert told(high, [4.0], "min") == [low.factors(0, total_steps=1).lr]


def test_a_warm_up_rises_to_what_validations_have_led_to() -> None:
    schedule = bind_schedule(Plateau, {"patience": 0})
    told(schedule, [1.0, 2.0], "min")
    assert schedule.factors(1, total_steps=10, warmup_steps=3).lr == pytest.approx(0.1 * 2 / 4)


def test_a_schedule_without_memory_takes_no_notice() -> None:
    schedule = bind_schedule(lambda progress: 1.0 - progress, {})
    schedule.observe(1.0, mode="min")
    schedule.restore({"factor": 0.1})
    assert schedule.state() == {}
    assert schedule.factors(1, total_steps=2).lr == 0.5
