"""One run's folder read into one record, in as few reads as possible; a damaged one gives a record too."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from hpo_cli.record import folder, jsonl, ledger, metrics
from hpo_cli.record.contents import (
    ENDED,
    FIRST_READ,
    DamagedError,
    Values,
    count,
    mapping,
    read_file,
    read_result,
    text,
    words,
)
from hpo_cli.record.lease_file import LeaseState, lease_path, read_lease
from hpo_cli.record.metrics import number
from hpo_cli.record.process import is_from_an_earlier_boot

if TYPE_CHECKING:
    from collections.abc import Callable

Status = Literal[
    "finished", "failed", "interrupted", "stopped", "running", "paused", "running?", "died", "damaged", "not started"
]  # fmt: skip
"""`not started`: a folder that is ready, in which nobody has begun to train."""
_NO_TEXT = bytes([*range(9), *range(14, 32), 127])
_PLAN_PROBE = 512  # bytes
_LONGEST_CUT = 3  # bytes that a character may lose at the end of the probe
QUIET_S = 300.0  # a run that has written nothing for so long may have died
T = TypeVar("T")


@dataclass(frozen=True)
class Objective:
    """What a run is judged by. value: the best so far, None before the first or when it was never finite."""

    name: str
    mode: str
    value: float | None = None
    step: int | None = None


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run as its JSON files tell it. started: UTC, ISO 8601. best: {metric: {value, step}}.

    settings: lr, batch_size, epochs and seed as planned; steps and epochs: those done; damage: what is
    wrong when the status is `damaged`.
    """

    place: str
    id: str
    name: str
    status: Status
    started: str
    objective: Objective | None = None
    steps: int | None = None
    epochs: int | None = None
    seconds: float | None = None
    choices: dict[str, str] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    settings: Values = field(default_factory=dict)
    metrics: Values = field(default_factory=dict)
    best: Values = field(default_factory=dict)
    weights_sha256: str = ""
    damage: str = ""

    @property
    def path(self) -> Path:
        """The run's folder."""
        return Path(self.place)

    def to_json(self) -> Values:
        """All fields in types that JSON knows."""
        aim = vars(self.objective) if self.objective else None
        own = {"path" if key == "place" else key: value for key, value in vars(self).items()}
        return own | {"objective": aim, "overrides": list(self.overrides)}


def read_run(path: str | Path, *, now: float | None = None) -> RunRecord:
    """The record of the run in folder `path`. now: seconds since 1970, to tell quiet runs from live ones."""
    place = os.fspath(path)
    problems: list[str] = []
    started = _attempt(_read_started, place, problems) or {}
    result = _attempt(read_result, place, problems)
    _attempt(_probe_plan, place, problems)
    live = _attempt(partial(_read_live, now=now), place, problems) if result is None and not problems else None
    ended = result or live or {}
    status: Status = "damaged" if problems else ended["status"]
    parts = place.rsplit(os.sep, 2)
    return RunRecord(
        place=place,
        id=parts[-1],
        name=text(started.get("name")) or (parts[-2] if len(parts) > 1 else ""),
        status=status,
        started=text(started.get("at")) or _changed_at(place),
        objective=_objective(mapping(started.get("objective")), mapping(ended.get("objective"))),
        steps=count(ended.get("steps")),
        epochs=count(ended.get("epochs")),
        seconds=number(ended.get("seconds")),
        choices={group: str(option) for group, option in mapping(started.get("choices")).items()},
        overrides=words(started.get("overrides")),
        settings={key: started[key] for key in ("lr", "batch_size", "epochs", "seed") if key in started},
        metrics=mapping(ended.get("metrics")),
        best=mapping(ended.get("best")),
        weights_sha256=text(ended.get("weights_sha256")),
        damage="; ".join(problems),
    )


def _attempt(read: Callable[[str], T], place: str, problems: list[str]) -> T | None:
    try:
        return read(place)
    except DamagedError as error:
        problems.append(str(error))
        return None


def _read_started(place: str) -> Values:
    """The `started` event: the first line, or a later one where the first is torn."""
    head = read_file(place, folder.LEDGER, size=FIRST_READ)
    if head is None:
        raise DamagedError(f"{folder.LEDGER} is missing")
    first, newline, _ = head.partition(b"\n")
    event = jsonl.parse(first) if newline else None
    if event is None or event.get("event") != "started":
        event = ledger.fold(ledger.decode_ledger(read_file(place, folder.LEDGER) or b"").events).started
    if event is None:
        raise DamagedError(f"{folder.LEDGER} has no started event")
    return event


def _probe_plan(place: str) -> None:
    """Whether `plan.yaml` looks like one: to parse every run's YAML would take a listing's whole time."""
    head = read_file(place, folder.PLAN, size=_PLAN_PROBE)
    if head is None:
        raise DamagedError(f"{folder.PLAN} is missing")
    cut = 0 if head.isascii() else len(head) - len(head.decode("utf-8", "ignore").encode())
    if b":" not in head or cut > _LONGEST_CUT or len(head.translate(None, _NO_TEXT)) < len(head):
        raise DamagedError(f"{folder.PLAN} is not a plan")


def _read_live(place: str, *, now: float | None) -> Values:
    """What is known of a run without a result: how it ended by its ledger, the steps and the best so far."""
    state = ledger.fold(ledger.decode_ledger(read_file(place, folder.LEDGER) or b"").events)
    try:
        rows = metrics.living_rows(read_file(place, folder.METRICS) or b"")
    except DamagedError:
        rows = []
    last = rows[-1] if rows else {}
    aim = mapping((state.started or {}).get("objective"))
    return {
        "status": status_of(state, place, now=now),
        "steps": max(state.step, count(last.get("step")) or 0),
        "epochs": last.get("epoch"),
        "metrics": {name: last[name] for name in metrics.names([last])},
        "objective": metrics.best_row(rows, aim.get("name"), mode=aim.get("mode")),
    }


def status_of(state: ledger.State, place: str | Path, *, now: float | None = None) -> Status:
    """How a run without a result is, by its ledger and its lease. now: seconds since 1970."""
    if state.status in ENDED:
        return state.status  # type: ignore[return-value]
    lease = read_lease(place)
    if _died(mapping(state.started)) if lease is None else _is_given_up(lease):
        return "died" if lease or state.has_begun else "not started"
    is_sure = lease is not None and lease.standing == "alive"
    if not is_sure and (time.time() if now is None else now) - _written(os.fspath(place), lease) > QUIET_S:
        return "running?" if lease or state.has_begun else "not started"
    return "paused" if state.paused or (lease is not None and lease.is_paused) else "running"


def _is_given_up(lease: LeaseState) -> bool:
    """Whether nobody trains any more, though no end was written down."""
    return lease.standing in ("dead", "released") or is_from_an_earlier_boot(lease.holder)


def _written(place: str, lease: LeaseState | None) -> float:
    paths = [place + os.sep + file for file in (folder.LEDGER, folder.METRICS)]
    beats = [] if lease is None else [str(lease_path(place + os.sep + folder.CONTROL, lease.generation))]
    return max(map(_changed, [*paths, *beats]))


def _died(started: Values) -> bool:
    """Whether the process that trained, on this machine, is no more."""
    pid, host = started.get("pid"), mapping(started.get("environment")).get("hostname")
    if not isinstance(pid, int) or host != socket.gethostname() or os.name == "nt":
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


def _changed(path: str) -> float:
    try:
        return os.stat(path).st_mtime  # noqa: PTH116 - strings, for speed over many runs
    except OSError:
        return 0.0


def _changed_at(place: str) -> str:
    return datetime.fromtimestamp(_changed(place), UTC).isoformat(timespec="microseconds")


def _objective(planned: Values, reached: Values) -> Objective | None:
    name = text(reached.get("name")) or text(planned.get("name"))
    mode = text(reached.get("mode")) or text(planned.get("mode"))
    if not name:
        return None
    return Objective(name, mode or "max", number(reached.get("value")), count(reached.get("step")))
