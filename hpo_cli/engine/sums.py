"""Sums of what training saw, from which train metrics come. They are part of a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpo_cli.components.metrics import Measure


@dataclass
class TrainSums:
    """Sums over the batches of a window. Added one batch after the other, so that no kill or flush changes a bit."""

    loss_times_size: float = 0.0
    samples: int = 0
    correct: float = 0.0

    def add(self, losses: Sequence[float], sizes: Sequence[int], correct: float) -> None:
        """Add batches with these mean losses and sizes, of whose targets `correct` were classified right."""
        for loss, size in zip(losses, sizes, strict=True):
            self.loss_times_size += loss * size
        self.samples += sum(sizes)
        self.correct += correct

    def loss(self) -> float:
        """The mean loss a sample."""
        return self.loss_times_size / self.samples

    def metrics(self, measure: Measure) -> dict[str, float]:
        """`loss`, and `accuracy` where the task has one."""
        found = {"loss": self.loss()}
        if not measure.has_accuracy:
            return found
        return {**found, "accuracy": self.correct / (self.samples * measure.targets_per_sample)}
