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
from hpo_cli.engine.course import Course, reachable
from hpo_cli.engine.knobs import set_knobs
from hpo_cli.engine.loop import TrainingLoop
from hpo_cli.engine.partners import NullRecorder, Unsteered
from hpo_cli.engine.preflight import choose_threads
from hpo_cli.engine.progress import SilentReporter
from hpo_cli.engine.step import Stepper
from hpo_cli.engine.stop import StopFlag
from hpo_cli.errors import UserError
from hpo_cli.plan import RunPlan
from hpo_cli.record import ledger
from hpo_cli.record.contents import count, mapping, text
from hpo_cli.record.folder import CHECKPOINTS, START
from hpo_cli.record.ledger import Event
from hpo_cli.record.line import Line, force_step, living_line
from hpo_cli.steer.targets import Goal

EXACT = ("32-true", "64-true")
"""Precisions in which a CPU repeats itself to the bit."""
MOST_THREADS = 4096
"""What a ledger says beyond it is no number of threads."""


def past_state(folder: Path, plan: RunPlan, goal: Goal) -> State:
    """The state of the run in `folder` at the boundary `goal`. Nothing is written; the run may be training.

    plan: as the run was started. What no checkpoint holds is trained again in this process, on the CPU, with as many
    threads as the run had. Raises UserError where that would give other bits than the run's: after several processes,
    another device, mixed precision or a compiled network.
    """
    course = _course(folder, goal)
    if course.state is not None and course.step == goal.step and not course.script:
        return course.state
    data = ledger.fold(ledger.read_ledger(folder).events).data or {}
    if (what := _not_repeatable(plan, data)) is not None:
        rule = f"no checkpoint is at step {goal.step}, and a run {what} is not trained again here"
        raise UserError(f"{folder}: {rule}; choose the step of a checkpoint: hpo-run show {folder.name}")
    return _trained_on(folder, plan, course, goal, threads=_threads(data))


def _not_repeatable(plan: RunPlan, data: Event) -> str | None:
    """What of a run the CPU and one process do not repeat to the bit. data: the ledger's event."""
    trainer = plan.trainer
    device = text(data.get("device")) or trainer.accelerator
    if trainer.devices > 1:
        return "of several processes"
    if device.partition(":")[0] not in ("cpu", "auto"):
        return f"on the device {device}"
    if trainer.precision not in EXACT:
        return f"in {trainer.precision}"
    return "of a compiled network" if trainer.compile else None


def _threads(data: Event) -> int | None:
    """CPU threads that the run had, by the ledger; None where it does not say."""
    threads = count(data.get("threads"))
    return threads if threads is not None and 1 <= threads <= MOST_THREADS else None


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
            file = f"{CHECKPOINTS}/{checkpoints.name_of(event)}"
            return Course(line, file=file, state=state, applied=len(state["line"]), parent=parent)
    return reachable(Course(line, parent=parent), place=folder)


def _read(folder: Path, event: Event) -> State | None:
    """A recorded state, left as it is: the folder may be another process's."""
    path = checkpoints.place_of(folder, event)
    if not checkpoints.can_go_on(event) or not path.is_file():
        return None
    try:
        return checkpoints.load(path) if checkpoints.file_sha256(path) == event.get("sha256") else None
    except (OSError, UserError):
        return None


def _back_to(goal: Goal) -> Event:
    """A rollback to the goal, thought of: it tells which checkpoints lie before it."""
    return {"event": "rolled_back", "id": "goal", "step": goal.step, "to": goal.step, "line": list(goal.line_ids)}


def _trained_on(folder: Path, plan: RunPlan, course: Course, goal: Goal, *, threads: int | None) -> State:
    loop, steering = _loop(folder, plan, course, threads=threads)
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


def _loop(folder: Path, plan: RunPlan, course: Course, *, threads: int | None) -> tuple[TrainingLoop, _Script]:
    splits = load_splits(plan.data, allow=plan.allow_targets)
    fresh = course.state is None
    system = build_system(plan, splits) if fresh else resumable_system(plan, splits.spec)
    torch.set_num_threads(threads or choose_threads(plan, system, cores=1))
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
