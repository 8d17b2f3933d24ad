"""What training steps left on the device, brought home now and then: the sums that train metrics come from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from hpo_cli.components.metrics import metric_sums
from hpo_cli.engine.rescue import Trouble
from hpo_cli.engine.step import Stepper
from hpo_cli.engine.sums import TrainSums

FLUSH_ELEMENTS = 4_000_000
"""Outputs are kept on the device for train metrics until a flush or until they have this many numbers."""


class Tally:
    """Sums over the steps since the last row (`window`) and over the epoch so far."""

    def __init__(self, stepper: Stepper) -> None:
        self._stepper, self._measure = stepper, stepper.system.measure
        self.window, self.epoch = TrainSums(), TrainSums()
        self._sizes: list[int] = []  # of each batch since the last collection, over all processes
        self._steps: list[int] = []  # the update that each of them belonged to
        self._good: list[float] = []  # losses before a bad one
        self._outputs_per_sample = stepper.system.num_outputs * self._measure.targets_per_sample

    def note(self, sizes: Sequence[int], *, step: int) -> None:
        """An update was made of batches of these sizes."""
        self._sizes.extend(sizes)
        self._steps.extend([step] * len(sizes))

    @property
    def is_full(self) -> bool:
        """Whether the outputs on the device should be brought home."""
        return sum(self._sizes) * self._outputs_per_sample > FLUSH_ELEMENTS

    def collect(self) -> None:
        """Take the losses and outputs that the steps left on the device. Raises Trouble at a bad loss."""
        if not self._sizes:
            return
        losses = self._losses_over_processes()
        bad = next((index for index, loss in enumerate(losses) if not math.isfinite(loss)), None)
        if bad is not None:
            self._good = losses[:bad]
            raise Trouble(self._steps[bad], f"train/loss is {losses[bad]}")
        correct = self._correct_over_processes()
        for sums in (self.window, self.epoch):
            sums.add(losses, self._sizes, correct)
        self._drop()

    def good_part(self) -> tuple[int, float] | None:
        """Before a bad loss: the last good step, and the mean loss since the row before; None where there is none."""
        if not self._good:
            return None
        self.window.add(self._good, self._sizes[: len(self._good)], 0.0)
        return self._steps[len(self._good) - 1], self.window.loss()

    def state(self) -> dict[str, Any]:
        """The sums as plain types, for a checkpoint; call it when all is collected."""
        return {"window": vars(self.window).copy(), "epoch_sums": vars(self.epoch).copy()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what `state` gave."""
        self.window, self.epoch = TrainSums(**state["window"]), TrainSums(**state["epoch_sums"])
        self._drop()

    def _drop(self) -> None:
        self._stepper.forget()
        self._sizes.clear()
        self._steps.clear()
        self._good = []

    def _losses_over_processes(self) -> list[float]:
        backend = self._stepper.backend
        losses = torch.stack(self._stepper.losses)
        if backend.shard.world > 1:
            shares = [backend.shard.count(size) / size for size in self._sizes]
            losses = backend.sum_over_processes(losses * torch.tensor(shares, device=losses.device))
        values: list[float] = losses.tolist()
        return values

    def _correct_over_processes(self) -> float:
        """How many targets since the last collection were classified right; 0 without an accuracy."""
        stepper = self._stepper
        if not self._measure.has_accuracy:
            return 0.0
        if stepper.outputs:
            outputs, targets = torch.cat(stepper.outputs), torch.cat(stepper.targets)
            sums = metric_sums(outputs, targets, measure=self._measure)
        else:  # this process had none of the rows
            sums = torch.zeros(2, dtype=torch.float64, device=stepper.backend.device)
        return float(stepper.backend.sum_over_processes(sums)[1].item())
