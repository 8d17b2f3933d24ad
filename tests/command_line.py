"""How the tests call hpo-run: in this process where that is enough, in a process of its own where it is not."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from hpo_cli.cli import main
from hpo_cli.errors import UserError
from hpo_cli.verbs.composing import Composed, composed, composing_parser, read_words

REPOSITORY = Path(__file__).parent.parent
SMALL = ("trainer=cpu", "trainer.threads=1", "epochs=1")


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines of an error."""
        return self.err.splitlines()


def call(*words: str) -> Answer:
    """The command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(words)
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Answer(code, out.getvalue(), err.getvalue())


def refuse(*words: str, code: int = 2) -> str:
    """What the command says when it refuses: lines on stderr alone, no traceback, nothing internal."""
    answer = call(*words)
    assert answer.code == code, answer
    assert answer.out == "", answer.out
    assert answer.err.endswith("\n")
    assert "Traceback" not in answer.err
    assert "internal error" not in answer.err
    return answer.err.removesuffix("\n")


def refuse_in_one_line(*words: str, code: int = 2) -> str:
    """The same for a command with one mistake."""
    text = refuse(*words, code=code)
    assert "\n" not in text, text
    return text


@contextlib.contextmanager
def fast_yaml() -> Iterator[None]:
    """OmegaConf with the same YAML loader in C: a composition takes half the time."""
    slow = yaml.SafeLoader
    yaml.SafeLoader = yaml.CSafeLoader  # type: ignore[misc, assignment]
    try:
        yield
    finally:
        yaml.SafeLoader = slow  # type: ignore[misc]


def compose_and_check(*words: str) -> Composed:
    """What a run would start from, after every check that needs no building."""
    with fast_yaml():
        return composed(read_words(composing_parser("", about=""), words)[0])


def problems_of(*words: str) -> list[str]:
    """The lines that refuse these words; empty when they are accepted."""
    try:
        compose_and_check(*words)
    except UserError as error:
        return str(error).splitlines()
    return []


def child(*words: str, cwd: Path, code: str | None = None, **variables: str) -> Answer:
    """`python -m hpo_cli.cli` in a process of its own; with `code`, that Python program instead."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HPO_RUN_")}
    environment |= {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "200", **variables}
    command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "hpo_cli.cli"]
    done = subprocess.run(
        [*command, *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    return Answer(done.returncode, done.stdout, done.stderr)
