"""Where runs and sweeps lie below a root. A sweep's trials are runs too, but nobody started them one by one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, NamedTuple

from hpo_cli.record.folder import LEDGER, PLAN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SWEEP = "sweep.jsonl"
"""The log of a sweep: a folder that has one is a sweep's."""
_DEPTH = 3  # root / name / sweep / run


class Place(NamedTuple):
    """A folder that holds a run, or a sweep with its trials in it."""

    path: str
    kind: Literal["run", "sweep"]


def places(root: Path | str) -> Iterator[Place]:
    """The runs and the sweeps at most three levels below `root`; links back into `root` are not followed.

    Trials are not among them: `runs_in` gives those of a sweep.
    """
    top = os.path.realpath(root)
    return _walk(os.fspath(root), top=top, depth=_DEPTH)


def walk(root: Path | str) -> Iterator[str]:
    """The folders of all runs below `root`, trials of sweeps included."""
    for place in places(root):
        if place.kind == "run":
            yield place.path
        else:
            yield from runs_in(place.path)


def runs_in(sweep: Path | str) -> Iterator[str]:
    """The folders of a sweep's runs, in no order."""
    try:
        with os.scandir(sweep) as entries:
            found = [entry.path for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:
        return
    yield from (path for path in found if _is_run(path))


def is_sweep(folder: Path | str) -> bool:
    """Whether `folder` is a sweep's."""
    return os.path.exists(f"{os.fspath(folder)}{os.sep}{SWEEP}")  # noqa: PTH110 - strings, for speed over many runs


def _walk(place: str, *, top: str, depth: int) -> Iterator[Place]:
    if _is_run(place):
        yield Place(place, "run")
        return
    if is_sweep(place):
        yield Place(place, "sweep")
        return
    try:
        with os.scandir(place) as entries:
            found = list(entries) if depth else []
    except OSError:
        return
    for entry in found:
        if _leads_on(entry, top):
            yield from _walk(entry.path, top=top, depth=depth - 1)


def _is_run(place: str) -> bool:
    exists = os.path.exists  # strings, not paths, for speed over many runs
    return exists(f"{place}{os.sep}{LEDGER}") or exists(f"{place}{os.sep}{PLAN}")


def _leads_on(entry: os.DirEntry[str], top: str) -> bool:
    if entry.name.startswith(".") or not entry.is_dir():
        return False
    return not (entry.is_symlink() and os.path.realpath(entry.path).startswith(top))
