"""The sweeps below a root: listing them, newest first, and finding the one that a person means."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from hpo_cli.errors import UserError, did_you_mean
from hpo_cli.record import jsonl
from hpo_cli.record.contents import FIRST_READ, DamagedError, read_file, text
from hpo_cli.record.folder import is_run
from hpo_cli.record.places import SWEEP, Place, is_sweep, places
from hpo_cli.record.reading import RunRecord, read_run
from hpo_cli.record.sweep_record import BEST, SweepRecord, read_best, read_sweep_record

__all__ = [
    "BEST", "SWEEP", "SweepNoRunError", "SweepRecord", "best_run", "find_sweep", "is_sweep", "newest_sweep", "no_run",
    "read_best", "read_place", "read_sweep_record", "scan_sweeps", "started", "sweeps_in",
]  # fmt: skip

_SHOWN = 8


def sweeps_in(root: Path | str) -> Iterator[str]:
    """The folders of the sweeps below `root`."""
    return (place.path for place in places(root) if place.kind == "sweep")


def read_place(place: Place) -> RunRecord | SweepRecord:
    """The record of a run or of a sweep."""
    return read_run(place.path) if place.kind == "run" else read_sweep_record(place.path)


def scan_sweeps(root: Path | str) -> list[SweepRecord]:
    """The sweeps below `root`, newest first."""
    records = map(read_sweep_record, sweeps_in(root))
    return sorted(records, key=lambda record: (record.started, record.id), reverse=True)


def best_run(sweep: Path, *, ref: str = "") -> Path:
    """The folder of the best run of a sweep, by its best.json. ref: as it was typed. Raises UserError."""
    name = text(read_best(sweep).get("run"))
    if not name:
        raise UserError(
            f"{ref or sweep.name}: no trial has a value yet; `hpo-run show {sweep.name}` tells how far it is"
        )
    found = sweep / Path(name).name
    if not is_run(found):
        raise UserError(
            f"{ref or sweep.name}: its best run {found} is gone; `hpo-run ls {sweep.name}` lists the others"
        )
    return found


def find_sweep(ref: str, root: Path | str) -> Path:
    """The folder of the sweep meant: a path, an id, a unique beginning of one, or `last`. Raises UserError."""
    if ref and ref != "last" and is_sweep(ref):
        return _named(Path(ref))
    found = sorted(map(Path, sweeps_in(root)))
    if not found:
        raise UserError(
            f"{root}: no sweeps here yet; `hpo-run -m lr=1e-2,1e-3` makes one; --outputs DIR names another folder"
        )
    if ref == "last":
        return max(found, key=started)
    wanted = ref.rstrip("/")
    exact = [place for place in found if place.name == wanted]
    fits = exact or [place for place in found if wanted and _known_as(place, root, wanted).startswith(wanted)]
    if len(fits) == 1:
        return fits[0]
    raise _ambiguous(ref, fits) if fits else _not_found(ref, root, found)


def newest_sweep(root: Path | str) -> Path | None:
    """The sweep that was begun last, if there is any."""
    return max(map(Path, sweeps_in(root)), key=started, default=None)


def started(sweep: Path) -> str:
    """When a sweep was begun: UTC, ISO 8601; empty where its log does not tell."""
    try:
        head = read_file(os.fspath(sweep), SWEEP, size=FIRST_READ) or b""
    except DamagedError:
        return ""
    line = head.partition(b"\n")[0]
    event = jsonl.parse(line) or {}
    if event:
        return text(event.get("at"))
    at = line.partition(b'"at": "')[2].partition(b'"')[0]  # a beginning too long for one reading
    return at.decode("ascii", "replace")


class SweepNoRunError(UserError):
    """A sweep was named where a run is due. sweep: its folder."""

    def __init__(self, said: str, sweep: Path) -> None:
        super().__init__(said)
        self.sweep = sweep


def no_run(ref: str, sweep: Path) -> SweepNoRunError:
    """What is said to whoever gives a sweep where a run is due."""
    what = f"{ref}: a sweep, not a run" if ref != "last" else f"last: the newest is the sweep {sweep.name}, not a run"
    its = f"best:{sweep.name} is its best run, {sweep.name}-1 its first trial"
    return SweepNoRunError(f"{what}; {its}; `hpo-run show {sweep.name}` tells of it", sweep)


def _named(path: Path) -> Path:
    return path if path.name not in {"", ".."} else path.resolve()


def _known_as(place: Path, root: Path | str, wanted: str) -> str:
    return place.relative_to(root).as_posix() if "/" in wanted else place.name


def _ambiguous(ref: str, fits: list[Path]) -> UserError:
    shown = ", ".join(f"{place.name} ({place.parent.name})" for place in fits[:_SHOWN])
    more = f" and {len(fits) - _SHOWN} more" if len(fits) > _SHOWN else ""
    return UserError(f"{ref}: fits {len(fits)} sweeps: {shown}{more}; type more of the id, or the path")


def _not_found(ref: str, root: Path | str, found: list[Path]) -> UserError:
    trial_of = next((place.name for place in found if ref.startswith(f"{place.name}-")), None)
    of_name = [place.name for place in found if place.parent.name == ref]
    if trial_of:
        return UserError(f"{ref}: a trial of the sweep {trial_of}; give the sweep")
    if of_name:
        return UserError(f"{ref}: a name, and sweeps go by their id: {', '.join(of_name[:_SHOWN])}")
    if ref and is_run(ref):
        return UserError(f"{ref}: a run, not a sweep; `hpo-run show {ref}` tells of it")
    guess = did_you_mean(ref, [*(place.name for place in found), "last"])
    return UserError(
        f"{ref or 'SWEEP'}: no such sweep in {root}; {guess or '`hpo-run ls` lists them, `last` is the newest'}"
    )
