import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpo_cli.console import output
from hpo_cli.console.output import Span, line

LINES = [line(Span("run", "bold red"), "  größe …"), line("[not] markup :smile: 12")]


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def written(stream: io.StringIO) -> str:
    output.write(LINES, stream)
    return stream.getvalue()


def test_a_pipe_gets_plain_text() -> None:
    assert written(io.StringIO()) == "run  größe …\n[not] markup :smile: 12\n".replace("…", "~").replace(
        "größe", "größe"
    )


def test_a_terminal_gets_colours_and_the_words_as_they_are() -> None:
    text = written(Terminal())
    assert "\x1b[1;31m" in text
    assert "[not] markup :smile: 12" in text
    assert output.is_coloured(Terminal())


def test_no_color_leaves_bold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    text = written(Terminal())
    assert "\x1b[31m" not in text
    assert "1;31" not in text
    assert not output.is_coloured(Terminal())


def test_force_color_reaches_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[1;31m" in written(io.StringIO())


def test_a_dumb_terminal_is_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in written(Terminal())


def test_long_lines_are_not_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")
    stream = io.StringIO()
    output.write([line("word " * 30)], stream)
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_every_encoding_gets_something(encoding: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    output.write([line("字 … ü")], stream)
    expected = {"ascii": b"\\u5b57 ~ \\xfc\n", "latin-1": b"\\u5b57 ~ \xfc\n", "utf-8": "字 … ü\n".encode()}
    assert raw.getvalue() == expected[encoding]


def test_size_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tuple(output.size(io.StringIO())) == (80, 24)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "nonsense")
    assert tuple(output.size(io.StringIO())) == (100, 24)


def test_json_is_strict(capsys: pytest.CaptureFixture[str]) -> None:
    output.write_json({"a": float("nan"), "p": Path("/x")})
    output.write_json([{"a": float("inf")}, {"b": 1}])
    assert capsys.readouterr().out == '{\n  "a": null,\n  "p": "/x"\n}\n[\n{"a": null},\n{"b": 1}\n]\n'


def test_a_reader_that_has_gone_ends_it_quietly() -> None:
    code = "from hpo_cli.console.output import line, write\nwrite([line('x' * 100)] * 100_000)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stderr is not None
    os.read(child.stdout.fileno(), 10)
    child.stdout.close()
    assert child.stderr.read() == b""
    child.stderr.close()
    assert child.wait() == 0
