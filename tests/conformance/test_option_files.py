"""Every option file describes itself, names a target that takes its keys, and has rules and ranges that agree."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from hpo_cli import rules
from hpo_cli.components.activations import ACTIVATIONS
from hpo_cli.components.build import bound, resolve
from hpo_cli.components.init import DRAWS, Kinds
from hpo_cli.components.norms import NORMS
from hpo_cli.errors import ConfigError
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
    if "choices" in space:
        return set(space) == {"choices"} and len(space["choices"]) > 1
    scale = space.get("scale", "linear")
    positive = scale == "linear" or space["low"] > 0
    return (
        set(space) <= {"low", "high", "scale"}
        and scale in {"linear", "log"}
        and positive
        and space["low"] < space["high"]
    )
