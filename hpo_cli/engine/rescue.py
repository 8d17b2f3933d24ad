"""When training has gone wrong and what to do about it: the rules behind `rescue`, off by default.

Pure rules: the loop tells what it saw, whoever steers does what `answer` says and writes it to the ledger.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hpo_cli.plan import RescuePlan

MEMORY = 10
"""A spike is judged by the mean of so many windows before it."""


class Trouble(Exception):  # noqa: N818 - not every trouble ends a run
    """Training went wrong.   step: the update that showed it, from 1.   what: in words, `train/loss is nan`."""

    def __init__(self, step: int, what: str, *, kind: Literal["nan", "spike"] = "nan") -> None:
        super().__init__(f"{what} at step {step}")
        self.step, self.what, self.kind = step, what, kind


@dataclass(frozen=True)
class Answer:
    """Go back to the boundary after `to_step`, jump over `skip_batches` batches, then change these knobs."""

    to_step: int
    skip_batches: int
    changes: Mapping[str, list[Any]]


class Rescue:
    """The rules of one run. Remembers the windows of train loss that came before, which belong into checkpoints."""

    def __init__(self, plan: RescuePlan) -> None:
        self._plan = plan
        self._windows: deque[float] = deque(maxlen=MEMORY)

    def observe_window(self, loss: float, step: int) -> Trouble | None:
        """Take note of the mean train loss of the steps up to `step` since the row before; what is wrong with it.

        A spike is a loss above `spike` times the mean of the ten windows before it; before there are ten, nothing is.
        """
        usual = sum(self._windows) / MEMORY if len(self._windows) == MEMORY else None
        spike = self._plan.spike
        if spike is not None and usual is not None and loss > spike * usual:
            what = f"train/loss is {loss:.4g}, above {spike:g} times the {usual:.4g} of before"
            return Trouble(step, what, kind="spike")
        self._windows.append(loss)
        return None

    def answer(self, trouble: Trouble, *, position_step: int, start_step: int) -> Answer | None:
        """What to do; None where no rule is meant for this trouble. How often is up to the caller.

        position_step: where training stands.   start_step: where the run's first state is.
        """
        plan = self._plan
        to = min(position_step, max(start_step, trouble.step - plan.back_steps))
        if trouble.kind == "nan" and not plan.nan:
            return None
        return Answer(to, plan.skip_batches, {"lr": ["*=", plan.lr_factor]})

    def state(self) -> dict[str, Any]:
        """The memory as plain types, for a checkpoint."""
        return {"windows": list(self._windows)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to what `state` gave."""
        self._windows = deque(state["windows"], maxlen=MEMORY)
