"""What the engine holds: a schedule with its keys bound, behind its warm-up."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, Protocol, runtime_checkable

from hpo_cli.components.schedules.factors import Factors, Place
from hpo_cli.errors import ConfigError, UserError


@runtime_checkable
class Remembers(Protocol):
    """A schedule whose factors depend on the validations it has observed."""

    def observe(self, value: float, *, mode: Literal["min", "max"]) -> None:
        """Take note of a validation's objective."""

    def state(self) -> dict[str, Any]:
        """The memory as plain types."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what `state` gave."""


@dataclass(frozen=True)
class Schedule:
    """A schedule with its keys bound.

    function: progress 0 .. 1 to a factor of the learning rate, or to Factors.
    wants_place: whether it takes the keyword `place` as well.
    moves_momentum: whether it gives Factors, so that the momentum may move as well.
    """

    function: Callable[..., float | Factors]
    wants_place: bool = False
    moves_momentum: bool = False

    def factors(self, step: int, *, total_steps: int, warmup_steps: int = 0, steps_per_epoch: int = 1) -> Factors:
        """Factors of the knobs at an optimizer step: a linear warm-up, then the schedule over what is left.

        step: optimizer steps done, 0 .. total_steps. While `step < warmup_steps` the learning rate is
        `(step + 1) / (warmup_steps + 1)` of where the schedule starts: above 0 at the first step, and there just when
        the schedule takes over with progress 0: `(step - warmup_steps) / (total_steps - warmup_steps)`. The momentum
        waits at its first factor.   warmup_steps: at most total_steps (the plan refuses more).
        Source: Goyal et al. 2017 (arXiv:1706.02677), section 2.2, gradual warm-up.

        >>> linear = Schedule(lambda progress: 1 - progress)
        >>> [linear.factors(step, total_steps=5, warmup_steps=3).lr for step in range(6)]
        [0.25, 0.5, 0.75, 1.0, 0.5, 0.0]
        """
        done, total = max(0, step - warmup_steps), max(1, total_steps - warmup_steps)
        progress = min(1.0, done / total)
        if self.wants_place:
            value = self.function(progress, place=Place(done, total, steps_per_epoch))
        else:
            value = self.function(progress)
        found = value if isinstance(value, Factors) else Factors(float(value))
        if step >= warmup_steps:
            return found
        return Factors(found.lr * (step + 1) / (warmup_steps + 1), found.momentum)

    def observe(self, value: float, *, mode: Literal["min", "max"]) -> None:
        """Tell a schedule with memory a validation's objective; the others take no notice."""
        if self._memory is not None:
            self._memory.observe(value, mode=mode)

    def state(self) -> dict[str, Any]:
        """The memory as plain types, empty where there is none."""
        return self._memory.state() if self._memory is not None else {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what `state()` gave; an empty one is a fresh memory."""
        if self._memory is not None:
            self._memory.restore(state)

    @property
    def _memory(self) -> Remembers | None:
        function: object = self.function
        return function if isinstance(function, Remembers) else None


def bind_schedule(target: Callable[..., Any], keys: Mapping[str, Any]) -> Schedule:
    """The schedule that `target` with these keys is: a function has them bound, a class is instantiated with them.

    It is called once, at progress 0. Raises ConfigError for keys that the schedule refuses, for one that takes no
    progress and for one that does not give a finite factor.
    """
    name = getattr(target, "__name__", str(target))
    try:
        function = target(**keys) if isinstance(target, type) else functools.partial(target, **keys)
        wants_place = "place" in inspect.signature(getattr(function, "func", function)).parameters
        found = function(0.0, place=Place(0, 1, 1)) if wants_place else function(0.0)
    except UserError:
        raise
    except Exception as error:
        line = f"{type(error).__name__} {error}".partition("\n")[0]
        raise ConfigError("schedule", name, rule=f"cannot be built: {line}", fix="see docs/your-own.md") from error
    numbers = (found.lr, found.momentum) if isinstance(found, Factors) else (found,)
    if not all(isinstance(number, Real) and math.isfinite(number) for number in numbers):
        rule = f"gave {found!r} at the start, not a finite factor or Factors"
        raise ConfigError("schedule", name, rule=rule, fix="see docs/your-own.md")
    return Schedule(function, wants_place, moves_momentum=isinstance(found, Factors))
