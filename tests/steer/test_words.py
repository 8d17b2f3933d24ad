"""Words of nudges taken apart, and answers put into lines."""

from __future__ import annotations

from typing import Any

import pytest

from hpo_cli.compose import parsed_value
from hpo_cli.errors import ConfigError
from hpo_cli.steer.answers import answer_lines
from hpo_cli.steer.words import split_word


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("lr=3e-4", ("lr", "=", "3e-4")), ("lr*=0.9", ("lr", "*=", "0.9")), ("lr/=3", ("lr", "/=", "3")),
        ("epochs+=20", ("epochs", "+=", "20")), ("epochs-=1", ("epochs", "-=", "1")), ("lr=-1", ("lr", "=", "-1")),
        ("loss.terms.a-b.weight=1", ("loss.terms.a-b.weight", "=", "1")), ("x.y==", ("x.y", "=", "=")),
        ("a=", ("a", "=", "")),
    ],
)  # fmt: skip
def test_words_are_taken_apart(word: str, parts: tuple[str, str, str]) -> None:
    assert tuple(split_word(word)) == parts


@pytest.mark.parametrize("word", ["", "lr", "=1", "+lr=1", "~lr", "++lr=1", "a b=1", "*=2", "lr 3", "-lr=1", "@a=1"])
def test_other_words_are_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="is no change of a knob"):
        split_word(word)


@pytest.mark.parametrize(
    ("text", "value"),
    [("3e-4", 3e-4), ("null", None), ("true", True), ("[0.9,0.99]", [0.9, 0.99]), ("cosine", "cosine"),
     ("'a b'", "a b"),
     ("{a:1}", {"a": 1}), ("-5", -5), ("", "")],
)  # fmt: skip
def test_values_are_read_as_hydra_reads_them(text: str, value: object) -> None:
    found = parsed_value("lr", text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1,2", "sweep"),
        ("range(1,3)", "sweep"),
        ("[1", "no value"),
        ("${lr}", "reference"),
        ("[${lr}]", "reference"),
        ("a=b", "no value"),
    ],
)
def test_values_that_are_none_are_refused(text: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=meant) as caught:
        parsed_value("optimizer.lr", text)
    assert str(caught.value).startswith("optimizer.lr=")


def answered(**fields: Any) -> list[str]:
    return answer_lines({"ok": True, "step": 5, "said": [], "knobs": {}, "lr": None, **fields})


def test_answers_in_lines() -> None:
    lr = {"lr": {"old": 0.001, "new": 0.0003}}
    assert answered(knobs=lr, lr=0.000287) == ["step 5: lr 0.001 -> 0.0003 (this step used 0.000287)"]
    assert answered(said=["step 4: lr a -> b"], knobs=lr, lr=0.1) == ["step 4: lr a -> b (this step used 0.1)"]
    both = lr | {"regularization.clip_norm": {"old": None, "new": 1.0}}
    assert answered(knobs=both, lr=0.1) == [
        "step 5: lr 0.001 -> 0.0003, regularization.clip_norm null -> 1.0 (this step used lr 0.1)"
    ]
    schedule = {"option": "linear", "_target_": "a.b", "rate": 1.0}
    assert answered(knobs={"schedule": {"old": None, "new": schedule}}) == ["step 5: schedule null -> linear rate=1.0"]
    assert answered() == ["done"]
    assert answered(ok=False, error="lr: a\nepochs: b") == ["lr: a", "epochs: b"]
    assert answered(ok=False) == ["refused, without a reason"]


def test_an_answer_cannot_command_the_terminal() -> None:
    assert answered(said=["a\x1b[31m\nb"]) == ["a\\x1b[31m b"]
    assert answered(ok=False, error="\x1b]0;x\x07") == ["\\x1b]0;x\\x07"]
    assert answered(said=3, knobs=4, lr="x") == ["done"]
