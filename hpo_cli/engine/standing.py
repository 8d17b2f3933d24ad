"""What of a run's line is in force, what is still to come, and when: the state of its steering."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpo_cli.engine.course import Course
from hpo_cli.engine.loop import TrainingLoop
from hpo_cli.plan import RunPlan
from hpo_cli.record.contents import mapping
from hpo_cli.record.ledger import Event, read_ledger
from hpo_cli.record.line import Line, force_step, is_adoption
from hpo_cli.steer.changes import settled


@dataclass
class Standing:
    """applied: the events in force; script: those of the line that are still ahead, after a resume or a rollback.

    orders: what was asked for a later step, by id.   config, choices: the run's own with all that is in force.
    """

    plan: RunPlan
    course: Course
    applied: list[Event] = field(default_factory=list)
    script: list[Event] = field(default_factory=list)
    orders: dict[str, Event] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    choices: dict[str, str] = field(default_factory=dict)

    def take(self, course: Course) -> None:
        """Stand where a course begins."""
        self.course = course
        self.applied, self.script = list(course.line.chain[: course.applied]), course.script
        self.orders = _orders(course.line, self.plan)
        self._settle()

    def add(self, event: Event) -> None:
        """An event has taken force."""
        self.applied.append(event)
        self.orders.pop(str(event.get("scheduled")), None)
        self._settle()

    def _settle(self) -> None:
        self.config, self.choices = settled(self.plan.config, self.plan.choices, Line(tuple(self.applied)))

    @property
    def line(self) -> list[str]:
        """The ids of the events in force."""
        return [event["id"] for event in self.applied]

    @property
    def floor_step(self) -> int:
        """How far back a rule may go: not behind batches that were jumped over, which it would meet again.

        Nor behind a state that was taken over from another run.
        """
        floors = [force_step(event) for event in self.applied if event.get("skip_batches") or is_adoption(event)]
        return max([self.course.start_step, *floors])

    @property
    def catching_up(self) -> int | None:
        """To which step the script leads; None at its end."""
        return force_step(self.script[-1]) if self.script else None

    def has_script_at(self, step: int) -> bool:
        """Whether an event of the script takes force at this boundary."""
        return bool(self.script) and force_step(self.script[0]) <= step

    def due_orders(self, loop: TrainingLoop) -> list[Event]:
        """The orders whose time has come; none while the script is not at its end."""
        if self.script:
            return []
        return [order for order in self.orders.values() if due_step(order, loop) <= loop.position.step]

    def next_steps(self, loop: TrainingLoop) -> list[float]:
        """Boundaries at which something is due."""
        if self.script:
            return [float(force_step(self.script[0]))]
        return [due_step(order, loop) for order in self.orders.values()]


def due_step(order: Event, loop: TrainingLoop) -> float:
    """The boundary at which an order is due, with the settings of now."""
    due, horizon, position = mapping(order.get("due")), loop.horizon, loop.position
    if "step" in due:
        return float(due["step"])
    if "progress" in due:
        return float(round(due["progress"] * horizon.total_steps))
    epochs_left = int(due["epoch"]) - position.epoch
    if epochs_left <= 0:
        return float(position.step)
    return float(position.step + _steps_to_epoch_end(loop) + (epochs_left - 1) * horizon.steps_per_epoch)


def _steps_to_epoch_end(loop: TrainingLoop) -> int:
    settings = loop.system.settings
    batches = math.ceil((loop.num_samples - loop.position.sample) / settings.batch_size)
    return math.ceil(batches / settings.accumulate)


def has_passed(due: Mapping[str, Any], loop: TrainingLoop) -> bool:
    """Whether the end of this epoch lies behind."""
    position = loop.position
    return (due.get("epoch", math.inf), 0) < (position.epoch, position.sample)


def is_paused(folder: Path) -> bool:
    """Whether the run was paused when its process ended: a pause survives a kill."""
    kinds = [event["event"] for event in read_ledger(folder).events]
    told = [kind for kind in kinds if kind in ("paused", "unpaused", "stopped", "finished", "failed")]
    return told[-1:] == ["paused"]


def _orders(line: Line, plan: RunPlan) -> dict[str, Event]:
    """What is still to be done of the orders for later: those in the ledger, of rollbacks, of the plan itself."""
    found = [*line.standing, *_of_rollbacks(line), *_planned(plan)]
    return {order["id"]: order for order in found if order["id"] not in line.done}


def _of_rollbacks(line: Line) -> Iterator[Event]:
    for event in line.chain:
        if event["event"] == "rolled_back" and event.get("changes"):
            yield {**event, "do": "nudge", "due": {"step": force_step(event)}}


def _planned(plan: RunPlan) -> Iterator[Event]:
    for index, nudge in enumerate(plan.nudges):
        yield {
            "id": f"planned-{index}",
            "do": "nudge",
            "due": {"progress": nudge.at},
            "changes": {key: ["=", value] for key, value in nudge.changes.items()},
            "who": "schedule",
            "why": "",
        }
