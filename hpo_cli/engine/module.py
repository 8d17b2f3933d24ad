"""The loop as a LightningModule. One Lightning batch is a stretch of many steps: its cost is paid rarely."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch

from hpo_cli.engine.backend import Backend
from hpo_cli.engine.batches import Shard
from hpo_cli.engine.lightning import pl
from hpo_cli.engine.loop import TrainingLoop
from hpo_cli.engine.stop import StopFlag
from hpo_cli.engine.system import System

STRETCH = 100
"""Optimizer steps in one Lightning batch."""


class Stretches:
    """What Lightning sees as its training data: the lengths of stretches, until the loop has finished."""

    def __init__(self, module: LightningRun) -> None:
        self._module = module

    def __iter__(self) -> Iterator[int]:
        while not self._module.finished:
            yield STRETCH


class LightningRun(pl.LightningModule):
    """Lets Lightning own devices, precision and processes, and hands every stretch to the loop.

    make_loop: called once, when the model is on its device and the processes know each other.
    """

    def __init__(self, system: System, *, make_loop: Callable[[Backend], TrainingLoop], stop: StopFlag) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model, self.criterion, self.augment = system.model, system.criterion, system.augment
        self._system, self._make_loop, self._stop = system, make_loop, stop
        self.loop: TrainingLoop | None = None

    @property
    def finished(self) -> bool:
        """Whether training has come to its end."""
        return self.loop is not None and self.loop.finished

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The plan's optimizer."""
        return self._system.optimizer

    def on_train_start(self) -> None:
        """Build the loop on the device; take the signals from Lightning, which would broadcast inside a handler."""
        self._stop.install()
        self.loop = self._make_loop(self._backend())
        self.loop.begin()

    def training_step(self, stretch: int, batch_idx: int) -> None:  # noqa: ARG002 - Lightning's signature
        """Take a stretch of optimizer steps."""
        assert self.loop is not None  # noqa: S101 - on_train_start came first
        with self._outside_autocast():
            self.loop.advance(stretch, self._stop)

    def _outside_autocast(self) -> contextlib.AbstractContextManager[object]:
        """Lightning wraps the stretch in autocast; only the forward pass belongs there."""
        if not torch.is_autocast_enabled(self.device.type):
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, enabled=False)

    def _backend(self) -> Backend:
        trainer = self.trainer
        plugin = trainer.precision_plugin
        several = trainer.world_size > 1
        plain = trainer.precision in ("32-true", "64-true")
        return Backend(
            device=self.device,
            shard=Shard(trainer.global_rank, trainer.world_size),
            autocast=None if plain else plugin.forward_context,
            scaler=getattr(plugin, "scaler", None),
            backward=self.manual_backward if several else None,
        )
