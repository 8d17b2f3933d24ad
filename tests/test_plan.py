"""The plan: its id depends on what is learnt and on nothing else, and it survives being written and read."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hpo_cli.plan import SETTING_FREE, Objective, RunPlan, direction, plan_from_dict, plan_id
from tests.command_line import compose_and_check

VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
FREE = {"name", "tags", "outputs", "checkpoint", "logger", "allow_targets"}
METRIC = st.one_of(st.none(), st.floats())


@functools.cache
def plan_of(*words: str) -> RunPlan:
    return compose_and_check(*words).plan


def leaves(config: Mapping[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*before, key))
        else:
            yield (*before, key)


DEFAULT = plan_of()
LEAVES = sorted(leaves(DEFAULT.config))


def changed(path: tuple[str, ...], value: object) -> tuple[dict[str, Any], object]:
    """The default config with another value at a place, and the value that stood there."""
    config = copy.deepcopy(dict(DEFAULT.config))
    holder = config
    for key in path[:-1]:
        holder = holder[key]
    old = holder[path[-1]]
    holder[path[-1]] = value
    return config, old


def same(one: object, other: object) -> bool:
    """Whether two values mean the same setting: 1 and 1.0 do, 1 and true do not."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def test_the_leaves_are_there() -> None:
    assert set(SETTING_FREE) == FREE | {"plan_id", "choices"}
    assert len(LEAVES) > 50
    assert {("lr",), ("optimizer", "betas"), ("model", "_target_"), ("data", "split_seed")} <= set(LEAVES)


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_the_id_changes_with_every_setting_and_with_nothing_else(path: tuple[str, ...]) -> None:
    config, _ = changed(path, "something else")
    assert (plan_id(config) == DEFAULT.plan_id) == (path[0] in FREE)


@given(st.sampled_from(LEAVES), VALUES)
def test_the_id_changes_with_every_value(path: tuple[str, ...], value: object) -> None:
    config, old = changed(path, value)
    assert (plan_id(config) == DEFAULT.plan_id) == (path[0] in FREE or same(value, old))


@given(st.data())
def test_key_order_makes_no_difference(data: st.DataObject) -> None:
    def shuffled(value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {key: shuffled(value[key]) for key in data.draw(st.permutations(sorted(value)))}

    assert plan_id(shuffled(DEFAULT.config)) == DEFAULT.plan_id


@given(st.integers(-(2**53), 2**53))
def test_a_whole_number_spelt_as_a_float_is_the_same(number: int) -> None:
    assert plan_id({"a": {"b": [number]}}) == plan_id({"a": {"b": [float(number)]}})


def test_true_is_not_one_and_none_is_not_missing() -> None:
    ids = {plan_id(config) for config in ({"a": True}, {"a": 1}, {"a": "1"}, {"a": None}, {}, {"a": [1]}, {"a": {}})}
    assert len(ids) == 7


@pytest.mark.parametrize("word", ["lr=1", "lr=1.0", "lr=1e0", "optimizer.lr=1.0"])
def test_spellings_on_the_command_line_give_one_id(word: str) -> None:
    assert plan_of(word).plan_id == plan_of("lr=1").plan_id != DEFAULT.plan_id


def test_the_id_is_twelve_hex_digits_and_stands_in_the_plan() -> None:
    assert len(DEFAULT.plan_id) == 12
    assert int(DEFAULT.plan_id, 16) >= 0
    assert DEFAULT.to_dict()["plan_id"] == DEFAULT.plan_id


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("data=diabetes", "objective=val/r2"),
        ("model=cnn", "optimizer=sgd", "schedule=step", "regularization.clip_norm=1", "tags=[a,'b: c','ü']"),
        ("data=csv", "data.path='a b.csv'", "data.target=[a,b]", "data.task=regression", "loss=mse"),
        ("regularization.dropout=0.25", "checkpoint.every_minutes=null", "logger=csv", "name='2024'"),
    ],
)
def test_a_plan_written_as_yaml_reads_back_equal(words: tuple[str, ...]) -> None:
    plan = plan_of(*words)
    text = yaml.safe_dump(plan.to_dict(), sort_keys=False, allow_unicode=True)
    again = plan_from_dict(yaml.safe_load(text))
    assert again == plan
    assert again.plan_id == plan.plan_id
    assert "space" not in text
    assert "rules" not in text


def test_a_plan_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        DEFAULT.lr = 3.0  # type: ignore[misc]


@given(METRIC, METRIC, METRIC, st.sampled_from(["min", "max"]))
def test_better_is_a_strict_order(a: float | None, b: float | None, c: float | None, mode: Any) -> None:
    better = Objective("val/x", mode).better
    assert not better(a, a)
    assert not (better(a, b) and better(b, a))
    if better(a, b) and better(b, c):
        assert better(a, c)
    if a is None or math.isnan(a):
        assert not better(a, b)
    elif b is None:
        assert better(a, b)


def test_better_follows_the_mode() -> None:
    assert Objective("val/loss", "min").better(1.0, 2.0)
    assert Objective("val/accuracy", "max").better(2.0, 1.0)
    assert not Objective("val/loss", "min").better(2.0, 1.0)


def test_something_finite_beats_nan() -> None:
    assert Objective("val/loss", "min").better(1.0, math.nan)


def test_objectives_by_task() -> None:
    assert plan_of().objective == Objective("val/accuracy", "max")
    assert plan_of("objective=val/loss").objective == Objective("val/loss", "min")
    assert plan_of("data=diabetes").objective == Objective("val/loss", "min")
    assert plan_of("data=diabetes", "objective=val/r2").objective == Objective("val/r2", "max")
    assert direction("val/mae") == "min"
