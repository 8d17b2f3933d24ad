"""The training loop: steps, epochs, validation, checkpoints. Lightning calls `advance` and owns the devices."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import torch

from hpo_cli.engine.batches import BatchSource, Pair
from hpo_cli.engine.evaluation import evaluate
from hpo_cli.engine.partners import Keep, Recorder, Steering, Unsteered
from hpo_cli.engine.preflight import horizon
from hpo_cli.engine.progress import Best, Horizon, Position, Reporter
from hpo_cli.engine.rescue import Rescue, Trouble
from hpo_cli.engine.states import restore_system, system_state, weights_state
from hpo_cli.engine.step import Measured, Stepper
from hpo_cli.engine.stop import StopFlag, StoppedError
from hpo_cli.engine.sums import TrainSums
from hpo_cli.engine.tally import Tally
from hpo_cli.errors import RunFailedError
from hpo_cli.plan import Objective, RunPlan, direction

REPORT_SECONDS = 0.2
"""Whoever watches hears of progress at most this often."""


class TrainingLoop:
    """Trains a live system from a position to the end of its plan."""

    def __init__(
        self,
        plan: RunPlan,
        stepper: Stepper,
        *,
        train: BatchSource,
        val: Pair,
        recorder: Recorder,
        reporter: Reporter,
        steering: Steering | None = None,
    ) -> None:
        self.plan, self.stepper, self.system = plan, stepper, stepper.system
        self.train_source, self.val = train, val
        self._recorder, self.reporter = recorder, reporter
        self._steering: Steering = steering or Unsteered()
        self.rescue = Rescue(plan.rescue)
        self.position = Position()
        self.finished = self.stopped_early = self._ended = False
        self.rate = 0.0  # the learning rate of the last step
        self.metrics: dict[str, float] = {}
        self.best: dict[str, Best] = {}
        self._stale_epochs = 0
        self._tally = Tally(stepper)
        self._batches: Iterator[Pair] | None = None
        self._batch_size = 0  # of self._batches
        self._checkpoint_at = self._next_checkpoint()
        self._report_at = 0.0
        self._now = 0.0
        self.horizon = self._horizon()

    def _horizon(self) -> Horizon:
        settings, num_samples = self.system.settings, self.train_source.num_samples
        return horizon(settings, num_samples, max_steps=settings.max_steps, position=self.position)

    @property
    def num_samples(self) -> int:
        """Training samples."""
        return self.train_source.num_samples

    def begin(self) -> None:
        """Announce the start, and do what is due before the first step: it may be what makes a finished run go on."""
        self.system.train()
        self._settle()
        self.reporter.started(self.horizon, self.position)
        self._steering.attend(self)

    def advance(self, num_steps: int, stop: StopFlag) -> None:
        """Take up to `num_steps` steps; validate at each epoch's end. Raises StoppedError once asked to stop."""
        steering, alone = self._steering, self.stepper.backend.shard.world == 1
        for _ in range(num_steps):
            try:
                if self.position.step >= steering.attend_step or self._now >= steering.attend_at:
                    steering.attend(self)
                if self.finished:
                    return
                self._step()
                if alone and stop.signum is not None:
                    self.stop(stop.signum)
            except Trouble as trouble:
                steering.answer(self, trouble)

    def stop(self, signum: int) -> NoReturn:
        """Save, and raise StoppedError."""
        self.save()
        raise StoppedError(signum)

    def end(self) -> None:
        """Take no further step, whatever else comes into force at this boundary."""
        self.finished = self._ended = True

    def retune(self) -> None:
        """Take note of settings that have changed."""
        self._settle()
        self.reporter.changed(self.horizon)

    def _settle(self) -> None:
        """How far training goes with the settings of now, and whether it is there already."""
        self.horizon = self._horizon()
        patience = self.system.settings.early_stopping
        self.stopped_early = patience is not None and self._stale_epochs >= patience
        self.finished = self._ended or self.stopped_early or self.position.step >= self.horizon.total_steps

    def _step(self) -> None:
        settings, position, horizon = self.system.settings, self.position, self.horizon
        if self._batches is None or self._batch_size != settings.batch_size:
            self._batch_size = settings.batch_size
            self._batches = self.train_source.batches(
                position.epoch, start=position.sample, batch_size=self._batch_size
            )
            if position.sample == 0:
                self.system.reset_carried()
        begin = position.sample
        batches = list(itertools.islice(self._batches, settings.accumulate))
        left = horizon.num_samples - begin
        sizes = [min(settings.batch_size, left - i * settings.batch_size) for i in range(len(batches))]
        rates = self.stepper.rates(position.step, horizon)
        self.rate = rates.lr
        used = sum(sizes)
        ends = position.sample + used >= horizon.num_samples or position.step + 1 >= horizon.total_steps
        logs = not ends and (position.step + 1) % self.plan.trainer.log_every_steps == 0
        measure: Measured = "gradients" if (ends or logs) and self.plan.trainer.log_gradients else "nothing"
        self.stepper.update(batches, rates=rates, place=(position.epoch, begin), sizes=sizes, measure=measure)
        position.step += 1
        position.sample += used
        self._tally.note(sizes, step=position.step)
        if ends:
            self._end_epoch()
        elif logs:
            self._log_step()
        elif self._tally.is_full:
            self._tally.collect()
        self._after_step()

    def _after_step(self) -> None:
        self._now = now = time.monotonic()
        if self._checkpoint_due(now):
            self.save()
        if now >= self._report_at:
            self.reporter.advanced(self.position)
            self._report_at = now + REPORT_SECONDS

    def _log_step(self) -> None:
        self._tally.collect()
        self._write({"train/loss": self._tally.window.loss(), **self._measured(), "lr": self.rate})
        self._end_window()

    def _end_window(self) -> None:
        window, self._tally.window = self._tally.window, TrainSums()
        if window.samples and (trouble := self.rescue.observe_window(window.loss(), self.position.step)):
            raise trouble

    def _measured(self) -> dict[str, float]:
        """What the last step left about gradients; empty when it was not asked to."""
        stepper = self.stepper
        if stepper.gradient_norm is None or stepper.update_ratio is None:
            return {}
        norms = torch.stack([stepper.gradient_norm, stepper.update_ratio]).tolist()
        named = zip(("train/grad_norm", "train/update_ratio"), norms, strict=True)
        return {name: norm for name, norm in named if math.isfinite(norm)}

    def _end_epoch(self) -> None:
        self._tally.collect()
        for module in (self.system.model, self.system.criterion):
            self.stepper.backend.share_buffers(module)
        if self.system.average is not None:
            self.stepper.backend.share(self.system.average.tensors)
        with self.system.evaluating():
            self._validate()
        self._tally.epoch = TrainSums()
        if self.position.sample >= self.horizon.num_samples:
            self.position.epoch += 1
            self.position.sample = 0
            self._batches = None
        self._settle()
        self._end_window()

    def _validate(self) -> None:
        measured = evaluate(self.system, self.val, backend=self.stepper.backend)
        train = {f"train/{name}": value for name, value in self._tally.epoch.metrics(self.system.measure).items()}
        self.metrics = {**train, **{f"val/{name}": value for name, value in measured.items()}}
        self._write({**self.metrics, **self._measured(), "lr": self.rate})
        if not math.isfinite(measured["loss"]):
            raise Trouble(self.position.step, f"val/loss is {measured['loss']}")
        self._judge()

    def _write(self, metrics: Mapping[str, float]) -> None:
        row = {"step": self.position.step, "epoch": self.position.epoch + 1, **metrics}
        self._recorder.row(row)
        self.reporter.measured(row)

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
            self._recorder.improved(step, weights_state(self.system), line=self._steering.line)
        if objective.name in self.metrics:
            self.system.schedule.observe(self.metrics[objective.name], mode=objective.mode)

    def fail(self, trouble: Trouble) -> NoReturn:
        """Write what was good since the row before, and raise RunFailedError."""
        if (good := self._tally.good_part()) is not None:
            step, loss = good
            self._recorder.row({"step": step, "epoch": self.position.epoch + 1, "train/loss": loss})
        lr = self.stepper.rates(trouble.step - 1, self.horizon).lr
        place = f"at step {trouble.step} (epoch {self.position.epoch + 1}, lr {lr:.3g})"
        raise RunFailedError(f"{trouble.what} {place}: lower lr, or set regularization.clip_norm=1")

    def _checkpoint_due(self, now: float) -> bool:
        every = self.plan.checkpoint.every_steps
        if every is not None and self.position.step % every == 0:
            return True
        return self.stepper.backend.shard.world == 1 and now >= self._checkpoint_at

    def _next_checkpoint(self) -> float:
        minutes = self.plan.checkpoint.every_minutes
        return math.inf if minutes is None else time.monotonic() + 60 * minutes

    @property
    def checkpoint_overdue(self) -> bool:
        """Whether the clock asks for a checkpoint."""
        return time.monotonic() >= self._checkpoint_at

    def save(self, *, tag: str | None = None, keep: Keep = "rolling", command: str | None = None) -> None:
        """Write a checkpoint of this step boundary. command: the id of the one that asked for it."""
        self._tally.collect()
        position, line = self.position, self._steering.line
        self._recorder.checkpoint(
            self.state(), step=position.step, epoch=position.epoch, line=line, tag=tag, keep=keep, command=command
        )
        self._checkpoint_at = self._next_checkpoint()

    def state(self) -> dict[str, Any]:
        """Everything that training from here depends on, in plain types and tensors. All processes call it together."""
        scaler = self.stepper.backend.scaler
        found = system_state(self.system)
        return {
            **found,
            "plan_id": self.plan.plan_id,
            "line": list(self._steering.line),
            "position": vars(self.position).copy(),
            "carried": self.stepper.backend.gathered(found["carried"]),
            "scaler": scaler.state_dict() if scaler is not None else None,
            "metrics": dict(self.metrics),
            "best": {name: [best.value, best.step] for name, best in self.best.items()},
            "stale_epochs": self._stale_epochs,
            **self._tally.state(),
            "rescue": self.rescue.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `state` gave, whatever this loop did before."""
        carried = state["carried"]
        own = carried[self.stepper.backend.shard.rank] if isinstance(carried, list) else carried
        restore_system(self.system, {**state, "carried": own})
        if self.stepper.backend.scaler is not None and state["scaler"] is not None:
            self.stepper.backend.scaler.load_state_dict(state["scaler"])
        self.position = Position(**state["position"])
        self.metrics = dict(state["metrics"])
        self.best = {name: Best(*best) for name, best in state["best"].items()}
        self._stale_epochs = state["stale_epochs"]
        self._tally.restore(state)
        self.rescue.restore(state["rescue"])
        self._batches = None
        self._settle()

    def skip(self, num_batches: int) -> None:
        """Jump over batches of the data; an epoch's end that is jumped over has no validation."""
        self._tally.collect()
        position, size = self.position, self.system.settings.batch_size
        left = math.ceil((self.num_samples - position.sample) / size)
        if num_batches < left:
            position.sample += num_batches * size
        else:
            epochs, batches = divmod(num_batches - left, math.ceil(self.num_samples / size))
            position.epoch, position.sample = position.epoch + 1 + epochs, batches * size
            self._tally.epoch = TrainSums()
        self._batches = None
        self._settle()
