"""Every option file describes itself, names a target that takes its keys, and has rules and ranges that agree."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import pytest

from hpo_cli import rules
from hpo_cli.components.activations import ACTIVATIONS
from hpo_cli.components.build import bound, resolve
from hpo_cli.components.init import DRAWS, Kinds
from hpo_cli.components.norms import NORMS
from hpo_cli.errors import ConfigError
from hpo_cli.grammar import sweep_settings
from hpo_cli.options import main_config
from tests.conformance.options import GROUPS, collect, collect_built, component_of, name_of

if TYPE_CHECKING:
    from hpo_cli.options import Option

OPTIONS = collect_built(*GROUPS)
AT_LEAST = {"optimizer": 18, "schedule": 14, "model": 10, "loss": 12, "init": 13, "augment": 4}
TABLES = {"activation": ACTIVATIONS, "norm": NORMS}
MAY_LACK = {"activation": {"maxout"}, "norm": {"instance"}}
"""What a model may leave out of its choices: its layers have no pieces, its samples no positions."""

every_option = pytest.mark.parametrize("option", OPTIONS, ids=name_of)


@pytest.mark.parametrize("group", GROUPS)
def test_the_options_of_a_group_are_collected(group: str) -> None:
    assert len(collect(group)) >= AT_LEAST[group]


@every_option
def test_describes_itself_in_one_line(option: Option) -> None:
    assert 10 <= len(option.description) <= 110
    assert not option.description.endswith(".")


@every_option
def test_keys_bind_to_the_signature_of_an_allowed_target(option: Option) -> None:
    component = component_of(option)
    target = resolve(component)
    assert bound(component, target, {}) == component.args
    with pytest.raises(ConfigError, match="not an option of"):
        bound(component_of(option, no_such_key=1), target, {})


@every_option
def test_rules_name_existing_keys_and_known_words(option: Option) -> None:
    assert set(option.rules) <= set(option.keys)
    assert all(set(rule) <= rules.WORDS for rule in option.rules.values())


@every_option
def test_defaults_obey_the_rules(option: Option) -> None:
    component = component_of(option)
    assert [
        p for key in option.rules for p in problems_of(option, key, component.args.get(key, option.defaults[key]))
    ] == []


@every_option
def test_ranges_name_existing_keys_and_obey_the_rules(option: Option) -> None:
    assert set(option.space) <= set(option.keys)
    assert range_problems(option) == []


@every_option
def test_numbers_have_a_rule(option: Option) -> None:
    numbers = {k for k, v in option.defaults.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    assert numbers <= set(option.rules)


@every_option
def test_choices_are_those_of_the_tables(option: Option) -> None:
    for key, table in TABLES.items():
        if key in option.keys:
            choices = option.rules[key]["one_of"]
            assert choices == [name for name in table if name in choices or name not in MAY_LACK[key]]


def test_some_model_has_every_choice() -> None:
    for key, table in TABLES.items():
        assert any(option.rules[key]["one_of"] == list(table) for option in collect("model") if key in option.keys)


def test_a_kind_of_layer_may_name_every_plain_init() -> None:
    kinds = [field.name for field in dataclasses.fields(Kinds) if field.type != "bool"]
    assert kinds == ["linear", "convolution", "recurrent", "embedding"]
    main = main_config()
    assert all(main.rules[f"init.{kind}"]["one_of"] == list(DRAWS) for kind in kinds)
    assert main.defaults["init"] == dataclasses.asdict(Kinds())


def test_every_plain_init_is_an_option() -> None:
    assert {*DRAWS, "lsuv", "autoencoder"} == {option.name for option in collect("init")}


def test_a_range_outside_its_rule_is_noticed() -> None:
    adam = next(option for option in OPTIONS if option.name == "adam")
    assert range_problems(dataclasses.replace(adam, space={"lr": {"low": 0.0, "high": 1.0}}))
    assert range_problems(dataclasses.replace(adam, space={"lr": {"low": 1.0, "high": 0.1}}))
    assert range_problems(dataclasses.replace(adam, space={"lr": {"low": 0.1, "high": 1.0, "sale": "log"}}))
    assert range_problems(dataclasses.replace(adam, space={"betas": {"choices": [[0.9, 1.0]]}}))


@pytest.mark.parametrize(
    "space",
    [
        {"low": 0.0, "high": 1.0, "prior": 2.0}, {"low": 0.0, "high": 1.0, "step": 0},
        {"low": 0.0, "high": 1.0, "if": "x=1"},
        {"low": 0.0, "high": 1.0, "step": 2.0}, {"choices": [0.1, 0.2], "prior": 0.3}, {"choices": [0.1]},
        {"low": 0.1, "high": 1.0, "confidence": "sure"}, {"low": 0.1, "high": 1.0, "when": {}},
    ],
)  # fmt: skip
def test_a_space_with_a_wrong_word_is_noticed(space: dict[str, Any]) -> None:
    adam = next(option for option in OPTIONS if option.name == "adam")
    assert range_problems(dataclasses.replace(adam, space={"weight_decay": space}))
    good = {"low": 0.1, "high": 1.0, "step": 0.1, "prior": 0.5, "confidence": "high", "if": {"optimizer.amsgrad": True}}
    assert range_problems(dataclasses.replace(adam, space={"weight_decay": good})) == []


@pytest.mark.parametrize("group", ["regularization", "batch"])
def test_ranges_of_groups_that_build_nothing_obey_the_rules(group: str) -> None:
    (option,) = collect(group)
    main = main_config()
    assert option.space
    for key, space in option.space.items():
        assert _well_formed(space)
        assert key in option.keys or key in main.defaults
        rule = option.rules.get(key) or main.rules[key]
        default = option.defaults.get(key, main.defaults.get(key))
        for value in space.get("choices") or [space["low"], space["high"]]:
            assert rules.checked(key, value, rule=rule, default=default)[1] == []


CATALOGUE_RANGES = {
    "sgd": (1e-2, 1e-1), "momentum": (1e-3, 1e-2), "adagrad": (1e-3, 1e-2), "adadelta": (1e-2, 1e-1),
    "rmsprop": (1e-3, 1e-2), "adam": (1e-3, 1e-2), "adamax": (1e-3, 1e-2), "nadam": (1e-3, 1e-2),
}  # fmt: skip
"""Recommended ranges of lr when training from scratch."""


@pytest.mark.parametrize("name", CATALOGUE_RANGES)
def test_learning_rates_have_the_recommended_ranges(name: str) -> None:
    space = {option.name: option for option in collect("optimizer")}[name].space["lr"]
    assert (space["low"], space["high"]) == CATALOGUE_RANGES[name]
    assert space["scale"] == "log"


def test_the_other_ranges_are_the_recommended_ones() -> None:
    optimizers = {option.name: option for option in collect("optimizer")}
    assert optimizers["momentum"].space["momentum"] == {"choices": [0.9, 0.99, 0.999], "prior": 0.9}
    assert all(optimizers[name].space["weight_decay"]["high"] == 1e-4 for name in ("sgd", "momentum", "adam"))
    (batch,), (regularization,) = collect("batch"), collect("regularization")
    sizes = batch.space["batch_size"]["choices"]
    assert sizes == [2**power for power in range(4, 9)]
    assert (regularization.space["dropout"]["low"], regularization.space["dropout"]["high"]) == (0, 0.5)


WAYS = collect("sweep")
DEFAULT_WAY = next(option for option in WAYS if option.name == "default")


def test_the_ways_to_sweep_are_collected() -> None:
    names = {option.name for option in WAYS}
    searches = {"grid", "random", "qmc", "tpe", "gp", "cmaes", "sensitivity", "zoom"}
    assert names == {*searches, "asha", "hyperband", "bohb", "pbt", "default"}


@pytest.mark.parametrize("option", WAYS, ids=name_of)
def test_a_way_to_sweep_describes_itself_and_is_taken(option: Option) -> None:
    assert 10 <= len(option.description) <= 110
    assert not option.description.endswith(".")
    assert set(option.keys) == set(DEFAULT_WAY.keys)
    found = sweep_settings([f"sweep={option.name}"])
    assert found.option == option.name
    assert option.name in (found.search, found.scheduler, "bohb", "default")
    if option.name != "default":
        assert re.search(
            r"\d{4}|range\(|sweep\.", option.path.read_text().splitlines()[1]
        )  # a source, or how it is used


def problems_of(option: Option, key: str, value: object) -> list[object]:
    """What the rule of `key` has against `value`."""
    _, problems = rules.checked(key, value, rule=option.rules.get(key, {}), default=option.defaults[key])
    return list(problems)


def range_problems(option: Option) -> list[object]:
    """What is wrong with the option's search ranges: their form, their order, values that the rules refuse."""
    found: list[object] = []
    for key, space in option.space.items():
        values = space.get("choices") or [space["low"], space["high"]]
        found += [problem for value in values for problem in problems_of(option, key, value)]
        found += [] if _well_formed(space) else [f"{key}: {space}"]
    return found


def _well_formed(space: dict[str, Any]) -> bool:
    also = {"prior", "confidence", "if"}
    believes = space.get("confidence", "medium") in {"low", "medium", "high"} and _conditions_are(space.get("if", {}))
    if "choices" in space:
        known = "prior" not in space or space["prior"] in space["choices"]
        return set(space) <= {"choices", *also} and len(space["choices"]) > 1 and known and believes
    scale, width = space.get("scale", "linear"), space["high"] - space["low"]
    return (
        set(space) <= {"low", "high", "scale", "step", *also}
        and scale in {"linear", "log"}
        and (scale == "linear" or space["low"] > 0)
        and space["low"] < space["high"]
        and 0 < space.get("step", width) <= width
        and space["low"] <= space.get("prior", space["low"]) <= space["high"]
        and believes
    )


def _conditions_are(asked: object) -> bool:
    """Whether `if` names keys of shipped options: `{schedule.mode: exp_range}` or `schedule.mode=exp_range`."""
    named = [asked.partition("=")[0]] if isinstance(asked, str) else list(asked)  # type: ignore[call-overload]
    options = [option for group in GROUPS for option in collect(group)]
    known = {*GROUPS, *(f"{option.group}.{key}" for option in options for key in option.keys)}
    return set(named) <= known
