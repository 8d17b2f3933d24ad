"""A branch as the trial of a sweep: the folder of a child whose plan is decided, with its parent's state."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from hpo_cli.engine import checkpoints
from hpo_cli.engine.branching import start_state
from hpo_cli.engine.checkpoints import State
from hpo_cli.engine.past import past_state
from hpo_cli.engine.worker_job import set_half_made_aside
from hpo_cli.errors import UserError
from hpo_cli.plan import RunPlan, plan_from_dict
from hpo_cli.record import ledger
from hpo_cli.record.atomic import link_or_copy
from hpo_cli.record.contents import DamagedError, read_plan, words
from hpo_cli.record.reading import read_run
from hpo_cli.record.start import Origin, start_run
from hpo_cli.steer.ancestors import Ancestor, Birth, check_length
from hpo_cli.steer.targets import Goal

Place = Mapping[str, Any]
"""{run: path, plan_id, step, line: ids of what is in force there} of a parent, as `verbs.offspring.of_run` gives it.

Instead of step and line also `at`, a place in its past as `--at` has it.
"""


class Offspring(Protocol):
    """A run that begins as a branch: see `sweep.executors.contract.Job`."""

    @property
    def folder(self) -> Path:
        """Its folder, which need not exist."""

    @property
    def plan(self) -> Mapping[str, Any]:
        """The child's own plan."""

    @property
    def begin(self) -> Mapping[str, Any]:
        """command, overrides and hydra_files."""

    @property
    def parent(self) -> Place | None:
        """Where it leaves which run."""


def begin_branch(job: Offspring) -> Path:
    """Make the child's folder with its parent's state there; nothing is trained yet. One that is made stays as it is.

    A folder whose maker was killed is set aside. All children of one place beside each other share one file on disk.
    Raises UserError where the parent cannot be read, is another one by now, or leaves nothing to train.
    """
    set_half_made_aside(job.folder)
    if job.folder.exists():
        return job.folder
    place, plan = job.parent or {}, plan_from_dict(job.plan)
    parent = _parent(place)
    goal = _goal(parent, place)
    first = _first_state(parent, goal, beside=job.folder)
    state = checkpoints.load(first)
    check_length(parent, plan, state)
    origin = Origin(parent=Birth(parent, goal, state).noted, write_state=partial(link_or_copy, first))
    begin = job.begin
    return start_run(
        plan,
        command=begin.get("command", ()),
        overrides=begin.get("overrides", ()),
        hydra_files=begin.get("hydra_files", {}),
        at=str(job.folder),
        origin=origin,
    )


def _parent(place: Place) -> Ancestor:
    folder = Path(place["run"])
    try:
        plan = plan_from_dict(read_plan(folder))
        parent = Ancestor(folder, plan, read_run(folder), ledger.read_ledger(folder).events)
    except (DamagedError, OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder}: cannot be branched ({error}); restore the run") from error
    _check_same(parent.plan, place, folder)
    return parent


def _check_same(plan: RunPlan, place: Place, folder: Path) -> None:
    wanted = place.get("plan_id", plan.plan_id)
    if plan.plan_id != wanted:
        raise UserError(f"{folder}: its plan is {plan.plan_id}, and was {wanted} when the sweep began; restore it")


def _goal(parent: Ancestor, place: Place) -> Goal:
    if "step" in place:
        return Goal(place["step"], words(place.get("line")))
    return parent.goal(place.get("at") or "last")


def _first_state(parent: Ancestor, goal: Goal, *, beside: Path) -> Path:
    """The file with the state that children begin with, made once for all of them in one folder."""
    named = json.dumps([str(parent.folder.resolve()), goal.step, goal.line_ids])
    file = beside.parent / f"parent-{goal.step:08d}-{hashlib.sha256(named.encode()).hexdigest()[:8]}.pt"
    if not file.exists():
        state: State = past_state(parent.folder, parent.plan, goal)
        file.parent.mkdir(parents=True, exist_ok=True)
        checkpoints.save(file, start_state(state, parent.plan_at(goal)))
    return file
