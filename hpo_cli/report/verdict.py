"""Whether the first of a leaderboard is really better than the second, as far as their runs can tell."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hpo_cli.report.figures import figure
from hpo_cli.report.leaderboard import Row

_LEVEL = 0.05  # of the test, two-sided
_TWO_SIDED = 1.96  # standard deviations that hold 95 % of a normal distribution
_MANY = 5  # from so many trials on, the best of them is partly luck


@dataclass(frozen=True)
class Verdict:
    """is_clear: whether the first differs from the second beyond chance; None where that cannot be told.

    p: of Welch's test, None without seeds.   text: one line for people.   cautions: lines, what the text leaves open.
    """

    is_clear: bool | None
    text: str
    p: float | None = None
    cautions: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """All fields in types that JSON knows."""
        return {**vars(self), "cautions": list(self.cautions)}


def distinguishable(
    first: Row, second: Row, *, aim: str = "", num_val: int | None = None, num_trials: int = 2
) -> Verdict:
    """Whether two trials can be told apart, from the spread of their runs.

    aim: the metric's name.   num_val: validation samples, which tell how coarse an accuracy is.   num_trials: how many
    the first was chosen from.
    """
    if first.mean is None or second.mean is None:
        return Verdict(None, "fewer than two trials have a value: there is nothing to compare yet")
    cautions = (*_counting(first, second, aim, num_val), *_epochs(first, second), *_curse(num_trials))
    if first.mean == second.mean:
        return Verdict(
            is_clear=False, text=f"trials {first.trial} and {second.trial} reached the same value", cautions=cautions
        )
    if min(first.num_runs, second.num_runs) > 1:
        return _tested(first, second, cautions)
    return Verdict(None, _alone(first, second), cautions=cautions)


def welch(first: Sequence[float], second: Sequence[float]) -> float | None:
    """The two-sided p-value of Welch's t-test for equal means; None where neither has any spread.

    Source: Welch 1947; degrees of freedom by Satterthwaite 1946, eq. 17.   Each needs two values.
    """
    errors = [statistics.variance(values) / len(values) for values in (first, second)]
    total = sum(errors)
    if total == 0:
        return None
    from scipy.special import stdtr

    t = (statistics.fmean(first) - statistics.fmean(second)) / math.sqrt(total)
    parts = [error**2 / (len(values) - 1) for error, values in zip(errors, (first, second), strict=True)]
    return float(2 * stdtr(total**2 / sum(parts), -abs(t)))


def _tested(first: Row, second: Row, cautions: tuple[str, ...]) -> Verdict:
    p = welch(first.each, second.each)
    pair = f"trial {first.trial} ({_spread(first)}) and trial {second.trial} ({_spread(second)})"
    if p is None:
        return Verdict(None, f"the runs of {pair} do not vary at all: no test can be made of them", cautions=cautions)
    said = f"Welch's test over {first.num_runs} and {second.num_runs} runs, p = {figure(p, digits=2)}"
    if p < _LEVEL:
        return Verdict(is_clear=True, text=f"{pair} differ ({said})", p=p, cautions=cautions)
    text = f"{pair} are not distinguishable ({said}); more seeds may tell"
    return Verdict(is_clear=False, text=text, p=p, cautions=cautions)


def _spread(row: Row) -> str:
    return f"{figure(row.mean)} ± {figure(row.deviation, digits=2)}"


def _alone(first: Row, second: Row) -> str:
    gap = abs((first.mean or 0.0) - (second.mean or 0.0))
    noise = gap / (_TWO_SIDED * math.sqrt(2))
    return (
        f"trial {first.trial} leads trial {second.trial} by {figure(gap, digits=2)}, which one run each cannot "
        "tell from chance: it would count only if other seeds of one setting varied by less than "
        f"±{figure(noise, digits=2)}"
    )


def _counting(first: Row, second: Row, aim: str, num_val: int | None) -> list[str]:
    """A rough yardstick for accuracies: how far counting so few samples errs."""
    value = first.mean or 0.0
    if not (aim.endswith("accuracy") and num_val and 0 <= value <= 1):
        return []
    gap = abs(value - (second.mean or 0.0))
    error = math.sqrt(max(value * (1 - value), 1 / num_val / 4) / num_val)
    text = (
        f"the lead is {figure(gap * num_val, digits=3)} of {num_val} validation samples; counting so many errs by "
        f"about ±{figure(error, digits=2)} each (binomial standard error), a rough yardstick: "
        "both saw the same samples, and it knows nothing of seeds"
    )
    return [text]


def _epochs(first: Row, second: Row) -> list[str]:
    if first.epochs == second.epochs:
        return []
    return [f"they trained {first.epochs} and {second.epochs} epochs"]


def _curse(num_trials: int) -> list[str]:
    if num_trials < _MANY:
        return []
    text = (
        f"the first was chosen as the best of {num_trials}, so its value flatters it (winner's curse): expect a little "
        "less on fresh data or seeds"
    )
    return [text]
