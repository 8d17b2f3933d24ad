"""A sweep without processes: jobs end when they are told to, and reach what a function of their setting says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hpo_cli.errors import ConfigError
from hpo_cli.plan import plan_id
from hpo_cli.sweep.drive import Driver
from hpo_cli.sweep.executors.contract import Ended, Job
from hpo_cli.sweep.facts import Facts
from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.jobs import Tools
from hpo_cli.sweep.log import Log, MemoryLog
from hpo_cli.sweep.orders import New, Order
from hpo_cli.sweep.state import Trial

Curve = Callable[[Mapping[str, Any], int], float]
"""(setting, epoch) -> value."""


@dataclass
class FakeExecutor:
    """ends: what the next jobs come to, by default all finish (or stop at their rung)."""

    slots: int = 2
    ends: list[tuple[str, str, str]] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    started: list[Job] = field(default_factory=list)
    reached: dict[str, int] = field(default_factory=dict)
    epochs: int = 4
    ended: list[tuple[str, str]] = field(default_factory=list)
    new_rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def start(self, job: Job) -> None:
        assert len(self.jobs) < self.slots
        self.jobs.append(job)
        self.started.append(job)

    def wait(self, timeout_s: float) -> Sequence[Ended]:
        if not self.jobs:
            return []
        job = self.jobs.pop(0)
        status, reason, cause = self.ends.pop(0) if self.ends else ("", "", "")
        if not status:
            status = "finished" if job.until is None else "stopped"
        if status in ("finished", "stopped"):
            self.reached[job.folder.name] = self.epochs if job.until is None else job.until
        return [Ended(job, status, reason, cause)]  # type: ignore[arg-type]

    def rows(self, job: Job) -> Sequence[dict[str, Any]]:
        return self.new_rows.pop(job.folder.name, [])

    def end(self, job: Job, how: str) -> None:
        self.ended.append((job.folder.name, how))

    def close(self) -> None:
        pass


class Listed:
    """A search that proposes the settings of a list, in order."""

    def __init__(self, settings: Sequence[Mapping[str, Any]]) -> None:
        self.settings = list(settings)
        self.size: int | None = len(self.settings)

    def propose(
        self, trials: Sequence[Trial], number: int, *, attempt: int = 0, limit: Any = None
    ) -> Mapping[str, Any] | None:
        place = number - 1 + attempt
        return self.settings[place] if place < len(self.settings) else None

    def narrow(self, space: Any) -> None:
        pass


class Plain:
    """A scheduler that trains every trial to `until`, and then to its end."""

    def __init__(self, until: int | None = None) -> None:
        self.until = until
        self.seen: list[tuple[int, str]] = []

    def heard(self, trial: Trial) -> None:
        self.seen.append((trial.number, trial.status))

    def next(self, trials: Sequence[Trial], *, may_begin: bool) -> Order | None:
        return New(self.until) if may_begin else None

    def verdict(self, trial: Trial, trials: Sequence[Trial]) -> str | None:
        return None

    def narrow(self, space: Any) -> None:
        pass


WHO = {"host": "h", "pid": 1}


def began(**more: Any) -> dict[str, Any]:
    """The first event of a sweep."""
    from tests.sweep.settings import sweep_settings_json

    settings = sweep_settings_json(**more.pop("settings", {}))
    event = {
        "event": "began", "id": "abc", "name": "toy", "words": [], "aims": [{"name": "val/accuracy", "mode": "max"}],
        "inner": [{}], "epochs": 4, "size": None, "space": [], "settings": settings,
    }  # fmt: skip
    return event | more


def driver(  # noqa: PLR0913
    listed: Sequence[Mapping[str, Any]],
    *,
    curve: Curve = lambda setting, epoch: setting.get("x", 0.0) * epoch,
    scheduler: Any = None,
    executor: FakeExecutor | None = None,
    log: Log | None = None,
    search: Any = None,
    refuses: Callable[[Mapping[str, Any]], bool] = lambda setting: False,
    folder: Path = Path("abc"),
    who: Mapping[str, Any] | None = None,
    **began_with: Any,
) -> Driver:
    """A driver whose runs reach `curve(setting, epoch)`."""
    log = log or MemoryLog()
    state = SweepState(folder)
    if isinstance(log, MemoryLog) and log.events:
        events = list(log.events)
    else:
        with log.locked():
            events = log.news() or log.append(began(**began_with))
    executor = executor or FakeExecutor()
    by_folder: dict[str, Mapping[str, Any]] = {}

    def make(setting: Mapping[str, Any]) -> Any:
        if refuses(setting):
            raise ConfigError("x", setting["x"], rule="is refused")
        plan = SimpleNamespace(plan_id=plan_id(dict(setting)), to_dict=lambda: dict(setting))
        return SimpleNamespace(plan=plan, words=tuple(f"{k}={v}" for k, v in setting.items()), hydra_files={})

    def facts(place: Path) -> Facts:
        epoch = executor.reached.get(place.name, 0)
        for job in executor.started:
            by_folder[job.folder.name] = job.plan
        reports = {e: (curve(by_folder[place.name], e),) for e in range(1, epoch + 1)}
        return Facts(epoch, reports, reports.get(epoch), seconds=float(epoch))

    tools = Tools(
        executor=executor, make=make, facts=facts, prune=lambda job, why: executor.end(job, "stop"),
        seconds=lambda: 0.0, command=lambda made: ["hpo-run", *made.words],
        link=lambda source, target: "checkpoints/adopted.pt",
    )  # fmt: skip
    state.replay(events[:1])
    found = Driver(state, log, tools, search=search or Listed(listed), scheduler=scheduler or Plain(), who=who or WHO)
    state.replay(events[1:])
    return found


def run(found: Driver, *, most: int = 10_000) -> None:
    """Drive to the end."""
    ended: Sequence[Ended] = ()
    for _ in range(most):
        found.step(ended)
        if found.is_over:
            return
        ended = found.tools.executor.wait(0)
    raise AssertionError("it never ends")
