"""What a trial has shown so far, as a cost: lower is better, and nothing is worse than no value."""

from __future__ import annotations

import math
from typing import Literal

from hpo_cli.sweep.state import Trial, Values

Mode = Literal["min", "max"]
WORST = math.inf


def cost(values: Values | None, mode: Mode) -> float:
    """The first objective as a cost: the value itself, or its negative where more is better.

    >>> cost((0.75, 12.0), "max"), cost((None,), "min")
    (-0.75, inf)
    """
    value = values[0] if values else None
    if value is None or not math.isfinite(value):
        return WORST
    return -value if mode == "max" else value


def cost_at(trial: Trial, epoch: int, mode: Mode) -> float:
    """The cost that a trial had after `epoch`, by its newest report until then."""
    reports = trial.reports
    if epoch in reports:
        return cost(reports[epoch], mode)
    known = max((one for one in reports if one <= epoch), default=None)
    return WORST if known is None else cost(reports[known], mode)


def value_of(found: float, mode: Mode) -> float:
    """The objective's value again, of a cost."""
    return -found if mode == "max" else found
