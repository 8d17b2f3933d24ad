"""Checks one config value against its rule: its type, its limits, its choices.

A rule is data, written beside the key in the option file: `lr: {above: 0}`. Its words are `type` (int, float, bool,
str, list; without it the type of the default), `min`, `max`, `above`, `below`, `one_of`, `each` (a rule for the
elements of a list), `length`, `nullable`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hpo_cli.errors import Problem, did_you_mean

Rule = Mapping[str, Any]

LARGEST_WHOLE = 2**63 - 1
"""What a 64-bit integer of numpy or torch holds."""

_ARTICLES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "list": "a list",
    "dict": "a mapping",
}
_FORMS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "type": (str, "a type word"),
    **dict.fromkeys(("min", "max", "above", "below"), ((int, float), "a number")),
    "one_of": (list, "a list"),
    "each": (dict, "a rule"),
    "length": (int, "a whole number"),
    "nullable": (bool, "true or false"),
}
WORDS = frozenset(_FORMS)
_LIMITS = frozenset({"min", "max", "above", "below"})
_SCALAR_WORDS = _LIMITS | {"one_of"}


def type_of(default: object) -> str | None:
    """The type word of a default value; None when it says nothing (null, `???`, an interpolation)."""
    if default is None or (isinstance(default, str) and ("${" in default or default == "???")):
        return None
    return type(default).__name__


def checked(key: str, value: object, *, rule: Rule, default: object = None) -> tuple[Any, list[Problem]]:
    """`value` in its proper type (a whole number becomes a float where one is due) and the problems found with it."""
    kind = rule.get("type") or type_of(default)
    if value is None and not rule.get("nullable") and (rule or default is not None):
        return None, [Problem(key, _expected(kind, rule), value=None)]
    if value is None:
        return None, []
    converted = _convert(value, kind)
    if converted is _WRONG:
        fix = f"write {key}=[{value}]" if kind == "list" and isinstance(value, (str, int, float)) else ""
        return value, [Problem(key, f"must be {_ARTICLES.get(str(kind), kind)}", fix, value)]
    if isinstance(converted, list) and not rule.keys() & _SCALAR_WORDS:
        return _checked_list(key, converted, rule=rule, default=default)
    broken = _broken_limit(converted, rule)
    return converted, [Problem(key, broken, _near(converted, rule), value)] if broken else []


_WRONG = object()


def _convert(value: object, kind: str | None) -> object:
    if kind is None:
        return value
    if kind == "float":
        return _as_float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else _WRONG
    if kind == "int" and isinstance(value, float) and value.is_integer():
        return int(value)
    return value if type(value).__name__ == kind else _WRONG


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number beyond 1.8e308
        return math.inf if value > 0 else -math.inf


def _checked_list(key: str, values: list[Any], *, rule: Rule, default: object) -> tuple[Any, list[Problem]]:
    problems: list[Problem] = []
    if "length" in rule and len(values) != rule["length"]:
        problems.append(Problem(key, f"must have {rule['length']} elements", value=values))
    element = default[0] if isinstance(default, list) and default else None
    each = {"nullable": False, **rule.get("each", {})}
    kept = []
    for index, value in enumerate(values):
        item, wrong = checked(f"{key}[{index}]", value, rule=each, default=element)
        kept.append(item)
        problems.extend(wrong)
    return kept, problems


def _broken_limit(value: Any, rule: Rule) -> str:
    if "one_of" in rule and value not in rule["one_of"]:
        return _expected(None, rule)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return _expected("float", rule) if rule.keys() & _LIMITS else ""
    if isinstance(value, float) and not math.isfinite(value):
        return "must be a finite number"
    if abs(value) > LARGEST_WHOLE and isinstance(value, int):
        return f"must be at most {LARGEST_WHOLE} in size"
    inside = (
        value >= rule.get("min", -math.inf)
        and value <= rule.get("max", math.inf)
        and value > rule.get("above", -math.inf)
        and value < rule.get("below", math.inf)
    )
    return "" if inside else _expected(None, rule)


def _expected(kind: str | None, rule: Rule) -> str:
    words = {"above": "above", "min": "at least", "below": "below", "max": "at most"}
    limits = [f"{text} {rule[word]}" for word, text in words.items() if word in rule]
    if "one_of" in rule:
        return f"must be one of {', '.join(map(str, rule['one_of']))}"
    if limits:
        return "must be " + " and ".join(limits)
    return f"must be {_ARTICLES.get(str(kind), 'given')}"


def _near(value: object, rule: Rule) -> str:
    return did_you_mean(value, map(str, rule["one_of"])) if isinstance(value, str) and "one_of" in rule else ""


def broken_rule(rule: object) -> str:
    """What is wrong with a rule itself, empty when nothing is: an unknown word, or a word with a wrong value."""
    if not isinstance(rule, dict):
        return "must be a mapping such as {above: 0}"
    for word, value in rule.items():
        if word not in _FORMS:
            return f"has no word {word} ({', '.join(_FORMS)}) {did_you_mean(str(word), _FORMS)}".rstrip()
        form, text = _FORMS[word]
        if not isinstance(value, form) or (isinstance(value, bool) and form is not bool):
            return f"{word} must be {text}"
        if word == "type" and value not in _ARTICLES:
            return f"type must be one of {', '.join(_ARTICLES)}"
        if word == "each" and (inner := broken_rule(value)):
            return f"each: {inner}"
    return ""
