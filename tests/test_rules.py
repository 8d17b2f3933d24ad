"""One value against one rule: types, limits, choices, lists, null, and rules that are wrong themselves."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_cli import rules
from hpo_cli.options import GROUPS, list_options, main_config

NUMBERS = st.one_of(st.integers(), st.floats())
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def problem(value: object, rule: dict[str, Any], default: object = None) -> str:
    found = rules.checked("key", value, rule=rule, default=default)[1]
    return "; ".join(map(str, found))


def kept(value: object, rule: dict[str, Any], default: object = None) -> object:
    converted, found = rules.checked("key", value, rule=rule, default=default)
    assert found == []
    return converted


@pytest.mark.parametrize(
    ("rule", "good", "bad", "words"),
    [
        ({"min": 1}, [1, 2.5], [0.99, -math.inf, math.nan], "at least 1"),
        ({"max": 1}, [1, -5], [1.01, 2**63], "at most 1"),
        ({"above": 0}, [1e-300], [0, -1, -0.0], "above 0"),
        ({"below": 1}, [0.999], [1, 1.0], "below 1"),
        ({"min": 0, "below": 1}, [0, 0.5], [1, -0.1], "at least 0 and below 1"),
        ({"one_of": ["a", "b"]}, ["a"], ["c", "", 1, []], "one of a, b"),
        ({"type": "int"}, [3, -3, 2.0], [2.5, True, "3", None, [3]], "a whole number"),
        ({"type": "float"}, [3, 2.5], ["3", True, None], "a number"),
        ({"type": "bool"}, [True, False], [0, 1, "true"], "true or false"),
        ({"type": "str"}, ["", "x"], [1, None, True, ["x"]], "a text"),
        ({"type": "list"}, [[], [1]], ["x", None, 1], "a list"),
        ({"each": {"min": 0}}, [[0, 1], []], [[0, -1]], "key[1]=-1: must be at least 0"),
        ({"each": {"type": "str"}}, [["a"]], [["a", 1]], "key[1]=1: must be a text"),
        ({"length": 2}, [[1, 2]], [[1], []], "must have 2 elements"),
    ],
)
def test_each_word(rule: dict[str, Any], good: list[Any], bad: list[Any], words: str) -> None:
    assert [problem(value, rule) for value in good] == [""] * len(good)
    assert all(problem(value, rule) for value in bad)
    assert words in problem(bad[0], rule)


def test_every_word_is_tested_and_known() -> None:
    assert set(rules.WORDS) == {"type", "min", "max", "above", "below", "one_of", "each", "length", "nullable"}


def test_null_needs_leave() -> None:
    assert kept(None, {"nullable": True, "type": "int", "min": 1}) is None
    assert kept(None, {}) is None
    assert problem(None, {"min": 1}) == "key=null: must be at least 1"
    assert problem(None, {}, default=3) == "key=null: must be a whole number"
    assert problem(None, {}, default="???") == "key=null: must be given"
    assert problem([None], {"type": "list"}) != ""


def test_numbers_take_the_type_that_is_due() -> None:
    assert type(kept(1, {}, default=0.5)) is float
    assert type(kept(2.0, {}, default=1)) is int
    assert kept([1, 2.5], {"each": {"min": 0}}, default=[0.9, 0.99]) == [1.0, 2.5]
    assert kept("x", {}, default="${a.b}") == "x"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, -(10**400)])
def test_no_number_is_infinite(value: float) -> None:
    assert problem(value, {"type": "float"}) == f"key={rules_text(value)}: must be a finite number"


def rules_text(value: float) -> str:
    text = str(value)
    return text if len(text) <= 300 else f"{text[:300]}... ({len(text)} characters)"


@pytest.mark.parametrize("value", [2**63, -(2**63), 10**400, 1e300])
def test_no_whole_number_is_larger_than_64_bits_hold(value: float) -> None:
    assert "at most 9223372036854775807" in problem(value, {"type": "int"})
    assert kept(2**63 - 1, {"type": "int"}) == 2**63 - 1


def test_a_near_choice_is_named() -> None:
    assert problem("devise", {"one_of": ["device"]}) == "key=devise: must be one of device; did you mean device?"


@given(NUMBERS, NUMBERS)
def test_an_accepted_number_is_inside_and_equal(value: float, limit: float) -> None:
    if math.isnan(limit):
        return
    for word, inside in (("min", lambda: value >= limit), ("above", lambda: value > limit)):
        converted, found = rules.checked("key", value, rule={word: limit})
        if not found:
            assert inside()
            assert converted == value
        elif math.isfinite(value) and abs(value) < 2**63:
            assert not inside()


@given(ANYTHING, st.sampled_from(["int", "float", "bool", "str", "list"]))
def test_what_is_accepted_has_its_type_and_equals_what_was_given(value: object, kind: str) -> None:
    converted, found = rules.checked("key", value, rule={"type": kind})
    if not found:
        assert type(converted).__name__ == kind
        assert converted == value
        assert not isinstance(value, bool) or kind == "bool"


@given(ANYTHING, ANYTHING)
def test_no_value_and_no_default_make_it_stumble(value: object, default: object) -> None:
    rules.checked("key", value, rule={"min": 0, "each": {"max": 3}}, default=default)


@pytest.mark.parametrize(
    "rule",
    [
        5, None, {"abov": 0}, {"min": "x"}, {"min": True}, {"one_of": 3}, {"type": "flot"}, {"type": 3},
        {"each": 5}, {"each": {"abov": 0}}, {"length": "x"}, {"nullable": 1},
    ],
)  # fmt: skip
def test_a_broken_rule_is_told(rule: object) -> None:
    assert rules.broken_rule(rule)


def test_shipped_rules_are_sound() -> None:
    shipped = [main_config(), *(option for group in GROUPS for option in list_options(group).values())]
    found = [rule for option in shipped for rule in option.rules.values()]
    assert len(found) > 60
    assert [rules.broken_rule(rule) for rule in found] == [""] * len(found)
