"""Learning-rate schedules: pure functions of training progress that return a factor of the learning rate.

`lr(step) = lr * warmed_up(step, schedule=..., ...)`. They hold no state, so a resumed, extended or nudged run
means exactly one thing. Every schedule here starts at 1, never rises and stays within 0 .. 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def constant(progress: float) -> float:  # noqa: ARG001 - every schedule takes the progress
    """Factor 1 from the first step to the last.

    progress: share of training done, 0 .. 1.

    >>> constant(0.0), constant(1.0)
    (1.0, 1.0)
    """
    return 1.0


def step(progress: float, *, at: Sequence[float] = (0.5, 0.75), factor: float = 0.1) -> float:
    """Multiply by `factor` at each of the fractions `at`: `factor ** #{a in at: a <= progress}`.

    progress: share of training done, 0 .. 1. The step that reaches a fraction has the lower rate already.
    At 0 the factor is 1, at 1 it is `factor ** len(at)`.
    Source: He et al. 2016 (arXiv:1512.03385), section 4.2: divide by 10 at 1/2 and 3/4 of training.

    >>> step(0.0), step(0.5), round(step(1.0), 3)
    (1.0, 0.1, 0.01)
    """
    return float(factor ** sum(fraction <= progress for fraction in at))


def exponential(progress: float, *, final: float = 0.01) -> float:
    """Factor that falls geometrically from 1 to `final`: `final ** progress`.

    progress: share of training done, 0 .. 1. Each step multiplies it by `final ** (1 / total_steps)`.
    Source: the rule `lr0 * rate ** (t / decay_steps)` with decay_steps = all steps, rate = final.

    >>> exponential(0.0), round(exponential(0.5), 3), exponential(1.0)
    (1.0, 0.1, 0.01)
    """
    return float(final**progress)


def cosine(progress: float, *, floor: float = 0.0) -> float:
    """Factor that falls from 1 to `floor` along half a cosine.

    progress: share of training done, 0 .. 1. `floor + (1 - floor) * (1 + cos(pi * progress)) / 2`.
    Source: Loshchilov & Hutter 2017 (arXiv:1608.03983), eq. 5, one period.

    >>> cosine(0.0), round(cosine(0.5), 3), cosine(1.0)
    (1.0, 0.5, 0.0)
    """
    return floor + (1.0 - floor) * (1.0 + math.cos(math.pi * progress)) / 2.0


def warmed_up(step: int, *, schedule: Callable[[float], float], total_steps: int, warmup_steps: int = 0) -> float:
    """Factor of the learning rate at an optimizer step: a linear warm-up, then `schedule` over what is left.

    step: optimizer steps done, 0 .. total_steps. While `step < warmup_steps` the factor is
    `(step + 1) / (warmup_steps + 1)`: above 0 at the first step, and it would reach 1 just when the schedule
    takes over with progress 0: `schedule((step - warmup_steps) / (total_steps - warmup_steps))`.
    warmup_steps: at most total_steps (the plan refuses more); when equal, the schedule stays at progress 0.
    Source: Goyal et al. 2017 (arXiv:1706.02677), section 2.2, gradual warm-up.

    >>> [warmed_up(i, schedule=cosine, total_steps=5, warmup_steps=3) for i in range(6)]
    [0.25, 0.5, 0.75, 1.0, 0.5, 0.0]
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    return schedule((step - warmup_steps) / max(1, total_steps - warmup_steps))
