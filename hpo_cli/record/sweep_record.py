"""A sweep read into one record: what it is, how far it is, whether anybody drives it, and its best."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from hpo_cli.record import jsonl
from hpo_cli.record.contents import DamagedError, Values, count, mapping, read_file, text, words
from hpo_cli.record.metrics import number
from hpo_cli.record.places import SWEEP
from hpo_cli.record.process import Process, is_from_an_earlier_boot, life_of
from hpo_cli.record.reading import QUIET_S, Objective, Status

BEST = "best.json"
"""The best trial of a sweep: {trial, run, setting, value, objective, mode}."""
_OVER = ("finished", "stopped", "failed")


@dataclass(frozen=True, kw_only=True)
class SweepRecord:
    """A sweep as its log and its best.json tell it. trials: proposed so far; done: of those, that never train again.

    total: as far as that is known.   best: the content of best.json, empty before there is one.
    seconds: how long processes drove it.   damage: what is wrong when the status is `damaged`.
    """

    place: str
    id: str
    name: str
    status: Status
    started: str
    words: tuple[str, ...] = ()
    objective: Objective | None = None
    best: Values = field(default_factory=dict)
    trials: int = 0
    done: int = 0
    failed: int = 0
    total: int | None = None
    seconds: float = 0.0
    damage: str = ""

    @property
    def path(self) -> Path:
        """The sweep's folder."""
        return Path(self.place)

    def to_json(self) -> Values:
        """All fields in types that JSON knows; `kind` tells it from a run."""
        aim = vars(self.objective) if self.objective else None
        own = {"path" if key == "place" else key: value for key, value in vars(self).items()}
        return {"kind": "sweep"} | own | {"objective": aim, "words": list(self.words)}


def read_sweep_record(place: str | Path, *, now: float | None = None) -> SweepRecord:
    """The record of the sweep in a folder; a damaged one has a record too. now: seconds since 1970."""
    folder = os.fspath(place)
    moment = time.time() if now is None else now
    try:
        events = jsonl.decode(read_file(folder, SWEEP) or b"").rows
    except DamagedError as error:
        return _damaged(folder, str(error))
    began = next((event for event in events if event.get("event") == "began"), None)
    if began is None:
        return _damaged(folder, f"{SWEEP} has no beginning")
    tally = _Tally.of(events)
    best = read_best(folder)
    aim = mapping(next(iter(began.get("aims") or ()), None))
    return SweepRecord(
        place=folder,
        id=os.path.basename(folder),  # noqa: PTH119 - a string, as for runs
        name=text(began.get("name")),
        status=standing(events, place=folder, now=moment),
        started=text(began.get("at")),
        words=words(began.get("words")),
        objective=Objective(text(aim.get("name")), text(aim.get("mode")) or "max", number(best.get("value")))
        if aim
        else None,
        best=best,
        trials=tally.trials,
        done=tally.done(len(began.get("inner") or ()) or 1),
        failed=tally.failed,
        total=_total(began, tally),
        seconds=_seconds(events, now=moment),
    )


def read_best(sweep: Path | str) -> Values:
    """The content of a sweep's best.json, empty where there is none yet."""
    try:
        content = read_file(os.fspath(sweep), BEST)
    except DamagedError:
        return {}
    return mapping(jsonl.parse(content)) if content else {}


def standing(events: Iterable[Values], *, place: str, now: float) -> Status:
    """How a sweep stands: whether a process drives it, and if none does, how that came. now: seconds since 1970."""
    joined: list[Values] = []
    has_begun = is_over = is_held = False
    for event in events:
        what = event.get("event")
        if what == "joined":
            joined, has_begun = [*joined, event], True
        elif what == "left":
            joined = [one for one in joined if one.get("who") != event.get("who")]
        elif what in ("held", "unheld"):
            is_held = what == "held"
        if what in ("joined", "proposed", "edited", "ordered", "adopting", "ended_sweep"):
            is_over = what == "ended_sweep"
    lives = {_life(one) for one in joined}
    if "alive" in lives:
        return "paused" if is_held else "running"
    if is_over:
        return "finished"
    if "unknown" in lives:
        return ("paused" if is_held else "running") if now - _changed(place) <= QUIET_S else "running?"
    return "died" if lives else "interrupted" if has_begun else "not started"


def _life(joined: Values) -> str:
    fields = mapping(joined.get("process")) or mapping(joined.get("who"))
    pid = count(fields.get("pid"))
    if pid is None:
        return "unknown"
    process = Process(pid=pid, **{key: text(fields.get(key)) for key in ("host", "boot", "namespace", "start")})
    return "dead" if is_from_an_earlier_boot(process) else life_of(process)


@dataclass
class _Tally:
    """How many trials there are, and how their runs ended last. ends: {trial: {run: status}}."""

    trials: int = 0
    ends: dict[object, dict[object, str]] = field(default_factory=dict)
    edited: Values = field(default_factory=dict)
    stopping: set[object] = field(default_factory=set)

    @classmethod
    def of(cls, events: Iterable[Values]) -> _Tally:
        tally = cls()
        for event in events:
            what = event.get("event")
            if what == "proposed":
                tally.trials += 1
            elif what in ("ended", "started"):
                status = text(event.get("status")) if what == "ended" else "running"
                tally.ends.setdefault(event.get("trial"), {})[event.get("run")] = status
            elif what == "stopping":
                tally.stopping.add(event.get("trial"))
            elif what == "edited":
                tally.edited = mapping(event.get("settings")) or tally.edited
        return tally

    def done(self, num_runs: int) -> int:
        """Trials whose runs are all over, or one of whose runs has failed."""
        return sum(self._is_over(trial, num_runs) for trial in self.ends.keys() | self.stopping)

    def _is_over(self, trial: object, num_runs: int) -> bool:
        found = self.ends.get(trial, {})
        ended = list(found.values())
        if "failed" in ended:
            return True
        if trial in self.stopping:
            return "running" not in ended
        return len(found) >= num_runs and all(status in _OVER for status in ended)

    @property
    def failed(self) -> int:
        return sum("failed" in runs.values() for runs in self.ends.values())


def _total(began: Values, tally: _Tally) -> int | None:
    settings = mapping(began.get("settings")) | tally.edited
    sizes = [count(began.get("size", began.get("total"))), count(settings.get("trials"))]
    known = [size for size in sizes if size is not None]
    return max(min(known), tally.trials) if known else None


def _seconds(events: Iterable[Values], *, now: float) -> float:
    """How long the sweep was driven: by those who left, and by the first of those who did not."""
    driven, there, last = 0.0, list[Values](), ""
    for event in events:
        last = text(event.get("at")) or last
        if event.get("event") == "joined":
            there.append(event)
        elif event.get("event") == "left":
            driven += number(event.get("seconds")) or 0.0
            there = [one for one in there if one.get("who") != event.get("who")]
    for event in there[:1]:
        end = datetime.fromtimestamp(now, UTC).isoformat() if _life(event) == "alive" else last
        driven += _between(text(event.get("at")), end)
    return driven


def _between(first: str, last: str) -> float:
    try:
        return max(0.0, (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def _changed(place: str) -> float:
    try:
        return os.stat(f"{place}{os.sep}{SWEEP}").st_mtime  # noqa: PTH116 - as for runs
    except OSError:
        return 0.0


def _damaged(folder: str, damage: str) -> SweepRecord:
    parts = folder.rsplit(os.sep, 2)
    return SweepRecord(
        place=folder,
        id=parts[-1],
        name=parts[-2] if len(parts) > 1 else "",
        status="damaged",
        started="",
        damage=damage,
    )
