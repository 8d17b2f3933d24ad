"""A run's past as the first state of another run: what branch, twin and replay have in common."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo_cli.errors import UserError
from hpo_cli.plan import RunPlan
from hpo_cli.record import ledger
from hpo_cli.record.contents import mapping, read_plan, words
from hpo_cli.record.line import is_adoption
from hpo_cli.record.reading import read_run
from hpo_cli.steer.ancestors import Ancestor, Birth
from hpo_cli.steer.changes import Setting
from hpo_cli.steer.commands import who_am_i
from hpo_cli.steer.targets import Goal
from hpo_cli.validate import plan_from_config
from hpo_cli.verbs.composing import composed
from hpo_cli.verbs.inheriting import Inheritance, inherit, nudge_words, own_words, trusting, typed
from hpo_cli.verbs.trusting import check_started_with, trusted_plan

if TYPE_CHECKING:
    from hpo_cli.engine.checkpoints import State
    from hpo_cli.verbs.composing import Composed, ComposeWords


@dataclass(frozen=True)
class Parent(Ancestor):
    """A run to descend from, whose children are composed from its words and further ones."""

    def plan_at(self, goal: Goal) -> RunPlan:
        """The plan that `setting_at` makes, checked. Raises ConfigError."""
        config, choices = self.setting_at(goal)
        return plan_from_config(config, choices=choices, config_dir=own_words(self.started).config_dir)

    def heir(self, goal: Goal, overrides: Sequence[str]) -> Inheritance:
        """The words of a child that leaves it there.

        Of other code than ours it may run what the plan names, which was trusted; its ledger cannot add to that.
        Raises UserError where the words of the ledger do not make the plan.
        """
        begun = Setting(dict(self.plan.config), dict(self.plan.choices))
        own = trusting(own_words(self.started), self.plan.allow_targets)
        self._check_words(own)
        return inherit(own, [*nudge_words(begun, self.setting_at(goal)), *self._unspent(goal)], overrides)

    def _check_words(self, own: ComposeWords) -> None:
        found = composed(own).plan.plan_id
        if found != self.plan.plan_id:
            rule = f"the words in its ledger make a plan with the id {found}, its plan.yaml has {self.plan.plan_id}"
            fix = "one of them was edited, or options have changed since: restore them, or start anew"
            raise UserError(f"{self.folder}: {rule}; {fix}")

    def _unspent(self, goal: Goal) -> list[str]:
        """The planned nudges that are still to come, as a word; none where nothing planned has taken force."""
        done = {event.get("scheduled") for event in self.line.chain if event["id"] in goal.line_ids}
        done |= {event.get("scheduled") for event in self.events if event["event"] == "cancelled"}
        done |= {name for event in self.line.chain if is_adoption(event) for name in words(event.get("done"))}
        planned = self.plan.config["schedule"].get("nudges") or []
        left = [nudge for index, nudge in enumerate(planned) if f"planned-{index}" not in done]
        return [] if left == list(planned) else [f"schedule.nudges={typed(left)}"]


def read_parent(folder: Path, *, allow: Sequence[str] = ()) -> Parent:
    """The run in `folder`. Raises UserError where its plan or its ledger cannot be read or trusted, or disagree."""
    try:
        events = ledger.read_ledger(folder).events
    except OSError as error:
        raise UserError(f"{folder}: its ledger cannot be read ({error.strerror}); restore it") from error
    plan = trusted_plan(folder, allow)
    check_started_with(plan, mapping(ledger.fold(events).started), folder=folder)
    return Parent(folder, plan, read_run(folder), events)


def past(parent: Parent, goal: Goal) -> State:
    """The parent's state there, trained again from the nearest checkpoint before it where none was saved."""
    from hpo_cli.engine.past import past_state

    state: State = past_state(parent.folder, parent.plan, goal)
    return state


def make_child(found: Composed, birth: Birth) -> Path:
    """A child's new folder, with the state that it begins with; nothing is trained yet."""
    from hpo_cli.engine import checkpoints
    from hpo_cli.engine.branching import start_state
    from hpo_cli.record.start import Origin, start_run

    first = start_state(dict(birth.state), birth.parent.plan_at(birth.goal))
    origin = Origin(parent=birth.noted, write_state=partial(checkpoints.save, state=first))
    words = found.words
    return start_run(
        found.plan,
        command=words.command,
        overrides=words.overrides,
        hydra_files=found.composition.hydra_files,
        at=found.composition.run_dir,
        origin=origin,
    )


def put_off(folder: Path, *, step: int, due: Mapping[str, int], do: str, **fields: Any) -> None:
    """Note in a run's ledger what is to happen at a later step boundary.

    do: nudge or stop.   fields: changes of a nudge; who, default this user; why.
    """
    name = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
    said = {"changes": {}, "who": who_am_i(), "why": "", **fields}
    ledger.append(folder, "scheduled", step=step, id=name, due=dict(due), do=do, **said)


def train_child(folder: Path) -> int:
    """Train the run in `folder`, which this process made, from where it stands to its end; the exit code."""
    from hpo_cli.verbs import train

    allowed = read_plan(folder).get("allow_targets") or []
    return train.main([*(f"--allow={name}" for name in allowed), f"resume={folder}"])
