"""A run that others descend from: its plan, its past, and the places in it at which a child can leave it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpo_cli.errors import UserError
from hpo_cli.plan import RunPlan, make_plan
from hpo_cli.record import ledger
from hpo_cli.record.contents import Values, count, mapping
from hpo_cli.record.folder import METRICS
from hpo_cli.record.lease_file import read_lease
from hpo_cli.record.line import Line, force_step, living_line
from hpo_cli.record.metrics import read_metrics
from hpo_cli.record.reading import RunRecord
from hpo_cli.steer.changes import Setting, settled
from hpo_cli.steer.targets import Goal, parse_target, resolve_target


@dataclass(frozen=True)
class Ancestor:
    """A run to descend from. plan: as it was started; events: of its ledger."""

    folder: Path
    plan: RunPlan
    record: RunRecord
    events: tuple[ledger.Event, ...]

    @property
    def started(self) -> Values:
        """The first line of its ledger."""
        return mapping(ledger.fold(self.events).started)

    @property
    def line(self) -> Line:
        """What of its ledger is in force."""
        return living_line(self.events)

    @property
    def is_live(self) -> bool:
        """Whether a process may be training it."""
        lease = read_lease(self.folder)
        return self.record.status == "running" if lease is None else lease.standing in ("alive", "unknown")

    @property
    def start_step(self) -> int:
        """Where it began: 0, or where it left a parent of its own."""
        return count(mapping(self.started.get("parent")).get("step")) or 0

    @property
    def threads(self) -> int | None:
        """How many CPU threads a process of it has; None where it never began."""
        return count(mapping(ledger.fold(self.events).data).get("threads"))

    def goal(self, word: str) -> Goal:
        """The place in its past that `--at` names. Raises UserError."""
        target, line = parse_target(word), self.line
        at_end = "back" in target
        position = self._saved_step() if at_end and self.is_live else self._last_step()
        rows = read_metrics(self.folder / METRICS) if (self.folder / METRICS).exists() else []
        goal = resolve_target(
            target,
            line=line,
            rows=rows,
            position_step=position,
            objective=self.record.objective,
            start_step=self.start_step,
        )
        if target != {"back": 0}:
            return goal
        return replace(goal, line_ids=tuple(event["id"] for event in line.chain if force_step(event) <= goal.step))

    def _saved_step(self) -> int:
        """The step of the newest state on disk."""
        return max((count(event.get("step")) or 0 for event in self.line.checkpoints), default=self.start_step)

    def _last_step(self) -> int:
        steps = self.record.steps
        return self._saved_step() if steps is None else max(steps, self.start_step)

    def setting_at(self, goal: Goal) -> Setting:
        """Its config and choices with the nudges that were in force there."""
        chain = tuple(event for event in self.line.chain if event["id"] in goal.line_ids)
        return settled(self.plan.config, self.plan.choices, Line(chain))

    def plan_at(self, goal: Goal) -> RunPlan:
        """The plan that `setting_at` makes, of values that were checked when they took force."""
        config, choices = self.setting_at(goal)
        return make_plan(config, choices=choices)


@dataclass(frozen=True)
class Birth:
    """What a child begins with. state: of its parent, at `goal`; more: further entries of `parent` in the ledger."""

    parent: Ancestor
    goal: Goal
    state: Mapping[str, Any]
    partial: bool = False
    more: Mapping[str, Any] | None = None

    @property
    def noted(self) -> Values:
        """`parent` in the child's ledger."""
        folder = self.parent.folder
        return {
            "run": folder.name,
            "path": str(folder.resolve()),
            "step": self.state["position"]["step"],
            "epoch": self.state["position"]["epoch"],
            "line": list(self.goal.line_ids),
            "partial": self.partial,
            "threads": self.parent.threads,
            **(self.more or {}),
        }


def check_length(parent: Ancestor, plan: RunPlan, state: Mapping[str, Any]) -> None:
    """Raise UserError when a run of `plan` has nothing left to train from `state`."""
    step, epoch = state["position"]["step"], state["position"]["epoch"]
    if epoch >= plan.epochs:
        why = f"{epoch} epochs are done there, and it has epochs={plan.epochs}"
        fix = f"leave it earlier (--at epoch={max(0, plan.epochs // 2)}), or branch with epochs={epoch + 5}"
    elif plan.trainer.max_steps is not None and step >= plan.trainer.max_steps:
        why = f"it is at step {step} there, and has trainer.max_steps={plan.trainer.max_steps}"
        fix = f"leave it earlier (--at step={step // 2}), or branch with trainer.max_steps={2 * step}"
    else:
        return
    raise UserError(f"{parent.folder.name}: nothing is left to train: {why}; {fix}")
