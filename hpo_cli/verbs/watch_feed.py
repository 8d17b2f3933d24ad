"""What a screen shows of a run, read from its folder again and again: only what was written since the last time."""

from __future__ import annotations

import os
import time
from collections import deque
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hpo_cli.console.dashboard import Knob, View
from hpo_cli.console.happenings import Happening, happenings
from hpo_cli.console.traces import Trace
from hpo_cli.console.waiting import waits
from hpo_cli.record import jsonl
from hpo_cli.record.contents import DamagedError, count, mapping, read_plan, text
from hpo_cli.record.folder import LEDGER, METRICS
from hpo_cli.record.lease import LeaseState, read_lease
from hpo_cli.record.ledger import Event, State, decode_ledger, fold
from hpo_cli.record.line import Line, living_line
from hpo_cli.record.living import living_rows
from hpo_cli.record.metrics import number
from hpo_cli.record.reading import status_of
from hpo_cli.steer.settings import Setting, hot_keys, settled, value_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hpo_cli.record.jsonl import Row

_SHOWN = ("train/loss", "val/loss", "lr", "train/grad_norm", "train/update_ratio")
_USUAL = {"batch.accumulate": 1, "optimizer.eps": 1e-8}  # not worth a line
_BEATS = 12  # of which the speed is the mean: about a minute


class Tail:
    """The bytes that are added to a file, whole lines at a time."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset, self._rest, self._file = path, 0, b"", 0

    def read(self) -> tuple[bytes, ...] | None:
        """The new lines; None when the file is another one or shorter than it was, which `read` then begins anew."""
        try:
            with self._path.open("rb") as file:
                found = os.fstat(file.fileno())
                if self._file and (found.st_ino != self._file or found.st_size < self._offset):
                    self._offset, self._rest, self._file = 0, b"", 0
                    return None
                self._file = found.st_ino
                file.seek(self._offset)
                content = file.read()
        except OSError:
            return ()
        self._offset += len(content)
        *lines, self._rest = (self._rest + content).split(b"\n")
        return tuple(lines)

    @property
    def consumed(self) -> int:
        """The bytes of the lines that were read."""
        return self._offset - len(self._rest)


class Feed:
    """A run's folder as it changes. `view` is cheap when little was written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._metrics, self._ledger_size = Tail(folder / METRICS), -1
        self._events: tuple[Event, ...] = ()
        self._plan: Setting | None = None
        self.setting: Setting | None = None
        self.line = Line()
        self._happenings: tuple[Happening, ...] = ()
        self._aim, self._mode = "", "max"
        self._names: tuple[str, ...] = _SHOWN
        self._went_back_at = 0.0
        self._speeds: deque[float] = deque(maxlen=_BEATS)
        self._beat = (0, 0)
        self._clear()

    def view(self) -> View:
        """What is known now."""
        self._read_ledger()
        self._read_metrics()
        state = fold(self._events)
        lease = read_lease(self.folder)
        fields = mapping(dict(lease.fields)) if lease else {}
        status = status_of(state, self.folder) if state.started else "damaged"
        is_live = status in ("running", "running?", "paused")
        started = mapping(state.started)
        done = max(self._told_step(lease), self._step) if is_live else max(self._step, state.step)
        total = count(fields.get("total"))
        return View(
            id=self.folder.name,
            name=text(started.get("name")) or self.folder.resolve().parent.name,
            status=status,
            why=_back(fields) if is_live and _back(fields) else _why(state),
            traces=dict(self._traces),
            aim=self._aim,
            mode=self._mode,
            best=self._best,
            best_step=self._best_step,
            happenings=self._happenings,
            knobs=self._knobs(),
            step=done,
            total=done if status == "finished" else total,
            epoch=self._told_epoch(fields, done) if is_live else self._epoch,
            epochs=count(fields.get("epochs")) or self._planned("epochs"),
            steps_per_second=self._speed(lease) if status in ("running", "running?") else None,
            waits=waits(self.line, self._plan.config if self._plan else None),
        )

    @property
    def rows(self) -> list[Row]:
        """The living rows, read anew."""
        return self._living()

    def _told_step(self, lease: LeaseState | None) -> int:
        """The step of the lease; 0 where its last beat is from before the run went back."""
        if lease is None or time.time() - lease.age_s < self._went_back_at:
            return 0
        return count(lease.fields.get("step")) or 0

    def _told_epoch(self, fields: Mapping[str, object], done: int) -> int | None:
        """The epoch of the row or of the lease, whichever is newer."""
        told = count(fields.get("epoch"))
        if self._epoch is None or (done > self._step and told is not None):
            return told
        return self._epoch

    def _speed(self, lease: LeaseState | None) -> float | None:
        """Steps per second, the mean of the last beats: one beat alone jumps about."""
        speed = number(lease.fields.get("steps_per_second")) if lease else None
        if lease and speed and (lease.generation, lease.beat) != self._beat:
            self._beat = (lease.generation, lease.beat)
            self._speeds.append(speed)
        return sum(self._speeds) / len(self._speeds) if self._speeds and speed else speed

    def _clear(self) -> None:
        self._traces: dict[str, Trace] = {}
        self._step = 0
        self._epoch: int | None = None
        self._best: float | None = None
        self._best_step: int | None = None

    def _read_metrics(self) -> None:
        lines = self._metrics.read()
        if lines is None:  # another file in its place
            self._clear()
            lines = self._metrics.read() or ()
        rows = [row for one in lines if (row := jsonl.parse(one)) is not None and type(row.get("step")) is int]
        if any("event" in row for row in rows):  # the run went back: another past lives now
            self._clear()
            rows = self._living(self._metrics.consumed)
        self._take(rows)

    def _living(self, num_bytes: int | None = None) -> list[Row]:
        try:
            with (self.folder / METRICS).open("rb") as file:
                return living_rows(file.read(-1 if num_bytes is None else num_bytes))
        except OSError:
            return []

    def _take(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._step = row["step"]
            self._epoch = row["epoch"] if type(row.get("epoch")) is int else self._epoch
            for name in self._names:
                if name in row:
                    self._traces.setdefault(name, Trace()).append(row["step"], number(row[name]))
            self._judge(number(row.get(self._aim)), row["step"])

    def _judge(self, value: float | None, step: int) -> None:
        if value is None:
            return
        is_better = self._best is None or (value < self._best if self._mode == "min" else value > self._best)
        if is_better:
            self._best, self._best_step = value, step

    def _read_ledger(self) -> None:
        try:
            size = (self.folder / LEDGER).stat().st_size
            if size == self._ledger_size:
                return
            content = (self.folder / LEDGER).read_bytes()
        except OSError:
            return
        self._ledger_size = len(content)
        self._events = decode_ledger(content).events
        self._happenings = happenings(self._events)
        aim = mapping(mapping(fold(self._events).started).get("objective"))
        self._aim, self._mode = text(aim.get("name")), text(aim.get("mode")) or "max"
        self._names = tuple(dict.fromkeys([*_SHOWN, *([self._aim] if self._aim else [])]))
        self.line = living_line(self._events)
        self._went_back_at = max(map(_time_of, self._events), default=0.0)
        self.setting = self._settled()

    def _settled(self) -> Setting | None:
        """The config as it is now: as planned, with what the living line changed."""
        if self._plan is None:
            try:
                plan = read_plan(self.folder)
            except DamagedError:
                return None
            config = {key: value for key, value in plan.items() if key not in ("plan_id", "choices")}
            choices = {group: str(option) for group, option in mapping(plan.get("choices")).items()}
            self._plan = Setting(config, choices)
        return settled(*self._plan, self.line)

    def _knobs(self) -> tuple[Knob, ...]:
        """The hot knobs with a value, and those that were nudged, each with the mark of its last nudge."""
        if self.setting is None:
            return ()
        config, choices = self.setting
        marks = {one.id: one.label for one in self._happenings}
        nudged = {key: marks.get(event["id"], "") for event in self.line.chain for key in mapping(event.get("knobs"))}
        found = [Knob(key, value_of(config, choices, key), nudged.get(key, "")) for key in hot_keys(config)]
        return tuple(knob for knob in found if knob.label or (knob.value and _USUAL.get(knob.key) != knob.value))

    def _planned(self, key: str) -> int | None:
        config = self.setting.config if self.setting else {}
        return count(config.get(key))


def _time_of(event: Event) -> float:
    """When the run went back, in seconds since 1970; 0 of all other events."""
    if event["event"] != "rolled_back":
        return 0.0
    try:
        return datetime.fromisoformat(text(event.get("at"))).timestamp()
    except ValueError:
        return 0.0


def _back(fields: Mapping[str, object]) -> str:
    goal = count(fields.get("catching_up"))
    return "" if goal is None else f"going back to step {goal}"


def _why(state: State) -> str:
    ended = mapping(state.ended)
    return str(ended.get("reason") or ended.get("signal") or ended.get("why") or "")
