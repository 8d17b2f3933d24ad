"""What a run was asked to do later and has not done yet, in a person's words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpo_cli.console.figures import figure
from hpo_cli.console.happenings import typed, value_of
from hpo_cli.console.tables import one_line
from hpo_cli.record.contents import mapping, text
from hpo_cli.record.ledger import Event
from hpo_cli.record.line import Line

_END = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True)
class Wait:
    """id: whole, as the ledger has it; name: by which it is taken back; when, what, who: for people."""

    id: str
    name: str
    when: str
    what: str
    who: str

    def __str__(self) -> str:
        by = f"  ({self.who})" if self.who else ""
        return one_line(f"{self.name}  {self.when}: {self.what}{by}")


def waits(line: Line, plan: Mapping[str, Any] | None = None) -> tuple[Wait, ...]:
    """What waits: orders for later, changes that come with a rollback, nudges that the plan itself has."""
    asked = [*line.standing, *_of_rollbacks(line), *_planned(mapping(plan))]
    return tuple(_wait(event) for event in asked if event["id"] not in line.done)


def asked_for(event: Event) -> str:
    """`nudge lr=0.001 at step 300` of an event that asks for something later."""
    return f"{_what(event)} at {_due(mapping(event.get('due')))}"


def changes_typed(changes: Mapping[str, Any]) -> str:
    """`lr*=0.9 schedule=cosine schedule.floor=0.1`: changes as commands have them, as a person types them."""
    return " ".join(_word(key, change) for key, change in changes.items())


def _wait(event: Event) -> Wait:
    name = event["id"]
    end = name.rpartition("-")[2]
    who = ": ".join(part for part in (text(event.get("who")), text(event.get("why"))) if part)
    when = f"at {_due(mapping(event.get('due')))}"
    return Wait(name, end if _END.fullmatch(end) else name, when, _what(event), who)


def _what(event: Event) -> str:
    words = changes_typed(mapping(event.get("changes")))
    return f"{event.get('do')} {words}".strip()


def _due(due: Mapping[str, Any]) -> str:
    share = due.get("progress")
    if isinstance(share, (int, float)) and not isinstance(share, bool):
        return f"{100 * share:.4g} % of training"
    return ", ".join(f"{what} {figure(when)}" for what, when in due.items()) or "no time"


def _word(key: str, change: Any) -> str:
    if not (isinstance(change, Sequence) and not isinstance(change, str) and len(change) == 2):  # noqa: PLR2004
        return f"{key}={value_of(change)}"
    op, value = change
    return typed(key, value) if op == "=" else f"{key}{op}{value_of(value)}"


def _of_rollbacks(line: Line) -> Iterator[Event]:
    for event in line.chain:
        if event["event"] == "rolled_back" and mapping(event.get("changes")):
            yield {**event, "do": "nudge", "due": {"step": event["to"]}}


def _planned(plan: Mapping[str, Any]) -> Iterator[Event]:
    nudges = mapping(plan.get("schedule")).get("nudges")
    for index, nudge in enumerate(nudges if isinstance(nudges, list) else ()):
        changes = {key: ["=", value] for key, value in mapping(nudge).items() if key != "at"}
        due = {"progress": mapping(nudge).get("at")}
        yield {"id": f"planned-{index}", "do": "nudge", "due": due, "changes": changes, "who": "schedule"}
