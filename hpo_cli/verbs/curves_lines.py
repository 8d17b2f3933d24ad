"""The lines of runs as curves draw them: a run's own living rows, and what its parents lived before it branched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpo_cli.console.happenings import Happening, happenings
from hpo_cli.errors import UserError
from hpo_cli.record import metrics
from hpo_cli.record.contents import count, mapping, text
from hpo_cli.record.folder import LEDGER, METRICS, is_run
from hpo_cli.record.ledger import read_ledger
from hpo_cli.record.runs import read_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpo_cli.record.jsonl import Row
    from hpo_cli.record.ledger import Event
    from hpo_cli.record.runs import RunRecord

_DEEPEST = 64  # generations: a ledger from outside may name itself


@dataclass(frozen=True)
class DrawnRun:
    """A run to draw. rows: its living ones.   happened: what is marked on the x axis.

    until: drawn up to this step alone, as the past of a child; None for all of it.
    """

    record: RunRecord
    rows: list[Row]
    happened: tuple[Happening, ...] = ()
    until: int | None = None


@dataclass(frozen=True)
class _Parent:
    path: Path
    step: int


def drawn_run(path: Path, *, until: int | None = None) -> DrawnRun:
    """A run with its living rows, those after step `until` left out. Raises UserError."""
    try:
        rows = metrics.read_metrics(path / METRICS)
    except FileNotFoundError:
        rows = []
    except OSError as error:
        raise UserError(
            f"{path / METRICS}: cannot be read ({error.strerror}); `hpo-run show {path}` shows the rest"
        ) from None
    found = happenings(_events(path))
    if until is None:
        return DrawnRun(read_run(path), rows, found)
    past = [row for row in rows if row["step"] <= until]
    return DrawnRun(read_run(path), past, tuple(one for one in found if one.alive and one.step < until), until)


def ancestors(path: Path, *, shown: Sequence[Path]) -> list[DrawnRun]:
    """The pasts of a run, oldest first: each parent up to the step at which the next one branched.

    shown: runs that are drawn themselves; their pasts are not drawn again.   Parents that are gone are left out.
    """
    known = {one.resolve() for one in shown}
    found: list[DrawnRun] = []
    parent = _parent(path)
    while parent is not None and len(found) < _DEEPEST:
        if parent.path.resolve() in known:
            break
        known.add(parent.path.resolve())
        found.append(drawn_run(parent.path, until=parent.step))
        parent = _parent(parent.path)
    return found[::-1]


def _parent(path: Path) -> _Parent | None:
    """Where a run branched from, by its ledger; None for one that did not, and where the parent cannot be found."""
    started: Event = next((event for event in _events(path) if event["event"] == "started"), {})
    said = mapping(started.get("parent"))
    step = count(said.get("step"))
    if step is None:
        return None
    named, beside = text(said.get("path")), path.resolve().parent / (text(said.get("run")) or "?")
    places = [*([Path(text(started.get("cwd"))) / named, Path(named)] if named else []), beside]
    place = next((one for one in places if is_run(one)), None)
    return _Parent(place, step) if place else None


def _events(path: Path) -> Sequence[Event]:
    try:
        return read_ledger(path / LEDGER).events
    except OSError:
        return ()
