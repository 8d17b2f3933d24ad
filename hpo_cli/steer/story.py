"""What happened to a run, in a person's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo_cli.record.ledger import Event
from hpo_cli.steer.answers import shown_value


def story_of(event: Event) -> str:
    """One line about a nudge or a rollback: `step 400: lr 0.001 -> 0.0003 (ada@lab: too noisy)`."""
    why = f": {event['why']}" if event.get("why") else ""
    who = f" ({event.get('who')}{why})"
    if event["event"] == "rolled_back":
        skipped = f", {event['skip_batches']} batches skipped" if event.get("skip_batches") else ""
        return f"rolled back from step {event['step']} to {event['to']}{skipped}{who}"
    return f"step {event['step']}: {changes_of(event['knobs'])}{who}"


def changes_of(knobs: Mapping[str, Mapping[str, Any]]) -> str:
    """`lr 0.001 -> 0.0003, regularization.dropout 0.0 -> 0.2`."""
    return ", ".join(f"{key} {_short(change['old'])} -> {_short(change['new'])}" for key, change in knobs.items())


def _short(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else shown_value(value)
