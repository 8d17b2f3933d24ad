"""Keys and typed words made into commands that can be sent, with one line about what each will do."""

from __future__ import annotations

import shlex
import threading
from typing import TYPE_CHECKING, Any

from hpo_cli.console.happenings import value_of as shown
from hpo_cli.console.prompts import Intent
from hpo_cli.errors import UserError
from hpo_cli.record.contents import mapping, text
from hpo_cli.record.folder import METRICS
from hpo_cli.record.ledger import fold, read_ledger
from hpo_cli.record.line import Line, living_line
from hpo_cli.record.metrics import read_metrics
from hpo_cli.record.reading import Objective
from hpo_cli.steer.changes import revised, value_of
from hpo_cli.steer.current import current_setting
from hpo_cli.steer.hot import canonical
from hpo_cli.steer.shapes import TAG
from hpo_cli.steer.targets import parse_target, resolve_target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SAYS = {
    "pause": "pause training after this step",
    "unpause": "let training go on",
    "stop": "save the state and end the run",
}


def prepared(verb: str, typed: str, *, folder: Path, step: int) -> Intent:
    """The command that a key and its words mean. step: where the run is. Raises UserError."""
    special: dict[str, Callable[[], Intent]] = {
        "nudge": lambda: _nudge(typed, folder),
        "checkpoint": lambda: _checkpoint(typed),
        "rollback": lambda: _rollback(typed, folder, step),
    }
    return special[verb]() if verb in special else Intent(verb, {}, _SAYS[verb])


def warm_up() -> None:
    """Load what reads a nudge's words while they are typed; it takes a moment."""
    threading.Thread(target=_load, name="warm-up", daemon=True).start()


def _load() -> None:
    import hpo_cli.compose
    import hpo_cli.verbs.nudging  # noqa: F401 - both for later


def _words(typed: str) -> list[str]:
    try:
        return shlex.split(typed)
    except ValueError as error:
        raise UserError(f"{typed}: {error}") from None


def _nudge(typed: str, folder: Path) -> Intent:
    from hpo_cli.verbs.nudging import checked_changes

    changes = checked_changes(folder, _words(typed), ref=folder.name)
    return Intent("nudge", {"changes": changes}, f"nudge {_difference(changes, folder)} at the next step")


def _difference(changes: dict[str, list[Any]], folder: Path) -> str:
    """`lr 0.001 -> 0.0003` for each change, by the values in force."""
    before = current_setting(folder)
    after = revised(*before, changes)
    pairs = {canonical(key): (value_of(*before, canonical(key)), value_of(*after, canonical(key))) for key in changes}
    return ", ".join(f"{key} {shown(old)} -> {shown(new)}" for key, (old, new) in pairs.items())


def _checkpoint(typed: str) -> Intent:
    if not typed:
        return Intent("checkpoint", {}, "save this state and keep it")
    if not TAG.fullmatch(typed):
        raise UserError(f"{typed}: must be one plain name (letters, digits, . _ + -, at most 64)")
    return Intent("checkpoint", {"tag": typed}, f"save this state and keep it as {typed}")


def _rollback(typed: str, folder: Path, step: int) -> Intent:
    word, *others = _words(typed)
    to = parse_target(word)
    changes: dict[str, list[Any]] = {}
    also = ""
    if others:
        from hpo_cli.verbs.nudging import checked_changes

        changes = checked_changes(folder, others, ref=folder.name)
        also = f", with {_difference(changes, folder)}"
    goal = _goal(to, folder, step)
    undone = step - goal
    says = f"go back to step {goal}{also}; the {undone} steps since then are abandoned"
    return Intent("rollback", {"to": to, "skip_batches": 0, "changes": changes}, says)


def _goal(to: dict[str, Any], folder: Path, step: int) -> int:
    """The step that a target is now. Raises UserError."""
    events = read_ledger(folder).events
    started = mapping(fold(events).started)
    aim = mapping(started.get("objective"))
    line: Line = living_line(events)
    goal = resolve_target(
        to,
        line=line,
        rows=_rows(folder),
        position_step=step,
        objective=Objective(text(aim.get("name")), text(aim.get("mode"))) if aim else None,
        start_step=mapping(started.get("parent")).get("step") or 0,
    )
    return goal.step


def _rows(folder: Path) -> list[dict[str, Any]]:
    try:
        return read_metrics(folder / METRICS)
    except OSError:
        return []
