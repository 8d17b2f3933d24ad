"""Schedules that start at the learning rate and never rise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from hpo_cli.components.schedules.factors import check_choice, check_rising, whole_stairs
from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Shape = Literal["linear", "cosine", "sqrt", "exponential"]


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
    At 0 the factor is 1, at 1 it is `factor ** len(at)`. at: rising, else ConfigError.
    Source: He et al. 2016 (arXiv:1512.03385), section 4.2: divide by 10 at 1/2 and 3/4 of training.

    >>> step(0.0), step(0.5), round(step(1.0), 3)
    (1.0, 0.1, 0.01)
    """
    check_rising("schedule.at", at)
    return float(factor ** sum(fraction <= progress for fraction in at))


def linear(progress: float, *, rate: float = 1.0, floor: float = 0.0) -> float:
    """Factor that falls from 1 to `floor` along a line: `1 - (1 - floor) * min(1, rate * progress)`.

    progress: share of training done, 0 .. 1. rate: 1 arrives at the floor with the last step, 2 half-way; below 1
    it does not arrive.
    Source: the rule `lr0 - k t`; Howard & Ruder 2018 (arXiv:1801.06146), eq. 3, without the rise.

    >>> linear(0.0), linear(0.5), linear(1.0), linear(0.5, rate=2.0, floor=0.1)
    (1.0, 0.5, 0.0, 0.1)
    """
    return _between(floor, 1.0 - min(1.0, rate * progress))


def inverse_time(progress: float, *, rate: float = 1.0, every: float = 0.1, stairs: bool = False) -> float:
    """Factor that falls as one over time: `1 / (1 + rate * t)` with `t = progress / every`, its whole part in stairs.

    progress: share of training done, 0 .. 1. every: the share of training that counts as one unit of time.
    Source: Robbins & Monro 1951, steps of order 1 / t; the rule `lr0 / (1 + k t)` with k = rate, t in units of
    `decay_steps` = every * all steps.

    >>> inverse_time(0.0), inverse_time(0.1), round(inverse_time(1.0) * 11, 6)
    (1.0, 0.5, 1.0)
    >>> inverse_time(0.19, stairs=True)
    0.5
    """
    return 1.0 / (1.0 + rate * _time(progress, every=every, stairs=stairs))


def exponential(
    progress: float, *, final: float | None = 0.01, rate: float | None = None, every: float = 0.1, stairs: bool = False
) -> float:
    """Factor that falls geometrically, given by where it ends or by how fast it falls.

    `final ** progress`, or `rate ** t` with `t = progress / every`; in stairs t is cut to its whole part and
    `final ** progress` is `final ** (every * t)`, which ends at `final` when 1 / every is whole.
    progress: share of training done, 0 .. 1. One of final and rate must be null, else ConfigError.
    Source: the rule `lr0 * rate ** (t / decay_steps)` with decay_steps = every * all steps.

    >>> exponential(0.0), round(exponential(0.5), 3), exponential(1.0)
    (1.0, 0.1, 0.01)
    >>> exponential(0.2, final=None, rate=0.5), exponential(0.39, final=None, rate=0.5, stairs=True)
    (0.25, 0.125)
    """
    if final is not None and rate is not None:
        raise ConfigError("schedule.rate", rate, rule="says the same as final", fix="set schedule.final=null too")
    if rate is not None:
        return float(rate ** _time(progress, every=every, stairs=stairs))
    if final is None:
        raise ConfigError("schedule.final", final, rule="is missing, and rate as well", fix="set schedule.final=0.01")
    share = every * _time(progress, every=every, stairs=stairs) if stairs else progress
    return float(final**share)


def cosine(progress: float, *, floor: float = 0.0) -> float:
    """Factor that falls from 1 to `floor` along half a cosine.

    progress: share of training done, 0 .. 1. `floor + (1 - floor) * (1 + cos(pi * progress)) / 2`.
    Source: Loshchilov & Hutter 2017 (arXiv:1608.03983), eq. 5, one period.

    >>> cosine(0.0), round(cosine(0.5), 3), cosine(1.0)
    (1.0, 0.5, 0.0)
    """
    return _between(floor, half_cosine(progress))


def polynomial(progress: float, *, power: float = 0.9, floor: float = 0.0) -> float:
    """Factor that falls from 1 to `floor` as a power: `floor + (1 - floor) * (1 - progress) ** power`.

    progress: share of training done, 0 .. 1. power: 1 is a line, above 1 falls early, below 1 late.
    Source: Chen et al. 2017 (arXiv:1606.00915), section 4.1.2, "poly", power 0.9.

    >>> polynomial(0.0), polynomial(0.5, power=2.0), polynomial(1.0)
    (1.0, 0.25, 0.0)
    """
    return _between(floor, (1.0 - progress) ** power)


def wsd(progress: float, *, decay_share: float = 0.1, shape: Shape = "linear", floor: float = 0.0) -> float:
    """Warm-up, stable, decay: factor 1 until the last `decay_share` of training, then down to `floor`.

    progress: share of training done after the warm-up (`schedule.warmup_steps`), 0 .. 1. With x the share of the
    decay done: linear `1 - x`, cosine `(1 + cos(pi x)) / 2`, sqrt `1 - sqrt(x)`, each stretched between 1 and
    the floor; exponential `floor ** x`, which needs a floor above 0, else ConfigError.
    Source: Hu et al. 2024 (arXiv:2404.06395), section 4.1; shapes: Haegele et al. 2024 (arXiv:2405.18392).

    >>> wsd(0.0), wsd(0.9), round(wsd(0.95), 3), wsd(1.0)
    (1.0, 1.0, 0.5, 0.0)
    """
    check_choice("schedule.shape", shape, ("exponential", *_SHAPES))
    if shape == "exponential" and floor <= 0.0:
        raise ConfigError(
            "schedule.floor", floor, rule="must be above 0 for shape=exponential", fix="set schedule.floor=0.1"
        )
    done = 1.0 - (1.0 - progress) / decay_share
    done = done if done > 1e-9 else 0.0  # noqa: PLR2004 - the step that begins the decay is not on it by rounding
    return float(floor**done) if shape == "exponential" else _between(floor, _SHAPES[shape](done))


def half_cosine(share: float) -> float:
    """Height of half a cosine: 1 at share 0, 1/2 in the middle, 0 at share 1."""
    return (1.0 + math.cos(math.pi * share)) / 2.0


_SHAPES: Mapping[str, Callable[[float], float]] = {
    "linear": lambda done: 1.0 - done,
    "cosine": half_cosine,
    "sqrt": lambda done: 1.0 - math.sqrt(done),
}


def _between(floor: float, height: float) -> float:
    return floor + (1.0 - floor) * height


def _time(progress: float, *, every: float, stairs: bool) -> float:
    return whole_stairs(progress / every) if stairs else progress / every
