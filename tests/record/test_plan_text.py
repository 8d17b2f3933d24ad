"""plan.yaml as libyaml writes it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import yaml

from hpo_cli.record.start import plan_text
from tests.engine.plans import plan

STRANGE = (
    *("", " ", "a: b", "# no comment", "null", "~", "yes", "1e-3", "1_000", "0x1f", "2026-01-01", "a\nb\n", "'"),
    *("\ttab", "ü", "日本", "\U0001f43c", "x" * 200, "many words " * 30, "- a", "{a}", "[a", "%", "@", "`", "!x", "&a"),
    *('"', "*a", "a\\b", "trailing ", "\x85", "\u2028", "\x1b[31m", "a #b", "?", ": ", "|", ">"),
)  # fmt: skip


def _slow(value: dict[str, Any]) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)


@pytest.mark.parametrize(
    "words",
    [(), ("model=resnet", "data=cifar10", "augment=standard"), ("model=lstm", "schedule=cosine", "loss=focal")],
    ids=" ".join,
)  # fmt: skip
def test_a_plan_has_the_bytes_that_it_always_had(words: tuple[str, ...]) -> None:
    made = plan(*words)
    assert plan_text(made) == _slow(made.to_dict())


@pytest.mark.parametrize("text", STRANGE, ids=ascii)
def test_strange_words_are_read_back_as_they_were(text: str) -> None:
    made = plan()
    strange = dataclasses.replace(made, config={**made.config, "name": text, "tags": [text, 1e-7, 1e22, None, True]})
    found = yaml.safe_load(plan_text(strange))
    assert (found["name"], found["tags"]) == (text, [text, 1e-7, 1e22, None, True])
