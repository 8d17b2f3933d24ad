"""Trains a plan in its folder and says how it ended."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch

from hpo_cli.components.data.arrays import Splits
from hpo_cli.engine import branching, checkpoints
from hpo_cli.engine.assembly import build_system, check_components, load_splits, resumable_system
from hpo_cli.engine.backend import Backend
from hpo_cli.engine.batches import DeviceBatches, dtype_of, order_of, source, tensors
from hpo_cli.engine.checking import Check, Surroundings
from hpo_cli.engine.checkpoints import weights_sha256
from hpo_cli.engine.course import Course, chart, check_agreement, check_sizes, threads_of
from hpo_cli.engine.knobs import planned_knobs
from hpo_cli.engine.loggers import check_logger, mirror
from hpo_cli.engine.loop import TrainingLoop
from hpo_cli.engine.module import LightningRun, Stretches
from hpo_cli.engine.orders import LostError
from hpo_cli.engine.partners import NullRecorder
from hpo_cli.engine.patience import Patience
from hpo_cli.engine.preflight import check_change, check_fit, choose_threads
from hpo_cli.engine.progress import Outcome, Position, Reporter
from hpo_cli.engine.ranks import Ranks
from hpo_cli.engine.recorder import FolderRecorder
from hpo_cli.engine.states import system_state
from hpo_cli.engine.steering import FolderSteering
from hpo_cli.engine.step import Stepper
from hpo_cli.engine.stop import StopFlag
from hpo_cli.engine.system import System
from hpo_cli.engine.trainer import device_of, make_trainer
from hpo_cli.plan import DataPlan, RunPlan
from hpo_cli.record import ledger
from hpo_cli.record.folder import START
from hpo_cli.record.line import Line, living_line


class LoadSplits(Protocol):
    """Gives the data of a plan."""

    def __call__(self, data: DataPlan, *, allow: tuple[str, ...]) -> Splits:
        """See assembly.load_splits. Nobody changes the arrays."""


class Training:
    """One run in this process: data, system, Lightning, loop. `run` trains; `outcome` says where it stands."""

    def __init__(
        self,
        plan: RunPlan,
        *,
        reporter: Reporter,
        stop: StopFlag,
        check: Check | None = None,
        folder: Path | None = None,
        cores: int | None = None,
        load: LoadSplits = load_splits,
    ) -> None:
        """Load the data and build the system. Raises ConfigError when plan and data do not go together.

        check: tells whether a config that somebody wants to change this run to is one (validate.plan_from_config).
        folder: that of the run, when there is one already: training goes on from its newest state.
        cores: this run's share of the machine; None: all that the process may use.   load: gives a plan's data.
        """
        cores = cores or _cores()
        self.plan, self._reporter, self._stop, self._check = plan, reporter, stop, check
        self.warnings: list[str] = []  # for the ledger
        torch.set_num_threads(1)  # until the size of a step is known
        check_components(plan)
        check_logger(plan)
        self.splits: Splits = load(plan.data, allow=plan.allow_targets)
        events = () if folder is None else ledger.read_ledger(folder).events
        if folder is not None:
            check_sizes(self.splits, ledger.fold(events).data, place=folder)
        self.course = Course(Line()) if folder is None else chart(folder, warn=self.warnings.append)
        self.seconds_before = 0.0  # that other processes trained
        self.machine: Mapping[str, Any] = {}  # keys that this process has otherwise than the plan in the folder
        self.system: System = self._begin_system(folder)
        check_fit(plan, self.system, self.splits)
        self.threads = self._same_threads(threads_of(events)) or choose_threads(plan, self.system, cores=cores)
        torch.set_num_threads(self.threads)
        self._recorder: FolderRecorder | NullRecorder = NullRecorder()
        self._module = LightningRun(self.system, make_loop=self._make_loop, stop=stop)
        self._steering: FolderSteering | None = None
        self.patience = Patience(say=reporter.noted, stop=stop)
        self._began = time.monotonic()
        self._seen = (0.0, 0)

    def _same_threads(self, number: int | None) -> int | None:
        """As many as the run had so far, for the same bits, unless the plan says how many."""
        if number is None or self.plan.trainer.threads is not None:
            return None
        if number > _cores():
            self.warnings.append(f"{number} threads on {_cores()} cores, as the run had before, for the same bits")
        return number

    def _begin_system(self, folder: Path | None) -> System:
        """The system at the run's very start, or a blank one for a state to be loaded into."""
        if folder is None or self.course.state is None:
            return build_system(self.plan, self.splits)
        system = resumable_system(self.plan, self.splits.spec)
        check_agreement(self.course, self.plan, planned=planned_knobs(self.plan, system), place=folder)
        return system

    def check_changes(self, plan: RunPlan) -> None:
        """Whether training can go on by a revised plan. Raises ConfigError naming every problem."""
        state = self.course.state
        position = Position(**state["position"]) if state else Position()
        check_change(plan, self.system, splits=self.splits, position=position)

    def take_note(self, folder: Path) -> None:
        """The ledger has got further orders since this was made."""
        self.course = replace(self.course, line=living_line(ledger.read_ledger(folder).events))

    @property
    def summary(self) -> dict[str, int]:
        """Sizes of the splits, parameters of the network, those that do not train, CPU threads."""
        splits = {"train": self.splits.train, "val": self.splits.val, "test": self.splits.test}
        sizes_of = [(parameter.numel(), parameter.requires_grad) for parameter in self.system.model.parameters()]
        parameters = sum(size for size, _ in sizes_of)
        frozen = sum(size for size, trains in sizes_of if not trains)
        sizes = {name: len(split.x) for name, split in splits.items()}
        return {**sizes, "parameters": parameters, "frozen": frozen, "threads": self.threads}

    @property
    def started_from(self) -> str:
        """Which weights training starts from, in words; empty for fresh ones."""
        course = self.course
        if course.state is not None:
            return f"step {course.step:,} ({course.file})"
        if course.parent is not None:
            return f"step {course.step:,} of {course.parent.get('run')}"
        return self.system.started_from

    def record_data(self, folder: Path) -> None:
        """Write the summary and the class counts to the ledger."""
        said = {"started_from": self.started_from} if self.started_from else {}
        counts, device = self.splits.spec.class_counts, device_of(self.plan.trainer.accelerator)
        ledger.append(folder, "data", step=0, class_counts=counts, device=device, **self.summary, **said)

    def run(self, folder: Path, *, ranks: Ranks | None = None, is_lost: Callable[[], bool] = lambda: False) -> None:
        """Train to the end, writing to `folder`. ranks: this process's place when there are several.

        is_lost: whether another process has taken the run over. Raises RunFailedError for a bad loss, StoppedError
        after a signal.
        """
        self._folder, self._is_lost = folder, is_lost
        self._trainer = make_trainer(self.plan, folder=folder, ranks=ranks, after=self.course.step)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="The `srun` command")  # processes are started by us
                self._trainer.fit(self._module, train_dataloaders=Stretches(self._module))
            if self._module.loop is not None:
                self._module.loop.save()
                self._recorder.abandon(after=self._module.loop.position.step)
        finally:
            if not is_lost():
                self._close(ranks)

    def _close(self, ranks: Ranks | None) -> None:
        try:
            self._recorder.close()
        finally:
            if self._steering is not None and (ranks is None or ranks.rank == 0):
                self._steering.decisions.close(self._module.loop)

    @property
    def early_stop(self) -> dict[str, str]:
        """Why training ended before its last epoch, for the ledger; empty when it did not."""
        loop = self._module.loop
        if loop is None or not loop.stopped_early:
            return {}
        patience = loop.system.settings.early_stopping
        return {"stopped_early": f"no better {self.plan.objective.name} for {patience} epochs"}

    @property
    def ended(self) -> dict[str, str] | None:
        """Who ended the run by a command, and why; None when nobody did."""
        return self._steering.decisions.ended if self._steering is not None else None

    @property
    def signum(self) -> int | None:
        """Which signal asked for a stop, None so far."""
        return self._stop.signum

    @property
    def catching_up(self) -> int | None:
        """To which step of its past the run is on its way; None when it is where it was."""
        return self._steering.catching_up if self._steering is not None else None

    @property
    def is_paused(self) -> bool:
        """Whether the run waits for somebody to let it go on."""
        return self._steering is not None and self._steering.decisions.paused

    def speed(self) -> float:
        """Steps a second since it was asked last; 0 the first time and after a rollback."""
        now, step = time.monotonic(), self._module.loop.position.step if self._module.loop else 0
        (before, at), self._seen = self._seen, (now, step)
        return max(0.0, (step - at) / max(1e-9, now - before)) if before else 0.0

    @property
    def loop(self) -> TrainingLoop | None:
        """The loop, once training has begun."""
        return self._module.loop

    def outcome(self, status: str) -> Outcome:
        """Where the run stands now."""
        loop = self._module.loop
        return Outcome(
            status=status,
            metrics=dict(loop.metrics) if loop else {},
            best=dict(loop.best) if loop else {},
            step=loop.position.step if loop else 0,
            epoch=loop.position.epoch if loop else 0,
            seconds=self.seconds_before + time.monotonic() - self._began,
            weights_sha256=weights_sha256(self.system.model.state_dict().items()),
        )

    def _make_loop(self, backend: Backend) -> TrainingLoop:
        plan, dtype = self.plan, dtype_of(self.plan)
        train = source(
            self.splits.train,
            order=order_of(plan, carries=bool(self.system.carriers)),
            shard=backend.shard,
            device=backend.device,
            dtype=dtype,
            placement=plan.data.placement,
            num_workers=plan.data.num_workers,
        )
        home = backend.device if isinstance(train, DeviceBatches) else torch.device("cpu")
        val = tensors(self.splits.val, device=home, dtype=dtype)
        course = self.course
        if backend.shard.rank == 0:
            copy = mirror(self._trainer.loggers, plan, folder=self._folder, after=course.step)
            recorded = (course.state or {}).get("recorded_bytes") or {}
            self._recorder = FolderRecorder(
                self._folder,
                plan.checkpoint,
                mirror=copy,
                after=course.step,
                since=recorded.get("metrics"),
                patience=self.patience,
                guard=self._check_lease,
            )
        stepper = Stepper(self.system, backend, seed=plan.seed, forward=self._forward())
        self._steering = steering = FolderSteering(self._surroundings(), course)
        loop = TrainingLoop(
            plan, stepper, train=train, val=val, recorder=self._recorder, reporter=self._reporter, steering=steering
        )
        if course.state is None and course.parent is not None:
            self._enter_from_parent(loop)
        self._fresh_scaler = None if backend.scaler is None else dict(backend.scaler.state_dict())
        steering.begin(loop)
        return loop

    def _check_lease(self) -> None:
        if self._is_lost():
            raise LostError(self._folder)

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            folder=self._folder,
            plan=self.plan,
            splits=self.splits,
            recorder=self._recorder,
            stop=self._stop,
            patience=self.patience,
            check=self._check,
            origin=self._to_origin,
            is_lost=self._is_lost,
        )

    def _to_origin(self, loop: TrainingLoop) -> None:
        """Bring a loop that has trained back to the run's very start."""
        fresh = build_system(self.plan, self.splits)
        blank = TrainingLoop(
            self.plan, Stepper(fresh, Backend(), seed=self.plan.seed), train=loop.train_source, val=loop.val,
            recorder=NullRecorder(), reporter=self._reporter,
        )  # fmt: skip
        loop.restore({**blank.state(), **system_state(fresh), "scaler": self._fresh_scaler})
        if self.course.parent is not None:
            self._enter_from_parent(loop)

    def _enter_from_parent(self, loop: TrainingLoop) -> None:
        parent = self.course.parent or {}
        state = checkpoints.load(self._folder / START)
        for text in branching.enter(loop, state, partial=bool(parent.get("partial"))):
            self._reporter.noted(text)

    def _forward(self) -> torch.nn.Module:
        model = self.system.model
        return torch.compile(model) if self.plan.trainer.compile else model  # type: ignore[return-value]


def _cores() -> int:
    """Cores that this process may use, which a job scheduler can make fewer than the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
