"""Trains a plan in its folder and says how it ended."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch

from hpo_cli.components.data.arrays import Splits
from hpo_cli.engine.assembly import build_system, check_components, load_splits
from hpo_cli.engine.backend import Backend
from hpo_cli.engine.batches import DeviceBatches, dtype_of, order_of, source, tensors
from hpo_cli.engine.checkpoints import State, weights_sha256
from hpo_cli.engine.lightning import MisconfigurationException, pl
from hpo_cli.engine.loggers import check_logger, make_logger, mirror
from hpo_cli.engine.loop import Recorder, TrainingLoop
from hpo_cli.engine.module import LightningRun, Stretches
from hpo_cli.engine.preflight import check_fit, choose_threads
from hpo_cli.engine.progress import Outcome, Reporter
from hpo_cli.engine.ranks import LocalRanks, Ranks
from hpo_cli.engine.recorder import FolderRecorder, NullRecorder
from hpo_cli.engine.step import Stepper
from hpo_cli.engine.stop import StopFlag
from hpo_cli.engine.system import System
from hpo_cli.errors import ConfigError
from hpo_cli.plan import RunPlan
from hpo_cli.record import ledger


class Training:
    """One run in this process: data, system, Lightning, loop. `run` trains; `outcome` says where it stands."""

    def __init__(self, plan: RunPlan, *, reporter: Reporter, stop: StopFlag) -> None:
        """Load the data and build the system. Raises ConfigError when plan and data do not go together."""
        self.plan, self._reporter, self._stop = plan, reporter, stop
        torch.set_num_threads(1)  # until the size of a step is known
        check_components(plan)
        check_logger(plan)
        self.splits: Splits = load_splits(plan.data, allow=plan.allow_targets)
        self.system: System = build_system(plan, self.splits)
        check_fit(plan, self.system, self.splits)
        self.threads = choose_threads(plan, self.system, cores=_cores())
        torch.set_num_threads(self.threads)
        self._recorder: FolderRecorder | NullRecorder = NullRecorder()
        self._module = LightningRun(self.system, make_loop=self._make_loop, stop=stop)
        self._began = time.monotonic()

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
        return self.system.started_from

    def record_data(self, folder: Path) -> None:
        """Write the summary and the class counts to the ledger."""
        said = {"started_from": self.started_from} if self.started_from else {}
        ledger.append(folder, "data", step=0, class_counts=self.splits.spec.class_counts, **self.summary, **said)

    def run(self, folder: Path, *, ranks: Ranks | None = None, resume_from: State | None = None) -> None:
        """Train to the end, writing to `folder`. ranks: this process's place when there are several.

        Raises RunFailedError for a bad loss, StoppedError after a signal.
        """
        self._folder, self._resume_from = folder, resume_from
        self._trainer = make_trainer(self.plan, folder=folder, ranks=ranks)
        try:
            self._trainer.fit(self._module, train_dataloaders=Stretches(self._module))
            if self._module.loop is not None:
                self._module.loop.save()
        finally:
            self._recorder.close()

    @property
    def early_stop(self) -> dict[str, str]:
        """Why training ended before its last epoch, for the ledger; empty when it did not."""
        loop, patience = self._module.loop, self.plan.regularization.early_stopping
        if loop is None or not loop.stopped_early:
            return {}
        return {"stopped_early": f"no better {self.plan.objective.name} for {patience} epochs"}

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
            seconds=time.monotonic() - self._began,
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
        if backend.shard.rank == 0:
            copy = mirror(self._trainer.loggers, plan)
            self._recorder = FolderRecorder(self._folder, plan.checkpoint, mirror=copy)
        recorder: Recorder = self._recorder
        stepper = Stepper(self.system, backend, seed=plan.seed, forward=self._forward())
        loop = TrainingLoop(plan, stepper, train=train, val=val, recorder=recorder, reporter=self._reporter)
        if self._resume_from is not None:
            loop.restore(self._resume_from)
        return loop

    def _forward(self) -> torch.nn.Module:
        model = self.system.model
        return torch.compile(model) if self.plan.trainer.compile else model  # type: ignore[return-value]


def make_trainer(plan: RunPlan, *, folder: Path, ranks: Ranks | None) -> pl.Trainer:
    """A Lightning Trainer that owns devices and precision and leaves loops, records and bars to us."""
    logger = None if ranks and ranks.rank else make_logger(plan, folder)
    try:
        return pl.Trainer(
            accelerator=plan.trainer.accelerator,
            devices=plan.trainer.devices,
            strategy="ddp" if ranks else "auto",
            precision=plan.trainer.precision,  # type: ignore[arg-type]
            deterministic=_deterministic(plan),
            plugins=[LocalRanks(ranks)] if ranks else None,
            max_epochs=1,
            logger=logger or False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
            use_distributed_sampler=False,
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        line = " ".join(str(error).split())
        raise ConfigError("trainer.accelerator", plan.trainer.accelerator, rule=line, fix="try trainer=cpu") from error


def _deterministic(plan: RunPlan) -> bool | None:
    """None leaves torch's setting alone, which is right unless an earlier run of this process changed it.

    Even switching it off imports torch's compiler, 1.5 s.
    """
    return (
        plan.trainer.deterministic
        if plan.trainer.deterministic != torch.are_deterministic_algorithms_enabled()
        else None
    )


def _cores() -> int:
    """Cores that this process may use, which a job scheduler can make fewer than the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
