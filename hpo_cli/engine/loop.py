"""The training loop: steps, epochs, validation, checkpoints. Lightning calls `advance` and owns the devices."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch

from hpo_cli.components.metrics import metric_sums
from hpo_cli.engine.batches import BatchSource, Pair
from hpo_cli.engine.evaluation import evaluate
from hpo_cli.engine.preflight import horizon
from hpo_cli.engine.progress import Best, Horizon, Position, Reporter
from hpo_cli.engine.states import restore_system, system_state, weights_state
from hpo_cli.engine.step import Stepper
from hpo_cli.engine.stop import StopFlag, StoppedError
from hpo_cli.engine.sums import TrainSums
from hpo_cli.errors import RunFailedError
from hpo_cli.plan import Objective, RunPlan, direction

FLUSH_ELEMENTS = 4_000_000
"""Outputs are kept on the device for train metrics until a flush or until they have this many numbers."""

REPORT_SECONDS = 0.2
"""Whoever watches hears of progress at most this often."""


class Recorder(Protocol):
    """Writes what the loop finds."""

    def row(self, row: Mapping[str, Any]) -> None:
        """Append a row of metrics."""

    def improved(self, step: int, state: Mapping[str, Any]) -> None:
        """The weights of model and criterion in `state` have the best objective so far."""

    def checkpoint(self, state: Mapping[str, Any], *, step: int, epoch: int) -> None:
        """Write a state from which training can go on."""


class TrainingLoop:
    """Trains a live system from a position to the end of its plan."""

    def __init__(
        self, plan: RunPlan, stepper: Stepper, *, train: BatchSource, val: Pair, recorder: Recorder, reporter: Reporter
    ) -> None:
        self.plan, self.stepper, self.system = plan, stepper, stepper.system
        self._train, self._val = train, val
        self._recorder, self._reporter = recorder, reporter
        self.position = Position()
        self.finished = self.stopped_early = False
        self.metrics: dict[str, float] = {}
        self.best: dict[str, Best] = {}
        self._stale_epochs = 0
        self._window, self._epoch_sums = TrainSums(), TrainSums()
        self._sizes: list[int] = []  # of each batch since the last collection, over all processes
        self._steps: list[int] = []  # the update that each of them belonged to
        self._batches: Iterator[Pair] | None = None
        self._batch_size = 0  # of self._batches
        self._outputs_per_sample = self.system.num_outputs * self.system.measure.targets_per_sample
        self._checkpoint_at = self._next_checkpoint()
        self._report_at = 0.0

    @property
    def horizon(self) -> Horizon:
        """How far training goes with the settings of now."""
        settings, num_samples = self.system.settings, self._train.num_samples
        return horizon(settings, num_samples, max_steps=self.plan.trainer.max_steps, position=self.position)

    def begin(self) -> None:
        """Announce the start."""
        self.system.train()
        self._reporter.started(self.horizon)

    def advance(self, num_steps: int, stop: StopFlag) -> None:
        """Take up to `num_steps` steps; validate at each epoch's end. Raises StoppedError once asked to stop."""
        horizon = self.horizon
        for _ in range(num_steps):
            if self.finished:
                return
            self._step(horizon)
            if stop.signum is not None and self.stepper.backend.shard.world == 1:
                break
        backend = self.stepper.backend
        if asked := backend.any_process(stop.signum or 0):
            self.save()
            raise StoppedError(asked)
        if backend.shard.world > 1 and backend.any_process(int(time.monotonic() >= self._checkpoint_at)):
            self.save()

    def _step(self, horizon: Horizon) -> None:
        settings, position = self.system.settings, self.position
        if self._batches is None or self._batch_size != settings.batch_size:
            self._batch_size = settings.batch_size
            self._batches = self._train.batches(position.epoch, start=position.sample, batch_size=self._batch_size)
            if position.sample == 0:
                self.system.reset_carried()
        begin = position.sample
        batches = list(itertools.islice(self._batches, settings.accumulate))
        left = horizon.num_samples - begin
        sizes = [min(settings.batch_size, left - i * settings.batch_size) for i in range(len(batches))]
        rates = self.stepper.rates(position.step, horizon)
        self.stepper.update(batches, rates=rates, place=(position.epoch, begin), sizes=sizes)
        position.step += 1
        self._sizes.extend(sizes)
        self._steps.extend([position.step] * len(sizes))
        position.sample += sum(sizes)
        self._after_step(horizon, rates.lr)

    def _after_step(self, horizon: Horizon, lr: float) -> None:
        position = self.position
        last = position.step >= horizon.total_steps
        epoch_over = position.sample >= horizon.num_samples
        if epoch_over or last:
            self._end_epoch(lr, last=last, whole=epoch_over)
        elif position.step % self.plan.trainer.log_every_steps == 0:
            self._log_step(lr)
        elif sum(self._sizes) * self._outputs_per_sample > FLUSH_ELEMENTS:
            self._collect()
        now = time.monotonic()
        if self._checkpoint_due(now):
            self.save()
        if now >= self._report_at:
            self._reporter.advanced(position)
            self._report_at = now + REPORT_SECONDS

    def _log_step(self, lr: float) -> None:
        self._collect()
        self._write({"train/loss": self._window.loss(), "lr": lr})
        self._window = TrainSums()

    def _end_epoch(self, lr: float, *, last: bool, whole: bool) -> None:
        self._collect()
        for module in (self.system.model, self.system.criterion):
            self.stepper.backend.share_buffers(module)
        if self.system.average is not None:
            self.stepper.backend.share(self.system.average.tensors)
        with self.system.evaluating():
            self._validate(lr)
        self._window, self._epoch_sums = TrainSums(), TrainSums()
        if whole:
            self.position.epoch += 1
            self.position.sample = 0
            self._batches = None
        self.finished = self.finished or last

    def _validate(self, lr: float) -> None:
        measured = evaluate(self.system, self._val, backend=self.stepper.backend)
        train = {f"train/{name}": value for name, value in self._epoch_sums.metrics(self.system.measure).items()}
        self.metrics = {**train, **{f"val/{name}": value for name, value in measured.items()}}
        self._write({**self.metrics, "lr": lr})
        if not math.isfinite(measured["loss"]):
            self._fail("val/loss", measured["loss"], self.position.step)
        self._judge()

    def _write(self, metrics: Mapping[str, float]) -> None:
        row = {"step": self.position.step, "epoch": self.position.epoch + 1, **metrics}
        self._recorder.row(row)
        self._reporter.measured(row)

    def _judge(self) -> None:
        """Note each metric's best, keep the weights of the objective's, and stop when it has not moved for long."""
        objective, step = self.plan.objective, self.position.step
        for name, value in self.metrics.items():
            known = self.best.get(name)
            if Objective(name, direction(name)).better(value, known.value if known else None):
                self.best[name] = Best(value, step)
        improved = objective.name in self.best and self.best[objective.name].step == step
        self._stale_epochs = 0 if improved else self._stale_epochs + 1
        if improved:
            self._recorder.improved(step, weights_state(self.system))
        if objective.name in self.metrics:
            self.system.schedule.observe(self.metrics[objective.name], mode=objective.mode)
        patience = self.plan.regularization.early_stopping
        if patience is not None and self._stale_epochs >= patience:
            self.finished = self.stopped_early = True

    def _collect(self) -> None:
        """Take the losses and outputs that the steps left on the device. Raises RunFailedError at a bad loss."""
        if not self._sizes:
            return
        losses = self._losses_over_processes()
        bad = next((index for index, loss in enumerate(losses) if not math.isfinite(loss)), None)
        if bad is not None:
            self._write_before(losses[:bad])
            self._fail("train/loss", losses[bad], self._steps[bad])
        correct = self._correct_over_processes()
        for sums in (self._window, self._epoch_sums):
            sums.add(losses, self._sizes, correct)
        self.stepper.forget()
        self._sizes.clear()
        self._steps.clear()

    def _losses_over_processes(self) -> list[float]:
        backend = self.stepper.backend
        losses = torch.stack(self.stepper.losses)
        if backend.shard.world > 1:
            shares = [backend.shard.count(size) / size for size in self._sizes]
            losses = backend.sum_over_processes(losses * torch.tensor(shares, device=losses.device))
        values: list[float] = losses.tolist()
        return values

    def _correct_over_processes(self) -> float:
        """How many targets since the last collection were classified right; 0 without an accuracy."""
        stepper = self.stepper
        if not self.system.measure.has_accuracy:
            return 0.0
        if stepper.outputs:
            outputs, targets = torch.cat(stepper.outputs), torch.cat(stepper.targets)
            sums = metric_sums(outputs, targets, measure=self.system.measure)
        else:  # this process had none of the rows
            sums = torch.zeros(2, dtype=torch.float64, device=stepper.backend.device)
        return float(stepper.backend.sum_over_processes(sums)[1].item())

    def _write_before(self, losses: list[float]) -> None:
        """The last row of a run that failed: the mean of the good losses since the row before."""
        self._window.add(losses, self._sizes[: len(losses)], 0.0)
        if losses:
            row = {"step": self._steps[len(losses) - 1], "epoch": self.position.epoch + 1}
            self._recorder.row({**row, "train/loss": self._window.loss()})

    def _fail(self, name: str, loss: float, step: int) -> None:
        lr = self.stepper.rates(step - 1, self.horizon).lr
        raise RunFailedError(
            f"{name} is {loss} at step {step} (epoch {self.position.epoch + 1}, lr {lr:.3g}): "
            f"lower lr, or set regularization.clip_norm=1"
        )

    def _checkpoint_due(self, now: float) -> bool:
        every = self.plan.checkpoint.every_steps
        if every is not None and self.position.step % every == 0:
            return True
        return self.stepper.backend.shard.world == 1 and now >= self._checkpoint_at

    def _next_checkpoint(self) -> float:
        minutes = self.plan.checkpoint.every_minutes
        return math.inf if minutes is None else time.monotonic() + 60 * minutes

    def save(self) -> None:
        """Write a checkpoint of this step boundary."""
        self._collect()
        self._recorder.checkpoint(self.state(), step=self.position.step, epoch=self.position.epoch)
        self._checkpoint_at = self._next_checkpoint()

    def state(self) -> dict[str, Any]:
        """Everything that training from here depends on, in plain types and tensors."""
        scaler = self.stepper.backend.scaler
        return {
            "plan_id": self.plan.plan_id,
            "position": vars(self.position).copy(),
            "finished": self.finished,
            **system_state(self.system),
            "scaler": scaler.state_dict() if scaler is not None else None,
            "metrics": dict(self.metrics),
            "best": {name: [best.value, best.step] for name, best in self.best.items()},
            "stale_epochs": self._stale_epochs,
            "window": vars(self._window).copy(),
            "epoch_sums": vars(self._epoch_sums).copy(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `state` gave."""
        restore_system(self.system, state)
        if self.stepper.backend.scaler is not None and state["scaler"] is not None:
            self.stepper.backend.scaler.load_state_dict(state["scaler"])
        self.position = Position(**state["position"])
        self.finished = state["finished"]
        self.metrics = dict(state["metrics"])
        self.best = {name: Best(*best) for name, best in state["best"].items()}
        self._stale_epochs = state["stale_epochs"]
        self._window, self._epoch_sums = TrainSums(**state["window"]), TrainSums(**state["epoch_sums"])
        self._batches = None
