"""What happened to a run, in a person's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo_cli.record.contents import mapping
from hpo_cli.record.ledger import Event
from hpo_cli.steer.answers import shown_value


def story_of(event: Event) -> str:
    """One line about a nudge or a rollback: `step 400: lr 0.001 -> 0.0003 (ada@lab: too noisy)`."""
    why = f": {event['why']}" if event.get("why") else ""
    who = f" ({event.get('who')}{why})"
    if event["event"] == "rolled_back" and event.get("adopted"):
        return f"from step {event['step']} to step {event['to']} of {taken_from(event)}{who}"
    if event["event"] == "rolled_back":
        skipped = f", {event['skip_batches']} batches skipped" if event.get("skip_batches") else ""
        return f"rolled back from step {event['step']} to {event['to']}{skipped}{who}"
    return f"step {event['step']}: {changes_of(event['knobs'])}{who}"


def taken_from(event: Event) -> str:
    """Which run's state an event brought, and what the run has otherwise since: `a1b2c3-4, lr 0.01 -> 0.008`."""
    knobs = {key: change for key, change in mapping(event.get("knobs")).items() if _differs(mapping(change))}
    return ", ".join([str(mapping(event.get("adopted")).get("run")), *([changes_of(knobs)] if knobs else [])])


def _differs(change: Mapping[str, Any]) -> bool:
    return "old" in change and "new" in change and change["old"] != change["new"]


def changes_of(knobs: Mapping[str, Mapping[str, Any]]) -> str:
    """`lr 0.001 -> 0.0003, regularization.dropout 0.0 -> 0.2`."""
    return ", ".join(f"{key} {_short(change['old'])} -> {_short(change['new'])}" for key, change in knobs.items())


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else shown_value(value)
