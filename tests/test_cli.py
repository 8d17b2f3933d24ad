"""The entry point: verbs, exit codes, and where results and errors go."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from hpo_cli import __version__, cli
from hpo_cli.errors import RunFailedError, UserError
from hpo_cli.verbs import train
from tests.command_line import call, child, refuse_in_one_line


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("HPO_RUN_OUTPUTS", "HYDRA_FULL_ERROR"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_a_module_and_its_own_help(verb: str) -> None:
    assert callable(importlib.import_module(f"hpo_cli.verbs.{verb.replace('-', '_')}").main)
    answer = call(verb, "--help")
    assert answer.code == 0
    assert f"hpo-run {verb}" in answer.out
    assert answer.err == ""


@pytest.mark.parametrize(
    ("word", "meant"), [("lss", "ls"), ("shw", "show"), ("curve", "curves"), ("dif", "diff"), ("chek", "check")]
)
def test_an_unknown_verb_names_what_was_meant(word: str, meant: str) -> None:
    line = refuse_in_one_line(word)
    assert f"did you mean {meant}?" in line
    assert all(verb in line for verb in cli.VERBS)


def test_a_word_like_nothing_is_sent_to_the_help() -> None:
    assert refuse_in_one_line("zzzzzz").endswith("see hpo-run --help")


def test_the_version() -> None:
    assert call("--version").out == f"hpo-run {__version__}\n"


@pytest.mark.parametrize("error", [ValueError("a\nb"), KeyError("x"), RecursionError(), UserError("plain")])
def test_an_error_is_one_line_on_stderr(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(words: list[str]) -> int:
        raise error

    monkeypatch.setattr(train, "main", fail)
    answer = call("lr=1")
    assert answer.code == (2 if isinstance(error, UserError) else 1)
    assert len(answer.lines) == 1
    assert answer.out == ""


@pytest.mark.parametrize(("error", "code"), [(UserError("x"), 2), (RunFailedError("x"), 1), (KeyboardInterrupt(), 130)])
def test_exit_codes(monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int) -> None:
    def fail(words: list[str]) -> int:
        raise error

    monkeypatch.setattr(train, "main", fail)
    assert call("lr=1").code == code


def test_full_errors_are_shown_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Traceback" not in call("lr=-1").err
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    answer = call("lr=-1")
    assert answer.code == 2
    assert "Traceback" in answer.err
    assert "lr=-1: must be above 0" in answer.err
    assert answer.out == ""


def test_an_error_of_ours_is_raised_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(words: list[str]) -> int:
        raise KeyError("ours")

    monkeypatch.setattr(train, "main", fail)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(KeyError):
        call("lr=1")


def test_what_a_user_typed_cannot_command_the_terminal() -> None:
    for word in ("\x1b[31mred", "name=\x1b[31mred", "\x1b]0;x=3", "lr=\x07"):
        assert "\x1b" not in call(word).err
        assert "\x07" not in call(word).err


def test_the_process_ends_with_the_code_and_keeps_the_streams_apart(tmp_path: Path) -> None:
    answer = child("lr=-1", cwd=tmp_path)
    assert (answer.code, answer.out) == (2, "")
    assert answer.lines == ["lr=-1: must be above 0"]
    assert child("--version", cwd=tmp_path).code == 0
    assert list(tmp_path.iterdir()) == []
