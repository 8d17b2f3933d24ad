"""Changes of knobs applied to configs as they are composed: what they give, and all that is refused."""

from __future__ import annotations

import copy
import functools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_cli.errors import ConfigError
from hpo_cli.record.line import Line
from hpo_cli.steer.changes import OPERATIONS, Changes, Setting, revised, value_of
from hpo_cli.steer.settings import has, hot_keys, settled
from hpo_cli.validate import plan_from_config
from tests.command_line import compose_and_check

LINEAR = {"option": "linear", "_target_": "hpo_cli.components.schedules.linear", "rate": 1.0, "floor": 0.0}


@functools.cache
def composed(*words: str) -> Setting:
    plan = compose_and_check(*words).plan
    return Setting(dict(plan.config), dict(plan.choices))


def after(changes: Changes, *words: str) -> Setting:
    setting = composed(*words)
    before = copy.deepcopy(setting)
    found = revised(*setting, changes)
    assert setting == before, "the config that was given has changed"
    return found


def refusal(changes: Changes, *words: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        revised(*composed(*words), changes, run="last")
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("change", "expected"),
    [(["=", 0.5], 0.5), (["*=", 0.5], 0.0005), (["/=", 4], 0.00025), (["+=", 0.001], 0.002), (["-=", 0.0005], 0.0005)],
)
def test_ops_act_on_the_value_there_is(change: list[Any], expected: float) -> None:
    found = after({"lr": change})
    assert found.config["lr"] == pytest.approx(expected)
    assert found.config["optimizer"]["lr"] == found.config["lr"]


@pytest.mark.parametrize(
    ("key", "others"),
    [
        ("optimizer.lr", ["lr"]), ("lr", ["optimizer.lr"]), ("model.dropout", ["regularization.dropout"]),
        ("regularization.label_smoothing", ["loss.label_smoothing"]),
        ("optimizer.weight_decay", ["regularization.weight_decay"]),
    ],
)  # fmt: skip
def test_keys_of_one_quantity_stay_equal(key: str, others: list[str]) -> None:
    found = after({key: ["=", 0.25]})
    for name in [key, *others]:
        section, _, last = name.rpartition(".")
        assert (found.config[section] if section else found.config)[last] == 0.25
    assert plan_from_config(found.config, choices=found.choices).config == found.config


@pytest.mark.parametrize("key", sorted(set(hot_keys(composed().config)) - {"schedule", "optimizer.betas"}))
def test_every_hot_key_can_be_set_and_read_back(key: str) -> None:
    found = after({key: ["=", 7]})
    assert value_of(*found, key) == 7
    differing = {name for name in hot_keys(found.config) if value_of(*found, name) != value_of(*composed(), name)}
    assert differing - {key, "schedule"} == set()


def test_whole_numbers_stay_whole() -> None:
    assert after({"epochs": ["*=", 1.5]}).config["epochs"] == 30
    assert type(after({"epochs": ["/=", 2]}).config["epochs"]) is int
    assert type(after({"epochs": ["=", 30.0]}).config["epochs"]) is int
    assert type(after({"regularization.dropout": ["+=", 0.5]}).config["regularization"]["dropout"]) is float
    assert refusal({"epochs": ["/=", 3]}) == ["epochs=6.666666666666667: must be a whole number; its value is 20"]
    assert "whole" in refusal({"batch_size": ["=", 1.5]})[0]


def test_a_schedule_is_replaced_and_its_warm_up_kept() -> None:
    found = after({"schedule.rate": ["*=", 2], "schedule": ["=", LINEAR]}, "schedule.warmup_steps=9")
    expected = {"_target_": LINEAR["_target_"], "rate": 2.0, "floor": 0.0, "warmup_steps": 9}
    assert {key: found.config["schedule"][key] for key in expected} == expected
    assert found.choices["schedule"] == "linear"
    assert value_of(*found, "schedule") == {**LINEAR, "rate": 2.0}
    assert plan_from_config(found.config, choices=found.choices).schedule.option == "linear"


def test_the_nudges_of_a_schedule_stay() -> None:
    setting = copy.deepcopy(composed())
    setting.config["schedule"]["nudges"] = [{"at": 0.5, "lr": 0.1}]
    found = revised(*setting, {"schedule": ["=", {**LINEAR, "nudges": [], "warmup_steps": 3}]})
    assert found.config["schedule"]["nudges"] == [{"at": 0.5, "lr": 0.1}]
    assert found.config["schedule"]["warmup_steps"] == 0
    assert not {"nudges", "warmup_steps"} & set(value_of(*found, "schedule"))


@pytest.mark.parametrize("value", ["cosine", {}, {"option": "cosine"}, {"option": 1, "_target_": "a.b"}, None, 3])
def test_a_schedule_is_given_as_a_whole(value: object) -> None:
    assert "name one of its options" in refusal({"schedule": ["=", value]})[0]


TERMS = ("loss=weighted", "loss.terms={cross_entropy:1.0,sharp:{loss:focal,gamma:3.0}}")


def test_the_weights_of_terms() -> None:
    found = after({"loss.terms.sharp.weight": ["/=", 4], "loss.terms.cross_entropy.weight": ["=", 2]}, *TERMS)
    assert found.config["loss"]["terms"] == {
        "cross_entropy": 2,
        "sharp": {"loss": "focal", "gamma": 3.0, "weight": 0.25},
    }
    assert {"loss.terms.sharp.weight", "loss.terms.cross_entropy.weight"} <= set(hot_keys(found.config))
    assert after({"loss.terms.cross_entropy.weight": ["*=", 3]}, "loss=weighted").config["loss"]["terms"] == {
        "cross_entropy": 3.0
    }
    assert "did you mean loss.terms.sharp.weight?" in refusal({"loss.terms.sharpe.weight": ["=", 1]}, *TERMS)[0]
    assert "0 or more" in refusal({"loss.terms.sharp.weight": ["=", -1]}, *TERMS)[0]
    assert "0 or more" in refusal({"loss.terms.sharp.weight": ["=", "a"]}, *TERMS)[0]
    assert "none (loss=cross_entropy)" in refusal({"loss.terms.a.weight": ["=", 1]})[0]


def test_a_column_that_no_term_names_weighs_one() -> None:
    words = ("data=csv", "data.path=a.csv", "data.target=[price,kind]", "data.task=several", "loss=multi_task")
    assert value_of(*composed(*words), "loss.terms.price.weight") == 1.0
    assert after({"loss.terms.price.weight": ["/=", 2]}, *words).config["loss"]["terms"] == {"price": 0.5}


def test_all_problems_are_told_at_once_with_the_branch_that_would_do_it() -> None:
    found = refusal(
        {
            "model.depth": ["+=", 1], "model.activation": ["=", "tanh"], "optimizer": ["=", "sgd"],
            "optimizer.momentum": ["=", 0.9], "dropout": ["=", 0.1], "lrr": ["=", 1], "lr": ["/=", 0],
            "regularization.clip_norm": ["*=", 2], "optimizer.betas": ["*=", 2], "batch_size": ["*=", "a"],
            "model.layers": ["=", 1], "seed": ["*=", "a"], "epochs": ["^=", 2],
            "regularization.l1": ["=", float("inf")],
        }
    )  # fmt: skip
    text = "\n".join(found)
    assert len(found) == 14
    assert "model.depth: cannot change while a run trains" in text
    assert "hpo-run branch last model.depth=3" in text
    assert "hpo-run branch last model.activation=tanh" in text
    assert "hpo-run branch last optimizer=sgd" in text
    assert "hpo-run branch last seed=..." in text
    assert "optimizer.momentum: this run has none (optimizer=adam)" in text
    assert "dropout: is no key of this run; did you mean regularization.dropout?" in text
    assert "lrr: is no key of this run; did you mean lr?" in text
    assert "lr: 0.001 / 0 has no value" in text
    assert "its value is null" in text
    assert "regularization.l1=inf: must be a finite number" in text


def test_one_quantity_under_two_names_is_refused() -> None:
    assert refusal({"lr": ["=", 1], "optimizer.lr": ["=", 2]}) == [
        "optimizer.lr: is the same quantity as lr; give one of them"
    ]


def test_the_command_that_is_proposed_can_be_typed() -> None:
    assert refusal({"model.width": ["=", [1, 2]]})[0].endswith("hpo-run branch last 'model.width=[1,2]' --partial")


plain = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers(), max_size=3)
)
keys = st.sampled_from(
    [*hot_keys(composed().config), "optimizer.lr", "model.depth", "model", "", ".", "a.b", "loss.terms.x.weight"]
)


@settings(deadline=None)
@given(st.dictionaries(keys, st.tuples(st.sampled_from([*OPERATIONS, "?"]), plain), max_size=4))
def test_any_changes_give_a_config_or_a_refusal(changes: dict[str, Any]) -> None:
    setting = composed()
    try:
        found = revised(*setting, changes)
        plan_from_config(found.config, choices=found.choices)
    except ConfigError:
        return
    assert found.config.keys() == setting.config.keys()


def nudge(knobs: object) -> dict[str, Any]:
    return {"event": "nudged", "id": "1", "step": 1, "knobs": knobs}


def test_a_line_settles_in_its_order() -> None:
    chain = (
        nudge({"lr": {"old": 0.001, "new": 0.5}, "schedule": {"old": {}, "new": LINEAR}}),
        {"event": "rolled_back", "id": "2", "step": 5, "to": 2},
        nudge({"lr": {"old": 0.5, "new": 0.25}, "regularization.ema": {"old": None, "new": 0.9}}),
    )
    found = settled(*composed(), Line(chain))
    assert (found.config["lr"], found.config["optimizer"]["lr"], found.config["regularization"]["ema"]) == (
        0.25,
        0.25,
        0.9,
    )
    assert found.choices["schedule"] == "linear"
    assert settled(*composed(), Line()) == composed()


@pytest.mark.parametrize(
    "knobs",
    [None, [],
     {"zzz": {"new": 1}}, {"lr": 3}, {"lr": {"old": 1}}, {"schedule": {"new": "cosine"}}, {"model.depth": {"new": 9}},
     {"loss.terms.a.weight": {"new": 9}}],
)  # fmt: skip
def test_what_a_damaged_ledger_has_is_passed_over(knobs: object) -> None:
    assert settled(*composed(), Line((nudge(knobs),))) == composed()


@pytest.mark.parametrize("config", [{}, {"loss": None}, {"schedule": 3, "loss": {"terms": 4}}, {"optimizer": []}])
def test_a_config_that_is_none_has_no_knobs(config: dict[str, Any]) -> None:
    assert hot_keys(config) == []
    assert not has(config, "lr")
    assert not has(config, "loss.terms.a.weight")
