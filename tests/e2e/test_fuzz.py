"""Random words: each is refused in plain lines, or it is in the config exactly as it was given."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from hpo_cli.errors import UserError
from hpo_cli.options import GROUPS, list_options, main_config
from hpo_cli.verbs.composing import Composed
from tests.command_line import compose_and_check

FREE = ("name", "tags", "outputs", "objective", "allow_targets")


def all_keys() -> Iterator[str]:
    for key, value in main_config().defaults.items():
        yield from [f"{key}.{inner}" for inner in value] if isinstance(value, dict) else [key]
    for group in GROUPS:
        yield group
        for option in list_options(group).values():
            yield from (f"{group}.{key}" for key in option.defaults if not key.startswith("- "))


KEYS = sorted(set(all_keys()))
OPTIONS = sorted({name for group in GROUPS for name in list_options(group)})
NUMBERS = st.one_of(st.integers(-3, 50), st.integers(), st.floats(), st.floats(0, 1))
QUOTED = st.text(max_size=8).map(lambda text: "'" + text.replace("\\", "").replace("'", "\\'") + "'")
SIMPLE = st.one_of(
    NUMBERS.map(str),
    st.sampled_from(
        ["true", "false", "null", "", "???", "relu", "group", "none", "val/loss", "${epochs}", "${lr}", "${nope}"]
    ),
    st.sampled_from(OPTIONS),
    QUOTED,
    st.text(max_size=6),
)
VALUES = st.one_of(
    SIMPLE,
    st.lists(SIMPLE, max_size=3).map(lambda items: f"[{','.join(items)}]"),
    st.dictionaries(st.sampled_from(["a", "lr", "keep_last"]), SIMPLE, max_size=2).map(
        lambda items: "{" + ",".join(f"{key}:{value}" for key, value in items.items()) + "}"
    ),
)
SETTINGS = st.tuples(st.sampled_from(["", "", "", "", "", "+", "++"]), st.sampled_from(KEYS), VALUES).map(
    lambda parts: f"{parts[0]}{parts[1]}={parts[2]}"
)
FITTING = st.one_of(
    st.sampled_from([f"{group}={name}" for group in GROUPS for name in list_options(group)]),
    st.builds("{}={}".format, st.sampled_from(["lr", "optimizer.eps", "regularization.l1"]), st.floats(1e-6, 10)),
    st.builds("{}={}".format, st.sampled_from(["epochs", "batch_size", "model.width", "seed"]), st.integers(1, 99)),
    st.builds("{}={}".format, st.sampled_from(["name", "tags", "outputs"]), VALUES),
    st.builds(
        "{}={}".format, st.sampled_from(["data.standardize", "trainer.compile"]), st.sampled_from(["true", "false"])
    ),
)
DELETIONS = st.sampled_from(KEYS).map("~{}".format)
STRANGE = st.one_of(
    st.text(max_size=12), st.sampled_from(KEYS).flatmap(lambda key: st.text(max_size=4).map(key.__add__))
)
WORDS = st.lists(st.one_of(SETTINGS, FITTING, FITTING, DELETIONS, STRANGE), max_size=4).filter(
    lambda words: not any(word.startswith("-") for word in words)
)


def check(words: list[str]) -> None:
    """Refused in lines that a terminal can show, or accepted with every word in its place."""
    try:
        found = compose_and_check(*words)
    except UserError as error:
        event("refused")
        lines = str(error).splitlines()
        assert lines
        assert all(line.isprintable() and line.strip() for line in lines)
        return
    event("accepted")
    overrides = [OverridesParser.create().parse_override(word) for word in words]
    last = {override.key_or_group: override for override in overrides}
    for override in last.values():
        assert_heeded(override, found, list(last))


def assert_heeded(override: Override, found: Composed, keys: list[str]) -> None:
    key, value = override.key_or_group, override.value()
    if override.is_delete():
        assert key == "experiment" or missing(found.composition.job, key), key
        return
    if key in GROUPS:
        expected = ",".join(value) if isinstance(value, list) else str(value)
        assert found.plan.choices[key] == expected
        return
    if any(other != key and other.startswith(f"{key}.") for other in keys):
        return  # a later word changed a part of it
    if key == "name" and value is None:
        return  # the default: the data's name
    assert same(at(found.composition.job, key), value), (key, at(found.composition.job, key), value)
    assert same(at(found.plan.config, key), value)


def at(config: Mapping[str, Any], key: str) -> Any:
    for part in key.split("."):
        config = config[int(part)] if isinstance(config, list) else config[part]  # type: ignore[assignment]
    return config


def missing(config: Mapping[str, Any], key: str) -> bool:
    try:
        at(config, key)
    except (KeyError, TypeError):
        return True
    return False


def same(found: object, given_value: object) -> bool:
    """Whether the config holds what was given, or its typed form: 1 may stand as 1.0, never as true or '1'."""
    if isinstance(given_value, Mapping):
        return isinstance(found, Mapping) and all(same(found[key], item) for key, item in given_value.items())
    if isinstance(given_value, list):
        return isinstance(found, list) and len(found) == len(given_value) and all(map(same, found, given_value))
    if isinstance(given_value, bool) or isinstance(found, bool) or given_value is None:
        return found is given_value
    if isinstance(given_value, (int, float)):
        return isinstance(found, (int, float)) and math.isclose(found, given_value, rel_tol=0, abs_tol=0)
    text = str(given_value.text) if hasattr(given_value, "text") else str(given_value)
    return "${" in text or found == text


BOUNDED = settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


@BOUNDED
@given(WORDS)
def test_random_words_are_refused_or_heeded(words: list[str]) -> None:
    check(words)


@BOUNDED
@given(st.lists(FITTING, min_size=1, max_size=4))
def test_random_words_of_the_right_kind_are_refused_or_heeded(words: list[str]) -> None:
    check(words)


@pytest.mark.slow
@settings(BOUNDED, max_examples=1500)
@given(WORDS)
def test_many_random_words_are_refused_or_heeded(words: list[str]) -> None:
    check(words)


def test_what_is_not_heeded_would_be_noticed() -> None:
    found = compose_and_check("lr=0.5")
    override = OverridesParser.create().parse_override("lr=0.25")
    with pytest.raises(AssertionError):
        assert_heeded(override, found, ["lr"])
    with pytest.raises(AssertionError):
        assert_heeded(OverridesParser.create().parse_override("optimizer=sgd"), found, ["optimizer"])
    with pytest.raises(AssertionError):
        assert_heeded(OverridesParser.create().parse_override("~lr"), found, ["lr"])
    assert not same(1, True)
    assert not same("1", 1)
    assert same(1.0, 1)
