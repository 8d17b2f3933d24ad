"""The settings of the twin that did better, applied to the run that both came from."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from hpo_cli.steer.answers import answer_lines
from hpo_cli.steer.commands import send, wait_for_ack
from hpo_cli.verbs.children import Parent, put_off
from hpo_cli.verbs.inheriting import typed
from hpo_cli.verbs.twin_report import Comparison

_WAIT_S = 60.0


def keep_winner(parent: Parent, found: Comparison) -> str:
    """Give a run the nudge that did better, now or when it goes on; what was done, in one line."""
    name = parent.folder.name
    if found.winner != "with":
        return f"nothing: {name} stays as it is"
    changes = {key: ["=", value] for key, value in found.settings.items()}
    why = f"twin {found.folders['with'].name} did better than {found.folders['without'].name}"
    if parent.is_live:
        return _nudge(parent, changes, why)
    words = " ".join(f"{key}={typed(value)}" for key, value in found.settings.items() if key != "schedule")
    if parent.record.status == "finished":
        return f"nothing: {name} has finished; hpo-run branch {name} {shlex.quote(words)} goes on with it"
    step = parent.goal("last").step
    put_off(parent.folder, step=step, due={"step": step}, do="nudge", changes=changes, why=why)
    return f"{words} takes force when {name} goes on: hpo-run resume={name}"


def _nudge(parent: Parent, changes: Mapping[str, Any], why: str) -> str:
    sent = send(parent.folder, "nudge", {"changes": dict(changes)}, why=why)
    ack = wait_for_ack(parent.folder, sent, _WAIT_S)
    if ack is None:
        return f"{parent.folder.name} has not answered yet; the nudge {sent} waits for it"
    return "; ".join(answer_lines(ack))
