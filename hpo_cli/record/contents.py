"""The files of a run's folder, read with distrust: what is missing is told from what is damaged."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from hpo_cli.record import folder, jsonl

if TYPE_CHECKING:
    from pathlib import Path

Values = dict[str, Any]

ENDED = ("finished", "failed", "interrupted", "stopped")
FIRST_READ = 1 << 16
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)  # a pipe in a file's place must not hold the reader


class DamagedError(Exception):
    """A file of a run's folder is not what it has to be; the text says which and why."""


def read_result(path: str | Path) -> Values | None:
    """`result.json` of a run, None while there is none. Raises DamagedError."""
    content = read_file(os.fspath(path), folder.RESULT)
    if content is None:
        return None
    result = jsonl.parse(content)
    if result is None or result.get("status") not in ENDED:
        raise DamagedError(f"{folder.RESULT} is not a result")
    return result


def read_plan(path: str | Path) -> Values:
    """`plan.yaml` of a run as nested dicts. Slow, as YAML is. Raises DamagedError."""
    import yaml

    content = read_file(os.fspath(path), folder.PLAN)
    if content is None:
        raise DamagedError(f"{folder.PLAN} is missing")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        plan = yaml.load(content, Loader=loader)  # noqa: S506 - both are safe loaders
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DamagedError(f"{folder.PLAN} is not YAML") from error
    if not isinstance(plan, dict):
        raise DamagedError(f"{folder.PLAN} is not a plan")
    return plan


def read_file(place: str, file: str, *, size: int | None = None) -> bytes | None:
    """The content of a file in a run's folder, at most `size` bytes of it; None where there is no file."""
    try:
        descriptor = os.open(place + os.sep + file, os.O_RDONLY | _NO_WAIT)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DamagedError(f"{file}: {error.strerror}") from error
    try:
        content = _read_up_to(descriptor, size)
    except OSError as error:
        raise DamagedError(f"{file}: {error.strerror}") from error
    finally:
        os.close(descriptor)
    if not content:
        raise DamagedError(f"{file} is empty")
    return content


def _read_up_to(descriptor: int, size: int | None) -> bytes:
    content = os.read(descriptor, size or FIRST_READ)
    if size is None and len(content) == FIRST_READ:
        while more := os.read(descriptor, 1 << 20):
            content += more
    return content


def words(value: object) -> tuple[str, ...]:
    """A list of words from outside; empty when it is none."""
    return tuple(str(word) for word in value) if isinstance(value, list) else ()


def mapping(value: object) -> Values:
    """A mapping from outside; empty when it is none."""
    return value if isinstance(value, dict) else {}


def text(value: object) -> str:
    """A string from outside; empty when it is none."""
    return value if isinstance(value, str) else ""


def count(value: object) -> int | None:
    """A whole number from outside; None when it is none."""
    return value if type(value) is int else None
