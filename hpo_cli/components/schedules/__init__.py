"""Learning-rate schedules: pure functions of training progress that return factors of the hot knobs.

`lr(step) = lr * factor`. They hold no state, so a resumed, extended or nudged run means exactly one thing; `Plateau`
alone has a memory, which is part of the checkpoint. Every schedule here stays within 0 .. 1, torch's own apart.
"""

from __future__ import annotations

from hpo_cli.components.schedules.bind import Schedule, bind_schedule
from hpo_cli.components.schedules.cycles import cyclical, one_cycle, warm_restarts
from hpo_cli.components.schedules.factors import Factors, Place
from hpo_cli.components.schedules.falling import (
    constant,
    cosine,
    exponential,
    inverse_time,
    linear,
    polynomial,
    step,
    wsd,
)
from hpo_cli.components.schedules.from_torch import TorchScheduler
from hpo_cli.components.schedules.plateau import Plateau

__all__ = [
    "Factors",
    "Place",
    "Plateau",
    "Schedule",
    "TorchScheduler",
    "bind_schedule",
    "constant",
    "cosine",
    "cyclical",
    "exponential",
    "inverse_time",
    "linear",
    "one_cycle",
    "polynomial",
    "step",
    "warm_restarts",
    "wsd",
]
