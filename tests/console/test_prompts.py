from typing import Any

import pytest

from hpo_cli.console.keys import keys_in
from hpo_cli.console.prompts import Intent, Prompt, Step, keys, press, said
from hpo_cli.errors import UserError


def prepare(verb: str, typed: str) -> Intent:
    if "bad" in typed:
        raise UserError(f"{typed}: is no key\nof this run")
    return Intent(verb, {"typed": typed}, f"{verb} {typed}".strip())


def after(*pressed: str, start: Prompt | None = None, ended: str = "") -> Step:
    step = Step(start or Prompt())
    for key in pressed:
        step = press(step.prompt, key, prepare=prepare, ended=ended)
    return step


def text(prompt: Prompt) -> str:
    return "".join(span.text for span in said(prompt)).strip()


def test_a_nudge_is_typed_shown_asked_and_only_then_sent() -> None:
    typed = after("n", *"lr/=4", "backspace", "3")
    assert text(typed.prompt).startswith("nudge  lr/=3")
    asked = after("enter", start=typed.prompt)
    assert (asked.do, text(asked.prompt)) == ("nothing", "nudge lr/=3 ? (y/n)")
    sent = after("y", start=asked.prompt)
    assert sent.do == "send"
    assert sent.prompt.intent == Intent("nudge", {"typed": "lr/=3"}, "nudge lr/=3")


@pytest.mark.parametrize("key", ["p", "s"])
def test_keys_without_words_ask_at_once(key: str) -> None:
    step = after(key)
    assert (step.prompt.mode, step.do) == ("asking", "nothing")
    assert after(key, "y").do == "send"


@pytest.mark.parametrize("key", ["n", "N", "esc", "q"])
def test_anything_like_no_sends_nothing(key: str) -> None:
    step = after("s", key)
    assert (step.prompt.mode, step.do) == ("idle", "nothing")
    assert text(step.prompt) == "nothing was sent"


def test_other_keys_are_no_answer() -> None:
    assert after("s", "x", "enter").prompt.mode == "asking"


def test_a_refusal_stays_beside_what_was_typed() -> None:
    step = after("n", *"bad", "enter")
    assert (step.prompt.mode, step.prompt.typed, step.do) == ("typing", "bad", "nothing")
    assert text(step.prompt).endswith("refused  bad: is no key; of this run")
    assert "refused" not in text(after("!", start=step.prompt).prompt)


def test_letters_that_are_keys_elsewhere_can_be_typed() -> None:
    assert after("t", *"qpnst+-?").prompt.typed == "qpnst+-?"
    assert after("t", "q").do == "nothing"
    assert after("t", "a", "clear").prompt.typed == ""
    assert after("n", "esc").prompt == Prompt()
    assert after("n", "enter").prompt == Prompt()


@pytest.mark.parametrize("key", ["n", "p", "t", "r", "s"])
def test_on_a_run_that_has_ended_keys_explain_themselves(key: str) -> None:
    step = after(key, ended="this run has ended: hpo-run resume=3f9c12 lr=...")
    assert (step.prompt.mode, step.do) == ("idle", "nothing")
    assert text(step.prompt) == "this run has ended: hpo-run resume=3f9c12 lr=..."


@pytest.mark.parametrize(("key", "do"), [("q", "quit"), ("+", "zoom in"), ("-", "zoom out"), ("x", "nothing")])
def test_keys_of_the_view(key: str, do: str) -> None:
    assert after(key).do == do


def test_help_is_a_page_that_any_key_leaves() -> None:
    assert after("?").prompt.mode == "help"
    assert after("?", "n").prompt == Prompt()
    assert after("?", "q").do == "quit"


@pytest.mark.parametrize(
    "prompt", [Prompt(), Prompt(mode="typing", verb="nudge"), Prompt(mode="asking"), Prompt(mode="help")]
)
def test_the_row_of_keys_fits_80_columns(prompt: Prompt) -> None:
    assert len("".join(span.text for span in keys(prompt))) <= 80


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"n", ["n"]),
        (b"\x1b", ["esc"]),
        (b"\x1bq", ["esc", "q"]),
        (b"\x1b[A\x1b[1;5Cx\x1bOP", ["x"]),
        (b"a\x7f\r\n\x15\x08", ["a", "backspace", "enter", "enter", "clear", "backspace"]),
        ("ü".encode(), ["ü"]),
        (b"\x00\x01\xff", []),
    ],
)
def test_bytes_are_keys(content: bytes, expected: list[Any]) -> None:
    assert keys_in(content) == expected
