"""One optimizer step: forward, loss, backward, clipping, update; what a bare torch loop does, and nothing slower."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import nn

from hpo_cli.components.mixing import Mixed, mix
from hpo_cli.components.schedules import Factors
from hpo_cli.engine.averaging import WeightAverage
from hpo_cli.engine.backend import Backend
from hpo_cli.engine.batches import Pair
from hpo_cli.engine.moving import set_momentum
from hpo_cli.engine.progress import Horizon
from hpo_cli.engine.randomness import STEP, derive, seed_everywhere
from hpo_cli.engine.system import System

Measured = Literal["nothing", "gradients"]
"""What a step notes about itself beside its losses: nothing, or how large its gradient and its move are."""


class Rates(NamedTuple):
    """What a step moves with. momentum: None where the schedule leaves it alone."""

    lr: float
    momentum: float | None = None


class Stepper:
    """Runs optimizer steps on a live system.

    forward: the model as it is called, compiled or not. `losses`, `outputs` and `targets` gather what the steps saw,
    on the device, until the loop collects them. `gradient_norm` (before clipping, over all parameters) and
    `update_ratio` (how far the weights moved over how large they were, both as one vector) are of the last step,
    on the device, and None unless it was asked for them.
    """

    def __init__(self, system: System, backend: Backend, *, seed: int, forward: nn.Module | None = None) -> None:
        self.system, self.backend = system, backend
        self._forward = system.model if forward is None else forward
        self._seed = seed
        self._parameters = [p for group in system.optimizer.param_groups for p in group["params"]]
        self._weights = [p for p in self._parameters if p.ndim > 1]
        self._plain = backend.autocast is None and backend.backward is None and backend.scaler is None
        self._update = _without_profiling(system.optimizer)
        self.losses: list[torch.Tensor] = []
        self.outputs: list[torch.Tensor] = []
        self.targets: list[torch.Tensor] = []
        self.gradient_norm: torch.Tensor | None = None
        self.update_ratio: torch.Tensor | None = None

    def rates(self, step: int, horizon: Horizon) -> Rates:
        """Learning rate and momentum of optimizer step `step` (from 0): the knobs times the schedule's factors.

        The rate is also divided by 1 + decay * step (Keras' time-based decay) and scaled with the batch of an update:
        linearly (Goyal et al. 2017, arXiv:1706.02677) or by the square root (Krizhevsky 2014, arXiv:1404.5997).
        """
        settings = self.system.settings
        factors: Factors = self.system.schedule.factors(
            step,
            total_steps=horizon.total_steps,
            warmup_steps=settings.warmup_steps,
            steps_per_epoch=horizon.steps_per_epoch,
        )
        lr = settings.lr * factors.lr
        if settings.lr_decay:
            lr /= 1.0 + settings.lr_decay * step
        if settings.scale_lr != "none":
            times = settings.batch_size * settings.accumulate / settings.base_size
            lr *= times if settings.scale_lr == "linear" else math.sqrt(times)
        return Rates(lr, None if settings.momentum is None else settings.momentum * factors.momentum)

    def update(
        self,
        batches: Sequence[Pair],
        *,
        rates: Rates,
        place: tuple[int, int],
        sizes: Sequence[int],
        measure: Measured = "nothing",
    ) -> None:
        """One update from the mean gradient over all samples of `batches`, as one large batch would give it.

        place: (epoch, first sample), seeds the step's randomness.   sizes: samples of each batch over all processes.
        """
        system = self.system
        for group in system.optimizer.param_groups:
            group["lr"] = rates.lr * group.get("lr_scale", 1.0)
        if rates.momentum is not None:
            set_momentum(system.optimizer, rates.momentum)
        seed_everywhere(derive(self._seed, STEP, *place, self.backend.shard.rank))
        shard, total = self.backend.shard, sum(sizes)
        for (x, y), size in zip(batches, sizes, strict=True):
            self._accumulate(x, y, share=shard.count(size) * shard.world / total)
        scale = self._scale()
        self._apply(system.optimizer, measure=measure)
        if system.settings.ema is None:
            system.average = None
        elif self._scale() >= scale:  # else the scaler has left this step out
            system.average = system.average or WeightAverage(system.model)
            system.average.update(system.settings.ema)

    def forget(self) -> None:
        """Drop what the steps gathered."""
        self.losses, self.outputs, self.targets = [], [], []

    def loss_of(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The loss of a batch with its penalties, as training sees it, but not mixed; gathers nothing."""
        with self.backend.forward_context():
            return self._penalised(self.system.loss(self._forward(self._augmented(x)), y))

    def _augmented(self, x: torch.Tensor) -> torch.Tensor:
        if self.system.augment is None:
            return x
        with torch.no_grad():
            augmented: torch.Tensor = self.system.augment(x)
        return augmented

    def _mixed(self, x: torch.Tensor) -> Mixed | None:
        settings = self.system.settings
        if not (settings.mixup or settings.cutmix):
            return None
        return mix(x, mixup=settings.mixup, cutmix=settings.cutmix)

    def _accumulate(self, x: torch.Tensor, y: torch.Tensor, *, share: float) -> None:
        x = self._augmented(x)
        mixed = self._mixed(x)
        if self._plain:
            outputs, loss = self._outputs_and_loss(x, y, mixed)
        else:
            with self.backend.forward_context():
                outputs, loss = self._outputs_and_loss(x, y, mixed)
        self.losses.append(loss.detach())
        if share:
            self.outputs.append(outputs.detach())
            self.targets.append(y)
        total = self._penalised(loss)
        total = total if share == 1.0 else total * share
        if self.backend.scaler is not None and self.backend.backward is None:  # else the strategy scales
            total = self.backend.scaler.scale(total)
        (self.backend.backward or torch.Tensor.backward)(total)

    def _outputs_and_loss(
        self, x: torch.Tensor, y: torch.Tensor, mixed: Mixed | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if mixed is None:
            outputs = self._forward(x)
            return outputs, self.system.loss(outputs, y)
        outputs = self._forward(mixed.x)
        own, other = self.system.loss(outputs, y), self.system.loss(outputs, y[mixed.order])
        return outputs, mixed.share * own + (1.0 - mixed.share) * other

    def _penalised(self, loss: torch.Tensor) -> torch.Tensor:
        l1, l2 = self.system.settings.l1, self.system.settings.l2
        if l1:
            loss = loss + l1 * torch.stack([weight.abs().sum() for weight in self._weights]).sum()
        if l2:
            loss = loss + l2 / 2 * torch.stack([weight.square().sum() for weight in self._weights]).sum()
        return loss

    def _apply(self, optimizer: torch.optim.Optimizer, *, measure: Measured) -> None:
        scaler = self.backend.scaler
        if scaler is not None:
            scaler.unscale_(optimizer)
        gradients = measure == "gradients"
        before = [parameter.detach().clone() for parameter in self._parameters] if gradients else []
        self.gradient_norm = _norm([p.grad for p in self._parameters if p.grad is not None]) if gradients else None
        self._clip()
        if scaler is None:
            self._update(optimizer)
        else:
            scaler.step(optimizer)
            scaler.update()
        self.update_ratio = self._moved(before) if gradients else None
        for parameter in self._parameters:  # what optimizer.zero_grad() does, without its profiler's bookkeeping
            parameter.grad = None
        if self.backend.autocast is not None:
            torch.clear_autocast_cache()  # else the next forward pass would use the weights of before this update

    def _clip(self) -> None:
        settings = self.system.settings
        if settings.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._parameters, settings.clip_norm)
        if settings.clip_value is not None:
            nn.utils.clip_grad_value_(self._parameters, settings.clip_value)

    def _moved(self, before: list[torch.Tensor]) -> torch.Tensor:
        """|w - w before| / |w before|, 0 where all weights were zero."""
        size = _norm(before)
        now = [parameter.detach() for parameter in self._parameters]
        change = _norm(list(torch._foreach_sub(now, before)))  # noqa: SLF001 - what torch's own optimizers call
        return torch.where(size > 0, change / size, 0.0)

    def _scale(self) -> float:
        """The scaler's scale, which falls when it leaves a step out. Waits for the device, so only where it counts."""
        scaler = self.backend.scaler
        return 0.0 if scaler is None or self.system.settings.ema is None else float(scaler.get_scale())


def _norm(tensors: list[torch.Tensor]) -> torch.Tensor:
    """The norm of all of them as one vector, a scalar on their device."""
    norms = torch._foreach_norm(tensors)  # noqa: SLF001 - what torch's own clipping calls
    norm: torch.Tensor = torch.linalg.vector_norm(torch.stack(norms))
    return norm


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
