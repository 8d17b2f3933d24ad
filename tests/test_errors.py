"""Errors are one line each, name key, value, rule and fix, and carry nothing that a terminal would obey."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_cli.errors import ConfigError, Problem, RunFailedError, UserError, did_you_mean, printable


def test_a_problem_names_key_value_rule_and_fix() -> None:
    assert str(Problem("lr", "must be above 0", "try lr=1e-3", -1.0)) == "lr=-1.0: must be above 0; try lr=1e-3"


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (None, "null"), ("", ""), ([1], "[1]"), (0, "0")])
def test_values_are_written_as_a_user_types_them(value: object, text: str) -> None:
    assert str(Problem("key", "rule", value=value)) == f"key={text}: rule"


def test_a_problem_without_a_value_or_a_fix_leaves_them_out() -> None:
    assert str(Problem("key", "rule")) == "key: rule"


def test_several_problems_are_one_line_each() -> None:
    error = ConfigError.of([Problem("a", "x"), Problem("b", "y\nz")])
    assert str(error).splitlines() == ["a: x", "b: y\\nz"]
    assert len(error.problems) == 2


def test_exit_codes() -> None:
    assert UserError.exit_code == ConfigError("k", rule="r").exit_code == 2
    assert RunFailedError.exit_code == 1


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_key_and_value_give_one_printable_line(key: str, value: str) -> None:
    line = str(Problem(key, "rule", "fix", value))
    assert line.isprintable()


def test_what_a_user_can_read_stays_as_it_is() -> None:
    assert printable("ünï — 数 'x' \\") == "ünï — 数 'x' \\"
    assert printable("a\x1b[31m\n") == "a\\x1b[31m\n"


def test_a_very_long_value_is_cut() -> None:
    line = str(Problem("lr", "rule", value="9" * 5000))
    assert len(line) < 400
    assert "5000 characters" in line


def test_did_you_mean() -> None:
    assert did_you_mean("adm", ["adam", "sgd"]) == "did you mean adam?"
    assert did_you_mean("", ["adam"]) == did_you_mean("zzz", ["adam"]) == did_you_mean("x", []) == ""
