"""Everything that a run's folder tells about the run, for a page about it."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpo_cli.record import folder, ledger
from hpo_cli.record.contents import DamagedError, Values, count, mapping, read_file, read_plan, text, words
from hpo_cli.record.line import Line, is_adoption, living_line
from hpo_cli.record.metrics import best_of_each, read_metrics
from hpo_cli.record.places import is_sweep
from hpo_cli.record.reading import RunRecord, read_run

if TYPE_CHECKING:
    from pathlib import Path

_ERROR_LINES = 12
_PROGRAM = "hpo-run"


@dataclass(frozen=True, kw_only=True)
class RunDetails:
    """A run's record, its ledger, replayed, and what else lies in the folder.

    events: all of the ledger; line: what of them is in force; set_aside: ledger lines that are none; plan: None where
    it cannot be read; best: each metric's best, by the result or else by the rows; error: the last lines of
    error.txt; command: the words that made the run.
    """

    record: RunRecord
    state: ledger.State
    events: tuple[ledger.Event, ...]
    line: Line
    set_aside: tuple[str, ...]
    plan: Values | None
    best: Values
    error: tuple[str, ...]
    command: tuple[str, ...]
    cwd: str


def read_details(path: Path) -> RunDetails:
    """All about the run in folder `path`; what is damaged is empty, and `record.damage` says why."""
    record = read_run(path)
    events = _events(path)
    state = ledger.fold(events.events)
    started = mapping(state.started)
    return RunDetails(
        record=record,
        state=state,
        events=events.events,
        line=living_line(events.events),
        set_aside=events.set_aside,
        plan=_plan(path),
        best={name: row for name, row in (record.best or _best(record)).items() if _is_measured(name)},
        error=_error(path),
        command=words(started.get("command")) or (_PROGRAM, *record.overrides),
        cwd=text(started.get("cwd")),
    )


def command_line(details: RunDetails, *, cwd: str) -> str:
    """The shell command that makes this run again, from the folder `cwd`; a branch leaves its parent at its step again.

    Empty for a run that took other runs' states over: no command repeats that.
    """
    if any(map(is_adoption, details.line.chain)):
        return ""
    words = [word for word in details.command if not word.startswith("hydra.run.dir=")]  # a folder is made once
    words += _threads(details, words)
    words = _branching(details, words)
    command = " ".join(_quoted(word) for word in words)
    is_here = not details.cwd or os.path.realpath(details.cwd) == os.path.realpath(cwd)
    return command if is_here else f"cd {_quoted(details.cwd)} && {command}"


def _branching(details: RunDetails, words: list[str]) -> list[str]:
    """The words of a branch with the verb and the place: alone they would train from the start."""
    parent = mapping(mapping(details.state.started).get("parent"))
    path, step = text(parent.get("path")), count(parent.get("step"))
    if not path or step is None or parent.get("twin") or len(words) < 1 or any(_makes_children(one) for one in words):
        return words
    program, *rest = words
    partly = ["--partial"] if parent.get("partial") else []
    return [program, "branch", path, "--at", f"step={step}", *partly, *_without_flags(rest)]


def _makes_children(word: str) -> bool:
    return word in ("branch", "twin", "replay") or word.startswith("resume=")


def _without_flags(words: list[str]) -> list[str]:
    """A branch is composed with its parent's own folder of options."""
    flags = {place + more for place, word in enumerate(words) if word.startswith("--config-") for more in (0, 1)}
    return [word for place, word in enumerate(words) if place not in flags]


def _threads(details: RunDetails, words: list[str]) -> list[str]:
    """How many threads a trial computed with: its slot's, which one run alone would not choose."""
    number = count(mapping(details.state.data).get("threads"))
    is_trial = is_sweep(details.record.path.parent)
    is_said = any(word.startswith("trainer.threads=") for word in words)
    return [f"trainer.threads={number}"] if is_trial and number is not None and not is_said else []


def _quoted(word: str) -> str:
    """`word` as a shell reads it back; control characters in bash's $'...', so that they can be printed."""
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(_escaped(letter) for letter in word) + "'"


def _escaped(letter: str) -> str:
    if letter in "'\\":
        return f"\\{letter}"
    if letter.isprintable():
        return letter
    return "".join(f"\\{byte:03o}" for byte in letter.encode("utf-8", "surrogateescape"))


def _events(path: Path) -> ledger.Ledger:
    try:
        return ledger.decode_ledger(read_file(str(path), folder.LEDGER) or b"")
    except DamagedError:
        return ledger.Ledger((), ())


def _plan(path: Path) -> Values | None:
    try:
        return read_plan(path)
    except DamagedError:
        return None


def _is_measured(name: str) -> bool:
    return "/" in name  # `lr` is recorded too, but nobody asks for its best


def _best(record: RunRecord) -> Values:
    try:
        rows = read_metrics(record.path / folder.METRICS)
    except OSError:
        return {}
    known = {record.objective.name: record.objective.mode} if record.objective else {}
    return best_of_each(rows, modes=known)


def _error(path: Path) -> tuple[str, ...]:
    try:
        content = read_file(str(path), folder.ERROR) or b""
    except DamagedError:
        return ()
    return tuple(content.decode("utf-8", "replace").rstrip().splitlines()[-_ERROR_LINES:])
