"""What a schedule is given and what it gives, and the checks of keys that limits in YAML cannot say."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from hpo_cli.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence


class Factors(NamedTuple):
    """What the hot knobs are multiplied by at a step.

    lr: factor of the learning rate.   momentum: factor of `momentum`, or of `betas[0]` where an optimizer has that.
    """

    lr: float
    momentum: float = 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where training is, counted in optimizer steps from the end of the warm-up.

    step: steps done, 0 .. total_steps.   total_steps, steps_per_epoch: at least 1.
    """

    step: int
    total_steps: int
    steps_per_epoch: int


def whole_stairs(count: float) -> int:
    """The whole part of a count that was derived from progress.

    Progress is a quotient of two steps, so a whole count may come out a rounding error too low; the step that
    reaches a stair is on it already.

    >>> math.floor(0.3 / 0.1), whole_stairs(0.3 / 0.1)
    (2, 3)
    """
    return math.floor(count + 1e-9)


def check_rising(key: str, fractions: Sequence[float]) -> None:
    """Raises ConfigError unless each fraction is above the one before it."""
    if any(later <= earlier for earlier, later in pairwise(fractions)):
        fix = f"set {key}=[{','.join(f'{fraction:g}' for fraction in sorted(set(fractions)))}]"
        raise ConfigError(key, list(fractions), rule="must rise from each fraction to the next", fix=fix)


def check_choice(key: str, value: object, choices: Sequence[str]) -> None:
    """Raises ConfigError unless `value` is one of `choices`."""
    if value not in choices:
        near = did_you_mean(str(value), choices)
        raise ConfigError(key, value, rule=f"must be one of {', '.join(choices)}", fix=near)
