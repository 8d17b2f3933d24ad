"""Schedules that rise again: their highest factor is 1, so the knob `lr` is the highest learning rate."""

from __future__ import annotations

from bisect import bisect_right
from functools import cache
from itertools import accumulate
from typing import Literal

from hpo_cli.components.schedules.factors import Factors, check_choice
from hpo_cli.components.schedules.falling import half_cosine
from hpo_cli.errors import ConfigError

Mode = Literal["triangular", "triangular2", "exp_range"]
Anneal = Literal["cos", "linear"]
_HALF = 0.5


def cyclical(
    progress: float,
    *,
    cycles: int = 4,
    floor: float = 0.25,
    rise: float = 0.5,
    mode: Mode = "triangular",
    final: float = 0.1,
) -> float:
    """Factor that goes up and down between `floor` and a maximum, `cycles` times over training.

    `floor + (1 - floor) * height * scale`: height climbs from 0 to 1 in the first `rise` of a cycle and falls back to
    0 in the rest; scale is 1 (triangular), `1 / 2 ** cycles done` (triangular2) or `final ** progress` (exp_range).
    progress: share of training done, 0 .. 1. At 0 and at 1 the factor is `floor`.
    Source: Smith 2017 (arXiv:1506.01186), section 3: floor 1/3 or 1/4 of the maximum; an lr range test gives both.

    >>> cyclical(0.0), cyclical(0.125), cyclical(0.25), cyclical(1.0)
    (0.25, 1.0, 0.25, 0.25)
    >>> [cyclical(peak / 8, mode="triangular2", floor=0.0) for peak in (1, 3, 5, 7)]
    [1.0, 0.5, 0.25, 0.125]
    """
    check_choice("schedule.mode", mode, ("triangular", "triangular2", "exp_range"))
    done = int(progress * cycles)
    within = progress * cycles - done
    height = within / rise if within <= rise else (1.0 - within) / (1.0 - rise)
    scales: dict[str, float] = {"triangular": 1.0, "triangular2": 0.5**done, "exp_range": final**progress}
    return floor + (1.0 - floor) * height * scales[mode]


def warm_restarts(progress: float, *, cycles: int = 3, multiplier: float = 2.0, floor: float = 0.0) -> float:
    """Half a cosine from 1 to `floor`, begun anew `cycles` times, each period `multiplier` times the one before.

    progress: share of training done, 0 .. 1. A restart takes effect at the step that reaches it; the last period
    ends with training, so at 1 the factor is `floor`.
    Source: Loshchilov & Hutter 2017 (arXiv:1608.03983), eq. 5: T_mult = multiplier, T_0 what makes the periods fit.

    >>> warm_restarts(0.0), round(warm_restarts(1 / 14), 6), warm_restarts(1 / 7), warm_restarts(3 / 7)
    (1.0, 0.5, 1.0, 1.0)
    >>> warm_restarts(1.0)
    0.0
    """
    ends = period_ends(cycles, multiplier)
    current = min(bisect_right(ends, progress + 1e-9), cycles - 1)
    begin = ends[current - 1] if current else 0.0
    within = min(1.0, max(0.0, (progress - begin) / (ends[current] - begin)))
    return floor + (1.0 - floor) * half_cosine(within)


@cache
def period_ends(cycles: int, multiplier: float) -> tuple[float, ...]:
    """Shares of training at which the periods of warm restarts end; the last is 1.

    >>> period_ends(2, 3.0)
    (0.25, 1.0)
    """
    lengths = [multiplier ** (index + 1 - cycles) for index in range(cycles)]  # the last is 1: nothing overflows
    ends = list(accumulate(lengths))
    return tuple(end / ends[-1] for end in ends)


def one_cycle(
    progress: float,
    *,
    rise: float = 0.3,
    div: float = 25.0,
    final: float = 4e-6,
    dip: float = 0.894737,
    anneal: Anneal = "cos",
    phases: Literal[2, 3] = 2,
) -> Factors:
    """One long cycle: the learning rate from 1/div up to 1 and down to `final`, the momentum down to `dip` and back.

    progress: share of training done, 0 .. 1. `rise`: share of training in which the rate climbs. With two phases
    it falls from 1 to `final` in the rest; with three it falls to 1/div as long as it climbed, then to `final`; the
    momentum is back at 1 when the rate is back at 1/div. Each phase runs along half a cosine or a line.
    The knobs are the highest rate and the highest momentum; dip = 0.85 / 0.95 is torch's. Raises ConfigError when
    three phases do not fit (rise above 1/2).
    Source: Smith & Topin 2018 (arXiv:1708.07120), section 3; two phases along a cosine: fastai, torch's OneCycleLR.

    >>> one_cycle(0.0), one_cycle(0.3), one_cycle(1.0)
    (Factors(lr=0.04, momentum=1.0), Factors(lr=1.0, momentum=0.894737), Factors(lr=4e-06, momentum=1.0))
    """
    check_choice("schedule.anneal", anneal, ("cos", "linear"))
    if phases == 3 and rise > _HALF:  # noqa: PLR2004 - as the key says
        rule = "leaves no room for three phases"
        raise ConfigError("schedule.rise", rise, rule=rule, fix="set schedule.rise=0.45 or schedule.phases=2")
    start, top, end = Factors(1.0 / div), Factors(1.0, dip), Factors(final)
    if progress <= rise:
        return _along(start, top, progress / rise, anneal)
    if phases == 2:  # noqa: PLR2004 - as the key says
        return _along(top, end, (progress - rise) / (1.0 - rise), anneal)
    if progress <= 2 * rise:
        return _along(top, start, (progress - rise) / rise, anneal)
    return _along(start, end, (progress - 2 * rise) / (1.0 - 2 * rise), anneal)


def _along(begin: Factors, end: Factors, share: float, anneal: Anneal) -> Factors:
    """Between two pairs of factors, `share` (0 .. 1) of the way; exact at both ends."""
    weight = half_cosine(share) if anneal == "cos" else 1.0 - share
    return Factors(begin.lr * weight + end.lr * (1.0 - weight), begin.momentum * weight + end.momentum * (1.0 - weight))
