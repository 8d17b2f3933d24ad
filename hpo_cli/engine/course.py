"""From where a run goes on, and with what: resume, rollback, replay and branch are this one thing.

The living line of the ledger says which events are in force. The newest checkpoint that lies on it is where training
goes on; the events that the checkpoint has not seen are a script, each to take force at its own step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpo_cli.components.data.arrays import Splits
from hpo_cli.engine import checkpoints
from hpo_cli.engine.checkpoints import State
from hpo_cli.errors import UserError, shown
from hpo_cli.plan import RunPlan, plan_from_dict
from hpo_cli.record import ledger
from hpo_cli.record.contents import count, mapping
from hpo_cli.record.ledger import Event
from hpo_cli.record.line import Line, is_adoption, living_line

MACHINE = (
    *("trainer.accelerator", "trainer.threads", "data.placement", "data.num_workers"),
    *("checkpoint.every_steps", "checkpoint.every_minutes", "checkpoint.keep_last", "checkpoint.keep_best"),
    *("checkpoint.keep_older", "checkpoint.keep_abandoned"),
)
"""Keys that say how the machine works, not what is learnt: a resumed run may have others."""


@dataclass(frozen=True)
class Course:
    """line: what is in force; file, state: the checkpoint to go on from, None for the run's very start."""

    line: Line
    file: str | None = None
    state: State | None = None
    applied: int = 0
    parent: Mapping[str, Any] | None = None

    @property
    def script(self) -> list[Event]:
        """The events that the checkpoint has not seen."""
        return list(self.line.chain[self.applied :])

    @property
    def step(self) -> int:
        """Where training goes on."""
        if self.state is not None:
            step: int = self.state["position"]["step"]
            return step
        return self.start_step

    @property
    def start_step(self) -> int:
        """Where the run began: 0, or where a child left its parent."""
        return (count(self.parent.get("step")) or 0) if self.parent else 0


def chart(folder: Path, *, warn: Callable[[str], None]) -> Course:
    """Where the run in `folder` goes on by its ledger. warn: told of checkpoints that cannot be read."""
    events = ledger.read_ledger(folder).events
    line = living_line(events)
    parent = mapping(mapping(ledger.fold(events).started).get("parent")) or None
    found = checkpoints.newest_loadable(folder, line, warn=warn)
    if found is None:
        return reachable(Course(line, parent=parent), place=folder)
    event, state = found
    return Course(line, file=event["file"], state=state, applied=len(state["line"]), parent=parent)


def reachable(course: Course, *, place: Path) -> Course:
    """The course itself. Raises UserError where it would have to take over another run's state, which is not here."""
    for event in filter(is_adoption, course.script):
        source = event["adopted"].get("run")
        rule = f"took over the state of {source} at step {event['to']}, and no checkpoint since then can be read"
        raise UserError(f"{place}: {rule}; restore one, or branch: hpo-run branch {source}")
    return course


def with_machine(plan: RunPlan, events: Iterable[Event]) -> RunPlan:
    """The plan with the machine's keys as the newest resumption set them. What is learnt stays the same."""
    changed = {key: value for event in events for key, value in mapping(event.get("machine")).items()}
    if not changed:
        return plan
    saved = plan.to_dict()
    for key, value in changed.items():
        group, _, name = key.partition(".")
        saved[group] = {**saved[group], name: value}
    other = plan_from_dict(saved)
    return replace(plan, trainer=other.trainer, data=other.data, checkpoint=other.checkpoint)


def threads_of(events: Iterable[Event]) -> int | None:
    """How many CPU threads a run computed with, since another number gives other bits; None for a new run.

    A child or a replay that has not trained yet has its parent's.
    """
    state = ledger.fold(events)
    started = mapping(state.started)
    places = (mapping(state.data), mapping(started.get("parent")), mapping(started.get("replay_of")))
    return next((number for place in places if (number := count(place.get("threads"))) is not None), None)


def check_sizes(splits: Splits, data: Event | None, *, place: Path) -> None:
    """The data must be as many samples as they were. data: the ledger's event. Raises UserError naming both sizes."""
    now = {"train": len(splits.train.x), "val": len(splits.val.x), "test": len(splits.test.x)}
    then = {name: (data or now).get(name) for name in now}
    if now != then:
        fix = f"restore the data, or branch: hpo-run branch {place.name}"
        raise UserError(f"{place}: its data was {then}, now it is {now}; {fix}")


def check_agreement(course: Course, plan: RunPlan, *, planned: Mapping[str, Any], place: Path) -> None:
    """Config, ledger and checkpoint must say the same of every knob. Raises UserError naming both values.

    planned: each knob's value by the config alone.
    """
    if course.state is None:
        return
    if course.state["plan_id"] != plan.plan_id:
        ids = f"plan.yaml has the id {plan.plan_id}, {course.file} was made with {course.state['plan_id']}"
        raise UserError(f"{place}: {ids}: one of them was changed; restore the one that was edited")
    wanted = dict(planned)
    for event in course.line.chain[: course.applied]:
        wanted.update({key: change["new"] for key, change in mapping(event.get("knobs")).items()})
    found = course.state["knobs"]
    lines = [
        f"{place}: {key} is {shown(wanted.get(key))} by config and ledger, {shown(found.get(key))} in {course.file}; "
        f"restore the file that was edited, or branch: hpo-run branch {place.name}"
        for key in dict.fromkeys([*wanted, *found])
        if wanted.get(key) != found.get(key)
    ]
    if lines:
        raise UserError("\n".join(lines))
