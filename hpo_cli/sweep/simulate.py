"""A whole sweep in virtual time, by the driver that real sweeps have: thousands of trials a second."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hpo_cli.plan import plan_id
from hpo_cli.sweep.drive import Driver
from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.jobs import Tools
from hpo_cli.sweep.log import MemoryLog
from hpo_cli.sweep.orders import Order
from hpo_cli.sweep.schedulers.contract import Scheduler
from hpo_cli.sweep.schedulers.none import NoScheduler
from hpo_cli.sweep.search.contract import Aim, Search
from hpo_cli.sweep.settings import SweepSettings
from hpo_cli.sweep.space import Setting
from hpo_cli.sweep.state import Event, Trial
from hpo_cli.sweep.virtual import Curves, Learner, VirtualMachines

FOLDER = Path("virtual")


@dataclass(frozen=True)
class Simulated:
    """What a sweep came to.

    time: virtual seconds that it took.   epochs: that all trials together trained.   busy: the share of the slots'
    time in which they trained.   orders: what the scheduler ordered, with the virtual time.   events: the log.
    progress: (epochs trained, best value so far) at each ending.   why: why no further trial began.
    """

    trials: Sequence[Trial]
    time: float
    epochs: int
    busy: float
    orders: Sequence[tuple[float, Order]]
    events: Sequence[Event]
    progress: Sequence[tuple[int, float]]
    why: str

    @property
    def best(self) -> float | None:
        """The best value of all trials."""
        return self.progress[-1][1] if self.progress else None

    def epochs_to(self, target: float, *, mode: str) -> int | None:
        """The epochs that were trained until a trial was at `target` or better; None where none ever was."""
        reached = (epochs for epochs, best in self.progress if (best >= target if mode == "max" else best <= target))
        return next(reached, None)


class Listening:
    """A scheduler, and a record of what it orders."""

    def __init__(self, scheduler: Scheduler, clock: Callable[[], float]) -> None:
        self.scheduler, self.clock = scheduler, clock
        self.orders: list[tuple[float, Order]] = []
        self.heard, self.verdict, self.narrow = scheduler.heard, scheduler.verdict, scheduler.narrow

    def next(self, trials: Sequence[Trial], *, may_begin: bool) -> Order | None:
        """What the scheduler says."""
        order = self.scheduler.next(trials, may_begin=may_begin)
        if order is not None:
            self.orders.append((self.clock(), order))
        return order


def simulate(
    scheduler: Scheduler,
    search: Search,
    curve: Learner | Callable[[Setting, int], Sequence[float]],
    *,
    settings: SweepSettings,
    epochs: int,
    aims: Sequence[Aim] = (Aim("loss", "min"),),
    workers: int = 1,
    seconds_per_epoch: Callable[[Setting, int], float] = lambda setting, trial: 1.0,  # noqa: ARG005
) -> Simulated:
    """The sweep that scheduler and search make of `settings`, whose budgets end it: trials, epochs, minutes, target.

    curve: (setting, seed) -> the values of epoch 1, 2, ...; or something that has states, for what takes states over.
    epochs: of a full trial.   seconds_per_epoch: of (setting, number of the trial), which makes stragglers.
    """
    learner = Curves(curve) if callable(curve) else curve
    machines = VirtualMachines(
        learner,
        slots=workers,
        epochs=epochs,
        aims=aims,
        reduce=settings.reduce,
        wakes="jobs" if _never_stops(scheduler) else "epochs",
        seconds_per_epoch=seconds_per_epoch,
    )
    log = MemoryLog()
    began = log.append(_began(settings, epochs=epochs, aims=aims))
    listening = Listening(scheduler, machines.seconds)
    driver = Driver(
        SweepState(FOLDER), log, virtual_tools(machines), search=search, scheduler=listening, who={"host": "virtual"}
    )
    driver.state.replay(began)
    progress = list(_progress(driver, machines))
    busy = machines.busy / (machines.now * workers) if machines.now else 0.0
    trials = driver.state.trials
    return Simulated(
        trials, machines.now, machines.trained, busy, listening.orders, log.events, progress, driver.no_more
    )


def virtual_tools(machines: VirtualMachines) -> Tools:
    """What a driver works with, without processes, files and config."""
    return Tools(
        executor=machines,
        make=_Made,
        facts=machines.facts,
        prune=machines.prune,
        seconds=machines.seconds,
        command=lambda made: list(made.words),
        link=machines.link,
    )


def _progress(driver: Driver, machines: VirtualMachines) -> list[tuple[int, float]]:
    """Drive to the end; (epochs trained, best value) after each ending that made a better one."""
    found: list[tuple[int, float]] = []
    driver.step()
    while not driver.is_over:
        ended = machines.wait(0)
        if not ended:
            for trial, why in driver.watch():
                driver.prune(trial, why)
            continue
        driver.step(ended)
        best = driver.state.best()
        if best is not None and best.value is not None and (not found or best.value != found[-1][1]):
            found.append((machines.trained, best.value))
    return found


def _never_stops(scheduler: Scheduler) -> bool:
    return isinstance(scheduler, NoScheduler) and type(scheduler).verdict is NoScheduler.verdict


@dataclass(frozen=True)
class _Made:
    """A setting as its own plan, and as what a plan is made into."""

    setting: Mapping[str, Any]
    words: tuple[str, ...] = ()
    hydra_files: Mapping[str, str] = field(default_factory=dict)

    @property
    def plan(self) -> Any:
        return self

    @property
    def plan_id(self) -> str:
        return plan_id(self.setting)

    def to_dict(self) -> Mapping[str, Any]:
        return self.setting


def _began(settings: SweepSettings, *, epochs: int, aims: Sequence[Aim]) -> Event:
    return {
        "event": "began",
        "id": FOLDER.name,
        "name": FOLDER.name,
        "aims": [asdict(aim) for aim in aims],
        "inner": [{"seed": seed} for seed in range(settings.seeds)],
        "epochs": epochs,
        "size": None,
        "space": [],
        "settings": asdict(settings),
    }
