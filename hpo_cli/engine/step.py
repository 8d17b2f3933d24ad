"""One optimizer step: forward, loss, backward, clipping, update; what a bare torch loop does, and nothing slower."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from hpo_cli.components.schedules import warmed_up
from hpo_cli.engine.backend import Backend
from hpo_cli.engine.batches import Pair
from hpo_cli.engine.randomness import STEP, derive, seed_everywhere
from hpo_cli.engine.system import System


class Stepper:
    """Runs optimizer steps on a live system.

    forward: the model as it is called, compiled or not. `losses`, `outputs` and `targets` gather what the steps saw,
    on the device, until the loop collects them.
    """

    def __init__(self, system: System, backend: Backend, *, seed: int, forward: nn.Module | None = None) -> None:
        self.system, self.backend = system, backend
        self._forward = forward or system.model
        self._seed = seed
        self._parameters = [p for group in system.optimizer.param_groups for p in group["params"]]
        self._weights = [p for p in self._parameters if p.ndim > 1]
        self._plain = backend.autocast is None and backend.backward is None and backend.scaler is None
        self._update = _without_profiling(system.optimizer)
        self.losses: list[torch.Tensor] = []
        self.outputs: list[torch.Tensor] = []
        self.targets: list[torch.Tensor] = []

    def learning_rate(self, step: int, total_steps: int) -> float:
        """The learning rate of optimizer step `step` (from 0): the knob times the schedule's factor."""
        settings = self.system.settings
        factor = warmed_up(
            step, schedule=self.system.schedule, total_steps=total_steps, warmup_steps=settings.warmup_steps
        )
        return settings.lr * factor

    def update(self, batches: Sequence[Pair], *, lr: float, place: tuple[int, int], sizes: Sequence[int]) -> None:
        """One update from the mean gradient over all samples of `batches`, as one large batch would give it.

        place: (epoch, first sample), seeds the step's randomness.   sizes: samples of each batch over all processes.
        """
        optimizer = self.system.optimizer
        for group in optimizer.param_groups:
            group["lr"] = lr
        seed_everywhere(derive(self._seed, STEP, *place, self.backend.shard.rank))
        shard, total = self.backend.shard, sum(sizes)
        for (x, y), size in zip(batches, sizes, strict=True):
            self._accumulate(x, y, share=shard.count(size) * shard.world / total)
        self._apply(optimizer)

    def forget(self) -> None:
        """Drop what the steps gathered."""
        self.losses, self.outputs, self.targets = [], [], []

    def loss_of(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The loss of a batch with its penalties, as training sees it; gathers nothing."""
        with self.backend.forward_context():
            return self._penalised(self.system.criterion(self._forward(x), y))

    def _accumulate(self, x: torch.Tensor, y: torch.Tensor, *, share: float) -> None:
        if self._plain:
            outputs = self._forward(x)
            loss = self.system.criterion(outputs, y)
        else:
            with self.backend.forward_context():
                outputs = self._forward(x)
                loss = self.system.criterion(outputs, y)
        self.losses.append(loss.detach())
        if share:
            self.outputs.append(outputs.detach())
            self.targets.append(y)
        total = self._penalised(loss)
        total = total if share == 1.0 else total * share
        if self.backend.scaler is not None and self.backend.backward is None:  # else the strategy scales
            total = self.backend.scaler.scale(total)
        (self.backend.backward or torch.Tensor.backward)(total)

    def _penalised(self, loss: torch.Tensor) -> torch.Tensor:
        l1, l2 = self.system.settings.l1, self.system.settings.l2
        if l1:
            loss = loss + l1 * torch.stack([weight.abs().sum() for weight in self._weights]).sum()
        if l2:
            loss = loss + l2 / 2 * torch.stack([weight.square().sum() for weight in self._weights]).sum()
        return loss

    def _apply(self, optimizer: torch.optim.Optimizer) -> None:
        settings, scaler = self.system.settings, self.backend.scaler
        if scaler is not None:
            scaler.unscale_(optimizer)
        if settings.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._parameters, settings.clip_norm)
        if settings.clip_value is not None:
            nn.utils.clip_grad_value_(self._parameters, settings.clip_value)
        if scaler is None:
            self._update(optimizer)
        else:
            scaler.step(optimizer)
            scaler.update()
        for parameter in self._parameters:  # what optimizer.zero_grad() does, without its profiler's bookkeeping
            parameter.grad = None
        if self.backend.autocast is not None:
            torch.clear_autocast_cache()  # else the next forward pass would use the weights of before this update


def _without_profiling(optimizer: torch.optim.Optimizer) -> Callable[[torch.optim.Optimizer], object]:
    """The optimizer's step as its class defines it.

    torch wraps it for profiling and hooks, which costs a small network 5 % of a step. An optimizer that torch did not
    wrap, or that has hooks, keeps its step as it is.
    """
    step: Callable[[torch.optim.Optimizer], object] = type(optimizer).step
    hooks = getattr(optimizer, "_optimizer_step_pre_hooks", None) or getattr(
        optimizer, "_optimizer_step_post_hooks", None
    )
    if not getattr(step, "hooked", False) or hooks:
        return step
    return getattr(step, "__wrapped__", step)
