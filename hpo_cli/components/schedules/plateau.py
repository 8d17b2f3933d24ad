"""The schedule with memory: it lowers the learning rate when validation stops getting better."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from hpo_cli.components.schedules.factors import check_choice

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Memory:
    """What validations have taught: the factor they led to, the best value, bad ones since, cooldown left."""

    factor: float = 1.0
    best: float | None = None
    num_bad: int = 0
    cooldown: int = 0


class Plateau:
    """Multiply the factor by `factor` once more than `patience` validations in a row brought nothing better.

    A validation is better when it beats the best by `threshold`: of the best (rel) or as it is (abs). After a cut,
    `cooldown` validations are not counted. The factor starts at 1 and never falls below `floor`.
    Source: torch.optim.lr_scheduler.ReduceLROnPlateau, with `floor` = min_lr / lr and eps = 0.

    >>> plateau = Plateau(patience=1)
    >>> for loss in (1.0, 0.5, 0.6):
    ...     plateau.observe(loss, mode="min")
    >>> plateau(0.3)
    1.0
    >>> plateau.observe(0.6, mode="min")
    >>> plateau(0.4), plateau.state()
    (0.1, {'factor': 0.1, 'best': 0.5, 'num_bad': 0, 'cooldown': 0})
    """

    def __init__(
        self,
        *,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        floor: float = 0.0,
    ) -> None:
        check_choice("schedule.threshold_mode", threshold_mode, ("rel", "abs"))
        self._factor, self._patience, self._cooldown, self._floor = factor, patience, cooldown, floor
        self._threshold, self._threshold_mode = threshold, threshold_mode
        self._memory = Memory()

    def __call__(self, progress: float) -> float:  # noqa: ARG002 - every schedule takes the progress
        """The factor that the validations so far have led to, within `floor` .. 1."""
        return self._memory.factor

    def observe(self, value: float, *, mode: Literal["min", "max"]) -> None:
        """Take note of a validation's objective. mode: whether less or more of it is better."""
        memory, value = self._memory, float(value)
        better = self._is_better(value, mode=mode)
        best, num_bad = (value, 0) if better else (memory.best, memory.num_bad + 1)
        num_bad = 0 if memory.cooldown else num_bad
        self._memory = Memory(memory.factor, best, num_bad, max(0, memory.cooldown - 1))
        if num_bad > self._patience:
            self._memory = Memory(self._lower(), best, 0, self._cooldown)

    def state(self) -> dict[str, Any]:
        """The memory as plain types, for a checkpoint."""
        return asdict(self._memory)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what `state()` gave; an empty one is a fresh memory."""
        self._memory = Memory(**state)

    def _lower(self) -> float:
        return min(self._memory.factor, max(self._memory.factor * self._factor, self._floor))

    def _is_better(self, value: float, *, mode: Literal["min", "max"]) -> bool:
        sign = 1.0 if mode == "min" else -1.0
        best = self._memory.best if self._memory.best is not None else sign * math.inf
        margin = sign * self._threshold
        bar = best * (1.0 - margin) if self._threshold_mode == "rel" else best - margin
        return value < bar if mode == "min" else value > bar
