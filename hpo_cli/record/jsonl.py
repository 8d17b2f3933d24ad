"""Files of one JSON object a line: strict when written, tolerant when read.

Lines are pure ASCII, so a write that was cut short can only lose the end of its own line.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo_cli.record.links import NO_FOLLOW, refuse_link

Row = dict[str, Any]


@dataclass(frozen=True)
class Lines:
    """What a file of JSON lines holds. rows: the whole objects, in order; set_aside: all other lines."""

    rows: tuple[Row, ...]
    set_aside: tuple[str, ...]


def encode(row: Row) -> bytes:
    """One line of strict JSON with its newline; numbers that are not finite become null, arrays lists."""
    try:
        text = _ENCODER.encode(row)
    except ValueError:
        text = _ENCODER.encode(finite(row))
    return text.encode("ascii") + b"\n"


def decode(content: bytes) -> Lines:
    """The objects in `content`; empty lines are skipped, what is torn or no object is set aside."""
    rows: list[Row] = []
    set_aside: list[str] = []
    for line in content.split(b"\n"):
        row = parse(line)
        if row is not None:
            rows.append(row)
        elif line.strip():
            set_aside.append(line.decode("utf-8", "backslashreplace"))
    return Lines(tuple(rows), tuple(set_aside))


def parse(line: bytes) -> Row | None:
    """The JSON object in `line`, or None where it holds none. NaN and Infinity are read as null."""
    try:
        value = _decode(line.decode())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def finite(value: object) -> object:
    """`value` with every number that is not finite as None, and everything in types that JSON knows."""
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    return finite(_plain(value))


def open_lines(path: Path | str) -> int:
    """A descriptor that appends to `path`; a last line that was cut short is ended first, never merged.

    Raises UserError where `path` is a symbolic link.
    """
    refuse_link(path)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | NO_FOLLOW | getattr(os, "O_CLOEXEC", 0), 0o666)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            os.write(descriptor, b"\n")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def write_whole(descriptor: int, content: bytes | bytearray) -> None:
    """Writes all of `content`, in as many system calls as that takes."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy's arrays and scalars, tensors
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON: {value!r}")


_ENCODER = json.JSONEncoder(allow_nan=False, default=_plain, separators=(", ", ": "))
_decode = json.JSONDecoder(parse_constant=lambda _: None).decode
