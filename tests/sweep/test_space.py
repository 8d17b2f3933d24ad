"""Spaces: every draw is inside and respects conditions, grids count right, what was written is read back."""

from __future__ import annotations

import json
import math
import random
import statistics
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_cli.errors import ConfigError
from hpo_cli.sweep.dimension import SIGMA, same
from hpo_cli.sweep.space import Condition, Dimension, Space

LR = Dimension("lr", ("lr",), low=1e-4, high=1e-1, scale="log")
OPTIMIZER = Dimension("optimizer", ("optimizer",), choices=("adam", "sgd"))
MOMENTUM = Dimension("m", ("optimizer.momentum",), choices=(0.0, 0.9), when=(Condition("optimizer", ("sgd",)),))
NESTEROV = Dimension("n", ("nesterov",), choices=(True, False), when=(Condition("optimizer.momentum", (0.9,)),))
ADAM_LR = Dimension("adam: lr", ("lr",), low=1e-3, high=1e-2, scale="log", when=(Condition("optimizer", ("adam",)),))
SGD_LR = Dimension("sgd: lr", ("lr",), low=1e-2, high=1e-1, scale="log", when=(Condition("optimizer", ("sgd",)),))


@st.composite
def ranges(draw: st.DrawFn, name: str = "x") -> Dimension:
    scale, kind = draw(st.sampled_from(["linear", "log"])), draw(st.sampled_from(["float", "int"]))
    lowest = 1 if scale == "log" else -50
    low, width = draw(st.integers(lowest, 60)), draw(st.integers(1, 20))
    step = draw(st.sampled_from([None, 1, 3])) if kind == "int" else draw(st.sampled_from([None, 0.5, 2.5]))
    shift = 0 if kind == "int" else draw(st.sampled_from([0.0, 0.25]))
    return Dimension(name, (name,), low=low + shift, high=low + width, scale=scale, kind=kind, step=step)  # type: ignore[arg-type]


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Three lists or ranges, some of which count only for some values of the first."""
    first = Dimension(
        "a", ("a",), choices=tuple(draw(st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True)))
    )
    others = []
    for name in "bc":
        when = (Condition("a", (draw(st.integers(0, 9)), first.choices[0])),) if draw(st.booleans()) else ()  # type: ignore[index]
        found = draw(st.one_of(ranges(name), st.just(Dimension(name, (name,), choices=("x", None, [1, 2])))))
        others.append(Dimension(**{**vars(found), "when": when}))
    return Space((first, *others))


@settings(deadline=None)
@given(ranges(), st.floats(0, 1, exclude_max=True))
def test_a_value_lies_inside_and_where_it_came_from(one: Dimension, u: float) -> None:
    value = one.at(u)
    assert one.contains(value)
    assert same(one.at(one.where(value)), value) or math.isclose(one.at(one.where(value)), value, rel_tol=1e-9)
    assert 0 <= one.where(value) < 1
    assert one.size is None or sum(1 for _ in one.values()) == one.size


@settings(deadline=None)
@given(spaces(), st.integers())
def test_every_draw_is_inside_and_respects_conditions(space: Space, seed: int) -> None:
    setting = space.draw(random.Random(seed))
    assert space.contains(setting)
    for one in space.dimensions:
        asked = [setting["a"] in condition.values for condition in one.when]
        assert (one.name in setting) == all(asked)
    point = space.point(setting)
    assert space.setting(point) == setting
    assert [one.name for one in space.active(point)] == list(point)


def test_a_setting_outside_is_told_from_one_inside() -> None:
    space = Space((OPTIMIZER, MOMENTUM))
    assert space.contains({"optimizer": "sgd", "optimizer.momentum": 0.9})
    for wrong in ({"optimizer": "adam", "optimizer.momentum": 0.9}, {"optimizer": "sgd"}, {"optimizer": "lion"}, {}):
        assert not space.contains(wrong)


@settings(deadline=None)
@given(spaces())
def test_a_space_is_read_back_as_it_was_written(space: Space) -> None:
    again = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert again == space
    assert again.differences(space) == []


@settings(deadline=None)
@given(spaces())
def test_a_grid_has_as_many_settings_as_its_size_says_each_once(space: Space) -> None:
    if space.size is None:
        with pytest.raises(ConfigError, match="range without steps"):
            list(space.grid())
        return
    settings = [json.dumps(setting, sort_keys=True) for setting in space.grid()]
    assert len(settings) == len(set(settings)) == space.size


def test_a_grid_has_the_order_of_hydra() -> None:
    space = Space(
        (OPTIMIZER, Dimension("lr", ("lr",), choices=(1, 2)), Dimension("d", ("d",), low=0, high=2, kind="int"))
    )
    expected = [{"optimizer": o, "lr": lr, "d": d} for o, lr, d in product(("adam", "sgd"), (1, 2), (0, 1, 2))]
    assert list(space.grid()) == expected


def test_an_inactive_dimension_does_not_multiply_a_grid() -> None:
    found = list(Space((OPTIMIZER, MOMENTUM, NESTEROV)).grid())
    assert found == [
        {"optimizer": "adam"},
        {"optimizer": "sgd", "optimizer.momentum": 0.0},
        {"optimizer": "sgd", "optimizer.momentum": 0.9, "nesterov": True},
        {"optimizer": "sgd", "optimizer.momentum": 0.9, "nesterov": False},
    ]


def test_a_condition_reads_the_base_where_the_setting_is_silent() -> None:
    space = Space((MOMENTUM,))
    assert space.draw(random.Random(0)) == {}
    assert set(space.draw(random.Random(0), {"optimizer": "sgd"})) == {"optimizer.momentum"}
    assert space.size_with({"optimizer": "sgd"}) == 2
    assert Space((MOMENTUM,), {"optimizer": "sgd"}).size == 2


def test_a_dimension_stands_behind_the_one_that_lets_it_in() -> None:
    assert [one.name for one in Space((NESTEROV, MOMENTUM, OPTIMIZER)).dimensions] == ["optimizer", "m", "n"]
    circle = Dimension("o", ("optimizer",), choices=("adam",), when=(Condition("nesterov", (True,)),))
    with pytest.raises(ConfigError, match="circle"):
        Space((circle, MOMENTUM, NESTEROV))


def test_one_key_may_have_two_ranges_that_never_meet() -> None:
    space = Space((OPTIMIZER, ADAM_LR, SGD_LR))
    for seed in range(50):
        setting = space.draw(random.Random(seed))
        low, high = (1e-3, 1e-2) if setting["optimizer"] == "adam" else (1e-2, 1e-1)
        assert low <= setting["lr"] <= high
    with pytest.raises(ConfigError, match=r"sets lr, and so does"):
        Space((OPTIMIZER, ADAM_LR, LR))
    with pytest.raises(ConfigError, match="sets lr"):  # two names of one quantity
        Space((LR, Dimension("o", ("optimizer.lr",), choices=(1, 2))))


def test_lists_that_go_together_set_several_keys() -> None:
    space = Space((Dimension("z", ("lr", "batch_size"), choices=((0.1, 16), (0.2, 32))),))
    assert list(space.grid()) == [{"lr": 0.1, "batch_size": 16}, {"lr": 0.2, "batch_size": 32}]
    assert space.point({"lr": 0.2, "batch_size": 32}) == {"z": (0.2, 32)}
    assert Space.from_json(json.loads(json.dumps(space.to_json()))) == space


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "two finite ends"), ({"choices": ()}, "no values"),
        ({"low": 2, "high": 1}, "above its high end"), ({"low": 0, "high": 1, "scale": "log"}, "begins above 0"),
        ({"low": 0, "high": 1, "step": 0}, "step is above 0"), ({"low": 0, "high": math.inf}, "two finite ends"),
        ({"low": 0.5, "high": 1, "kind": "int"}, "whole numbers"), ({"low": 0, "high": 1, "prior": 2}, "prior 2"),
        ({"low": 0, "high": 1, "choices": (1,)}, "a list of values and a range"),
        ({"low": 0, "high": 1, "keys": ()}, "no key"),
        ({"keys": ("a", "b"), "choices": (1, 2)}, "2 values at a time"),
        ({"choices": (1, 2), "confidence": "x"}, "confidence"),
    ],
)  # fmt: skip
def test_what_is_no_dimension_is_refused(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Dimension(**{"name": "x", "keys": ("x",), **parts})


def test_a_list_names_each_value_once_unless_it_goes_together_with_another() -> None:
    with pytest.raises(ConfigError, match="twice"):
        Space((Dimension("x", ("x",), choices=(1, 1.0)),))
    pairs = ((0.1, 16), (0.1, 32), (0.2, 16))
    assert Space((Dimension("z", ("lr", "batch_size"), choices=pairs),)).size == 3


def test_draws_are_uniform_in_the_scale_of_their_range() -> None:
    rng = random.Random(0)
    logs = [math.log10(LR.draw(rng)) for _ in range(4000)]
    assert abs(statistics.fmean(logs) + 2.5) < 0.05
    assert abs(statistics.pstdev(logs) - 3 / math.sqrt(12)) < 0.03
    depths = [Dimension("d", ("d",), low=1, high=4, kind="int").draw(rng) for _ in range(4000)]
    assert all(abs(depths.count(depth) - 1000) < 150 for depth in (1, 2, 3, 4))


@pytest.mark.parametrize("confidence", sorted(SIGMA))
def test_half_of_the_draws_know_the_prior(confidence: Any) -> None:
    rng = random.Random(0)
    one = Dimension("x", ("x",), low=0, high=1, prior=0.5, confidence=confidence)
    known = [abs(one.draw(rng) - 0.5) for _ in range(4000)]
    within = sum(distance < 0.05 for distance in known) / 4000
    inside = math.erf(0.5 / SIGMA[confidence] / math.sqrt(2))  # what is redrawn lies outside
    expected = 0.5 * 0.1 + 0.5 * math.erf(0.05 / SIGMA[confidence] / math.sqrt(2)) / inside
    assert abs(within - expected) < 0.03
    listed = Dimension("x", ("x",), choices=(1, 2, 3, 4), prior=3)
    drawn = [listed.draw(rng) for _ in range(4000)]
    assert abs(drawn.count(3) / 4000 - 0.625) < 0.03
    assert abs(drawn.count(1) / 4000 - 0.125) < 0.03


def test_steps_are_the_numbers_that_people_mean() -> None:
    one = Dimension("x", ("x",), low=0.1, high=0.5, step=0.1)
    assert list(one.values()) == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert one.contains(0.3)
    assert not one.contains(0.35)


def test_a_space_is_narrowed_to_a_part_of_itself() -> None:
    space = Space((LR, OPTIMIZER)).narrowed({"lr": (1e-3, 1.0), "optimizer": ["sgd"]})
    assert (space["lr"].low, space["lr"].high, space["optimizer"].choices) == (1e-3, 1e-1, ("sgd",))
    assert Space((OPTIMIZER,)).without("optimizer", "adam")["optimizer"].choices == ("sgd",)
    for wrong, message in (({"lr": (1, 2)}, "leaves nothing"), ({"lrr": (0, 1)}, "did you mean lr")):
        with pytest.raises(ConfigError, match=message):
            space.narrowed(wrong)
    with pytest.raises(ConfigError, match="leaves nothing"):
        space.without("optimizer", "sgd")


def test_differences_are_told_in_lines() -> None:
    new = Space((Dimension("lr", ("lr",), low=1e-3, high=1e-1, scale="log"), OPTIMIZER))
    assert new.differences(Space((LR, MOMENTUM))) == [
        "lr: was 0.0001 .. 0.1 (log), now 0.001 .. 0.1 (log)",
        "m: was 0.0, 0.9, only with optimizer=sgd, now not searched",
        "optimizer: was not searched, now adam, sgd",
    ]


@given(st.floats(0, 1), st.floats(1e-6, 1e-2), st.floats(1.5, 1e6), st.sampled_from(["linear", "log"]))
def test_values_that_are_drawn_can_be_read_and_lie_inside(u: float, low: float, ratio: float, scale: str) -> None:
    one = Dimension("lr", ("lr",), low=low, high=low * ratio, scale=scale)  # type: ignore[arg-type]
    value = one.at(u)
    assert low <= value <= low * ratio
    assert value in one.ends or float(f"{value:.6g}") == value
    assert one.at(one.where(value)) == pytest.approx(value, rel=1e-5)


def test_a_range_of_six_equal_digits_has_more_than_one_value() -> None:
    one = Dimension("lr", ("lr",), low=0.1, high=0.1000001)
    assert len({one.at(share / 50) for share in range(50)}) == 50
    assert Dimension("lr", ("lr",), low=1e-5, high=1e-1, scale="log").at(0.0) == 1e-05
    assert repr(Dimension("lr", ("lr",), low=1e-5, high=1e-1, scale="log").at(0.5)) == "0.001"
