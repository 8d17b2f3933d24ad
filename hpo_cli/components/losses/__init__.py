"""Losses. Each takes raw outputs, reads its numbers at every call, and gives the mean over the batch.

A loss with `needs_features` is called with a third argument, what the model's last linear layer takes in.
"""

from hpo_cli.components.losses.center import Center, CrossEntropyCenter
from hpo_cli.components.losses.classes import BinaryCrossEntropy, CrossEntropy
from hpo_cli.components.losses.focal import BinaryFocal, Focal
from hpo_cli.components.losses.multi_task import MultiTask
from hpo_cli.components.losses.weighted import WeightedBinary, WeightedClasses, WeightedTargets

__all__ = [
    "BinaryCrossEntropy",
    "BinaryFocal",
    "Center",
    "CrossEntropy",
    "CrossEntropyCenter",
    "Focal",
    "MultiTask",
    "WeightedBinary",
    "WeightedClasses",
    "WeightedTargets",
]
