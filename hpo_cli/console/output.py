"""Where text goes: a terminal with colours, a pipe without, and every stream gets only what it can show.

NO_COLOR and FORCE_COLOR are obeyed. rich is imported for styled output alone: a piped listing starts faster.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING, Literal, NamedTuple, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

_ASCII = str.maketrans(
    {
        "…": "~",
        "·": "-",
        "→": ">",
        "─": "-",
        "│": "|",
        "└": "+",
        "┤": "+",
        "┬": "+",
        "┊": ":",
        "━": "=",
        "╌": ".",
        "•": "*",
        "▏": "_",
    }
)


class Span(NamedTuple):
    """A piece of a line. style: words of rich ("bold red"), or empty."""

    text: str
    style: str = ""


Line = tuple[Span, ...]
Style = Literal["auto", "plain"]


def line(*parts: str | Span) -> Line:
    """A line of plain words and spans."""
    return tuple(part if isinstance(part, Span) else Span(part) for part in parts)


def console(stream: TextIO | None = None) -> Console:
    """A rich console on `stream` (default: standard output) that writes just what it is given."""
    from rich.console import Console

    out = stream or sys.stdout
    return Console(file=out, highlight=False, markup=False, emoji=False, width=width(out))


def is_terminal(stream: TextIO | None = None) -> bool:
    """Whether a person reads along: the stream is a terminal that can do more than print."""
    out = stream or sys.stdout
    return out.isatty() and os.environ.get("TERM") != "dumb"


def is_styled(stream: TextIO | None = None) -> bool:
    """Whether spans keep their styles: in a terminal, or anywhere under FORCE_COLOR."""
    return is_terminal(stream) or _wants("FORCE_COLOR")


def is_coloured(stream: TextIO | None = None) -> bool:
    """Whether colours tell things apart."""
    return is_styled(stream) and not _wants("NO_COLOR")


def can_draw(stream: TextIO | None = None) -> bool:
    """Whether the stream's encoding has braille and box characters."""
    encoding = getattr(stream or sys.stdout, "encoding", None) or "ascii"
    return encoding.lower().replace("-", "").startswith("utf")


def width(stream: TextIO | None = None) -> int:
    """Columns to fill: those of the terminal, or 80 (or COLUMNS) where there is none."""
    return size(stream).columns


def size(stream: TextIO | None = None) -> os.terminal_size:
    """Columns and lines of the terminal, 80 x 24 where there is none; COLUMNS and LINES win."""
    if is_terminal(stream):
        return shutil.get_terminal_size()
    return os.terminal_size((_number("COLUMNS", 80), _number("LINES", 24)))


def write(lines: Iterable[Line], stream: TextIO | None = None, *, style: Style = "auto") -> None:
    """Prints lines, never wrapped. A reader that has gone (`| head`) ends the program quietly."""
    out = stream or sys.stdout
    try:
        styled = style == "auto" and is_styled(out)
        _write_styled(lines, out) if styled else _write_plain(lines, out)
        out.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
        raise SystemExit(0) from None


def write_json(value: object) -> None:
    """Prints `value` as strict JSON for another program; the elements of a list, one a line."""
    import json

    from hpo_cli.record.jsonl import encode, finite

    if isinstance(value, list):
        text = "[\n" + ",\n".join(encode(row).decode().rstrip() for row in value) + "\n]"
    else:
        text = json.dumps(finite(value), indent=2, allow_nan=False)
    write([line(text)], style="plain")


def cells(text: str) -> int:
    """Columns that `text` takes in a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _write_plain(lines: Iterable[Line], out: TextIO) -> None:
    whole = "".join("".join(span.text for span in one).rstrip() + "\n" for one in lines)
    out.write(encodable(whole, out))


def _write_styled(lines: Iterable[Line], out: TextIO) -> None:
    from rich.text import Text

    target = console(out)
    for one in lines:
        spans = [(encodable(span.text, out), span.style) for span in one]
        target.print(Text.assemble(*spans), soft_wrap=True)


def encodable(text: str, out: TextIO) -> str:
    """`text` in characters that the stream can show."""
    text = text if can_draw(out) else text.translate(_ASCII)
    encoding = getattr(out, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _wants(variable: str) -> bool:
    return bool(os.environ.get(variable))


def _number(variable: str, default: int) -> int:
    value = os.environ.get(variable, "")
    return int(value) if value.isdigit() and int(value) > 0 else default
