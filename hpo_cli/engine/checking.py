"""Whether what somebody asks of a live run can be: nothing is written or changed here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hpo_cli.components.data.arrays import Splits
from hpo_cli.engine.loop import TrainingLoop
from hpo_cli.engine.patience import Patience
from hpo_cli.engine.preflight import check_change
from hpo_cli.engine.progress import Position
from hpo_cli.engine.standing import Standing
from hpo_cli.engine.stop import StopFlag
from hpo_cli.plan import RunPlan
from hpo_cli.record import ledger, metrics
from hpo_cli.record.folder import METRICS
from hpo_cli.record.line import Line, living_line
from hpo_cli.steer.changes import Setting, revised, settled
from hpo_cli.steer.targets import Goal, resolve_target

Check = Callable[..., RunPlan]
"""validate.plan_from_config: config, choices=... -> the plan, or ConfigError."""


class Tender(Protocol):
    """What steering asks of the recorder."""

    def flush(self) -> None:
        """Rows that were handed over can be read."""

    def join(self) -> None:
        """Everything that was handed over is on disk."""

    def abandon(self, *, after: int, known_after: int | None = None, since: int | None = None) -> None:
        """Rows beyond step `after` are of another line."""


@dataclass(frozen=True)
class Surroundings:
    """What a run's steering works with. origin: brings a loop to the run's very start.

    check: None in processes that check no commands.   is_lost: whether another process has taken the run over.
    """

    folder: Path
    plan: RunPlan
    splits: Splits
    recorder: Tender
    stop: StopFlag
    patience: Patience
    check: Check | None
    origin: Callable[[TrainingLoop], None]
    is_lost: Callable[[], bool] = lambda: False


class Checks:
    """Checks against a run as it stands. All raise UserError for what cannot be."""

    def __init__(self, around: Surroundings, standing: Standing) -> None:
        self._around, self._standing = around, standing

    def revised(self, changes: Mapping[str, Any], loop: TrainingLoop) -> Setting:
        """Config and choices with these changes, with which the live run can go on."""
        setting = Setting(self._standing.config, self._standing.choices)
        after, plan = self._planned(setting, changes)
        around = self._around
        check_change(plan, loop.system, splits=around.splits, position=loop.position, run=around.folder.name)
        return after

    def changes_at(self, goal: Goal, changes: Mapping[str, Any], loop: TrainingLoop) -> None:
        """Whether these changes could be made to the config as it was there."""
        plan = self._around.plan
        known = {event["id"]: event for event in ledger.read_ledger(self._around.folder).events if event.get("id")}
        chain = tuple(known[name] for name in goal.line_ids if name in known)
        _, revised_plan = self._planned(settled(plan.config, plan.choices, Line(chain)), changes)
        check_change(revised_plan, loop.system, splits=self._around.splits, position=Position(step=goal.step))

    def _planned(self, setting: Setting, changes: Mapping[str, Any]) -> tuple[Setting, RunPlan]:
        after = revised(*setting, changes, run=self._around.folder.name)
        assert self._around.check is not None  # noqa: S101 - the first process has one
        return after, self._around.check(after.config, choices=after.choices)

    def goal(self, to: Mapping[str, Any], loop: TrainingLoop) -> Goal:
        """The boundary of the run's past that a rollback names."""
        around = self._around
        around.recorder.flush()
        return resolve_target(
            to,
            line=living_line(ledger.read_ledger(around.folder).events),
            rows=metrics.read_metrics(around.folder / METRICS),
            position_step=loop.position.step,
            start_step=self._standing.course.start_step,
            objective=around.plan.objective,
        )

    def free_tag(self, tag: str) -> str:
        """`tag`, or `tag-2`, ... where it is taken."""
        taken = self.tags()
        return next(name for name in (tag, *(f"{tag}-{k}" for k in range(2, 10_000))) if name not in taken)

    def tags(self) -> set[object]:
        """The tags of this run."""
        return {event.get("tag") for event in ledger.read_ledger(self._around.folder).events}

    def is_done(self, name: str) -> bool:
        """Whether the ledger has the command of this id already."""
        events = ledger.read_ledger(self._around.folder).events
        return any(name in (event.get("id"), event.get("command")) for event in events)
