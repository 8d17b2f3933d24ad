"""A run's state at any step of its past, to the bit: from the checkpoint before it, trained on without a word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from hpo_cli.engine import branching, checkpoints
from hpo_cli.engine.assembly import build_system, load_splits, resumable_system
from hpo_cli.engine.backend import Backend
from hpo_cli.engine.batches import dtype_of, order_of, source, tensors
from hpo_cli.engine.checkpoints import State
from hpo_cli.engine.course import Course
from hpo_cli.engine.knobs import set_knobs
from hpo_cli.engine.loop import TrainingLoop
from hpo_cli.engine.partners import Unsteered
from hpo_cli.engine.preflight import choose_threads
from hpo_cli.engine.progress import SilentReporter
from hpo_cli.engine.recorder import NullRecorder
from hpo_cli.engine.step import Stepper
from hpo_cli.engine.stop import StopFlag
from hpo_cli.errors import UserError
from hpo_cli.plan import RunPlan
from hpo_cli.record import ledger
from hpo_cli.record.contents import mapping
from hpo_cli.record.folder import START
from hpo_cli.record.ledger import Event
from hpo_cli.record.line import Line, force_step, living_line
from hpo_cli.steer.targets import Goal


def past_state(folder: Path, plan: RunPlan, goal: Goal) -> State:
    """The state of the run in `folder` at the boundary `goal`. Nothing is written; the run may be training.

    plan: as the run was started. What no checkpoint holds is trained again in this process, on the CPU or the plan's
    device. Raises UserError where the run's own devices are more than one and no checkpoint is at the goal.
    """
    course = _course(folder, goal)
    if course.state is not None and course.step == goal.step and not course.script:
        return course.state
    if plan.trainer.devices > 1:
        rule = f"no checkpoint is at step {goal.step}, and a run of several processes is not trained again here"
        raise UserError(f"{folder}: {rule}; choose the step of a checkpoint: hpo-run show {folder.name}")
    return _trained_on(folder, plan, course, goal)


def _course(folder: Path, goal: Goal) -> Course:
    """From where, and with what, the goal is reached."""
    events = ledger.read_ledger(folder).events
    known = {event["id"]: event for event in events if event.get("id")}
    chain = tuple(known[name] for name in goal.line_ids if name in known)
    parent = mapping(mapping(ledger.fold(events).started).get("parent")) or None
    whole = living_line([*events, _back_to(goal)])
    line = Line(chain, checkpoints=tuple(event for event in whole.checkpoints if event["step"] <= goal.step))
    for event in sorted(line.checkpoints, key=lambda event: -event["step"]):
        state = _read(folder, event)
        if state is not None:
            return Course(line, file=event["file"], state=state, applied=len(state["line"]), parent=parent)
    return Course(line, parent=parent)


def _read(folder: Path, event: Event) -> State | None:
    """A recorded state, left as it is: the folder may be another process's."""
    path = folder / event["file"]
    try:
        if Path(event["file"]).name.startswith("best-") or checkpoints.file_sha256(path) != event["sha256"]:
            return None
        return checkpoints.load(path)
    except (OSError, KeyError, UserError):
        return None


def _back_to(goal: Goal) -> Event:
    """A rollback to the goal, thought of: it tells which checkpoints lie before it."""
    return {"event": "rolled_back", "id": "goal", "step": goal.step, "to": goal.step, "line": list(goal.line_ids)}


def _trained_on(folder: Path, plan: RunPlan, course: Course, goal: Goal) -> State:
    loop, steering = _loop(folder, plan, course)
    loop.begin()
    while loop.position.step < goal.step:
        before = loop.position.step
        loop.advance(1, StopFlag())
        if loop.position.step == before:
            raise UserError(f"{folder}: ends at step {before}, before step {goal.step}; give an earlier place")
    steering.attend(loop)
    return {**loop.state(), "line": list(goal.line_ids)}


class _Script(Unsteered):
    """Lets the events of a line take force at their steps, and nothing else."""

    attend_step = 0.0

    def __init__(self, course: Course) -> None:
        self._script = course.script
        self.line = list(course.line.ids[: course.applied])

    def attend(self, loop: TrainingLoop) -> None:
        """See loop.Steering."""
        while self._script and force_step(self._script[0]) <= loop.position.step:
            event = self._script.pop(0)
            self.line.append(event["id"])
            if event["event"] == "rolled_back":
                loop.skip(event.get("skip_batches") or 0)
            else:
                set_knobs(loop.system, {key: change["new"] for key, change in event["knobs"].items()})
                loop.retune()


def _loop(folder: Path, plan: RunPlan, course: Course) -> tuple[TrainingLoop, _Script]:
    splits = load_splits(plan.data, allow=plan.allow_targets)
    fresh = course.state is None
    system = build_system(plan, splits) if fresh else resumable_system(plan, splits.spec)
    torch.set_num_threads(choose_threads(plan, system, cores=1))
    dtype, device = dtype_of(plan), torch.device("cpu")
    for module in (system.model, system.criterion):
        module.to(dtype)
    backend = Backend(device=device)
    train = source(
        splits.train, order=order_of(plan, carries=bool(system.carriers)), shard=backend.shard, device=device,
        dtype=dtype, placement="device", num_workers=0,
    )  # fmt: skip
    steering = _Script(course)
    without_files = replace(plan, checkpoint=replace(plan.checkpoint, every_steps=None, every_minutes=None))
    loop = TrainingLoop(
        without_files, Stepper(system, backend, seed=plan.seed), train=train,
        val=tensors(splits.val, device=device, dtype=dtype), recorder=NullRecorder(), reporter=SilentReporter(),
        steering=steering,
    )  # fmt: skip
    if course.state is not None:
        loop.restore(course.state)
    elif course.parent is not None:
        branching.enter(loop, checkpoints.load(folder / START), partial=bool(course.parent.get("partial")))
    return loop, steering
