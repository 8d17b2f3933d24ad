"""A sweep told event by event, as its log would have it: for what reads, counts and shows sweeps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hpo_cli.record.process import this_process
from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.space import Dimension, Space
from hpo_cli.sweep.state import run_name
from tests.run_folders import Run, make_run, write_lines
from tests.sweep.settings import sweep_settings_json

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
SPACE = Space(
    (
        Dimension("optimizer", ("optimizer",), choices=("adam", "sgd")),
        Dimension("optimizer.lr", ("optimizer.lr",), low=1e-4, high=1e-1, scale="log"),
    )
)


@dataclass
class Story:
    """Every word moves the clock by `tick` seconds. at: seconds since the beginning."""

    id: str = "abc123"
    folder: Path = Path("outputs/digits/abc123")
    tick: float = 1.0
    at: float = 0.0
    begin: datetime = BEGIN
    events: list[dict[str, Any]] = field(default_factory=list)
    num_runs: int = 1
    num_trials: int = 0

    @classmethod
    def begun(
        cls,
        *,
        runs: int = 1,
        epochs: int = 10,
        space: Space = SPACE,
        aims: Sequence[tuple[str, str]] = (("val/accuracy", "max"),),
        place: Path | None = None,
        begin: datetime = BEGIN,
        size: int | None = None,
        **settings: Any,
    ) -> Story:
        story = cls(num_runs=runs, begin=begin)
        if place is not None:
            story.folder, story.id = place, place.name
        wanted = sweep_settings_json(
            **{"search": "random", "scheduler": "none", "trials": 20, "workers": 2, **settings}
        )
        story.tell(
            "began", id=story.id, name="digits", words=["optimizer=adam,sgd", "epochs=10"], base=["epochs=10"],
            space=space.to_json(), settings=wanted, aims=[{"name": name, "mode": mode} for name, mode in aims],
            inner=[{"seed": seed} for seed in range(runs)], epochs=epochs, size=size,
        )  # fmt: skip
        return story

    def tell(self, event: str, **fields: Any) -> Story:
        at = (self.begin + timedelta(seconds=self.at)).isoformat()
        self.events.append({"at": at, "event": event, **fields})
        self.at += self.tick
        return self

    def joined(self, who: Mapping[str, Any] | None = None, *, workers: int = 2) -> Story:
        return self.tell("joined", who=dict(who or this_process().to_json()), workers=workers)

    def left(self, who: Mapping[str, Any] | None = None, *, seconds: float = 0.0) -> Story:
        return self.tell("left", who=dict(who or this_process().to_json()), seconds=seconds)

    def propose(self, until: int | None = None, **setting: Any) -> int:
        self.num_trials += 1
        named = {key.replace("__", "."): value for key, value in setting.items()}
        self.tell("proposed", trial=self.num_trials, setting=named, plan_id=f"p{self.num_trials}", until=until)
        return self.num_trials

    def start(self, trial: int, run: int = 0) -> Story:
        name = run_name(self.id, trial, run, self.num_runs)
        return self.tell("started", trial=trial, run=run, folder=name, attempt=1, until=None, process={})

    def end(
        self,
        trial: int,
        status: str = "finished",
        *,
        run: int = 0,
        epoch: int = 10,
        values: Sequence[float | None] | None = None,
        reports: Mapping[int, Sequence[float | None]] | None = None,
        seconds: float = 0.0,
        reason: str = "",
    ) -> Story:
        shown = reports if reports is not None else ({epoch: values} if values is not None else {})
        return self.tell(
            "ended", trial=trial, run=run, status=status, epoch=epoch, values=None if values is None else list(values),
            reports=[[at, list(them)] for at, them in shown.items()], seconds=seconds, reason=reason, cause="",
        )  # fmt: skip

    def trial(self, value: float | None = 0.9, status: str = "finished", **more: Any) -> int:
        """One that has ended already."""
        setting = more.pop("setting", {"optimizer": "adam", "optimizer__lr": 0.001 * (self.num_trials + 1)})
        number = self.propose(**setting)
        for run in range(self.num_runs):
            self.start(number, run)
            self.end(number, status, run=run, values=None if value is None else [value], **more)
        return number

    @property
    def now(self) -> float:
        """Seconds since 1970."""
        return (self.begin + timedelta(seconds=self.at)).timestamp()

    def state(self, before: SweepState | None = None) -> SweepState:
        """The state now, or `before` brought up to date."""
        state = before or SweepState(self.folder)
        told = state.told if before and hasattr(state, "told") else 0
        state.replay(self.events[told:])
        state.told = len(self.events)  # type: ignore[attr-defined]
        return state

    def write(self) -> Path:
        """The sweep's folder with its log and its best.json."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_lines(self.folder / "sweep.jsonl", self.events)
        best = self.state().best()
        if best is not None:
            found = {"trial": best.number, "run": best.runs[0].folder, "setting": dict(best.setting)}
            aim = self.state().aims[0]
            found |= {"value": best.value, "objective": aim.name, "mode": aim.mode}
            (self.folder / "best.json").write_text(json.dumps(found))
        return self.folder


def make_sweep(root: Path, id: str = "abc123", *, trials: int = 3, minutes_old: float = 5.0, runs: int = 1) -> Path:  # noqa: A002
    """A finished sweep with runs in it: trial k reached 0.9 + k/100."""
    begin = datetime.now(UTC) - timedelta(minutes=minutes_old)
    story = Story.begun(place=root / "digits" / id, begin=begin, trials=trials, runs=runs).joined()
    for number in range(1, trials + 1):
        story.trial(0.9 + number / 100, seconds=2.0)
        for run in range(runs):
            name = run_name(id, number, run, runs)
            make_run(root, Run(id=name, value=0.9 + number / 100, minutes_old=minutes_old - 0.1), below=f"digits/{id}")
    story.tell("ended_sweep", why=f"all {trials} trials are there").left(seconds=7.0)
    return story.write()
