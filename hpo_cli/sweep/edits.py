"""Changes of a sweep while it runs, as words: `workers=4 trials+=20 lr=interval(1e-4,1e-2) ban:optimizer=sgd pause`.

Pure: words and a state in, another state's settings and space out. `editing.py` takes them from the sweep's folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from hpo_cli.errors import ConfigError, Problem, did_you_mean, shown
from hpo_cli.options import list_options
from hpo_cli.rules import checked
from hpo_cli.steer.changes import OPERATIONS
from hpo_cli.steer.hot import canonical
from hpo_cli.sweep.edit_words import EDITABLE, Edit, box_of, is_number, read_edit, value_of
from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.settings import SweepSettings
from hpo_cli.sweep.space import Dimension, Space
from hpo_cli.sweep.state import Event

__all__ = ["EDITABLE", "Edit", "Outcome", "events_of", "read_edit", "revised"]

Act = Literal["pause", "unpause", "stop"]


@dataclass(frozen=True)
class Outcome:
    """What edits come to. lines: what changes, for people; act: pause, unpause or stop, in the order of the words."""

    settings: SweepSettings
    space: Space
    lines: tuple[str, ...] = ()
    acts: tuple[Act, ...] = ()
    is_narrower: bool = False


@dataclass
class _Draft:
    state: SweepState
    settings: SweepSettings
    space: Space
    lines: list[str] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)


def revised(words: Sequence[str], state: SweepState) -> Outcome:
    """What the words make of a sweep's settings and space. Raises ConfigError naming every problem."""
    draft = _Draft(state, state.settings, state.space)
    problems: list[Problem] = []
    for word in words:
        try:
            _apply(draft, read_edit(word))
        except ConfigError as error:
            problems.extend(error.problems)
    if "pause" in draft.acts and "unpause" in draft.acts:
        problems.append(Problem("pause", "and unpause at once", "give one of them"))
    if problems:
        raise ConfigError.of(problems)
    narrower = draft.space.differences(state.space)
    lines = (*draft.lines, *narrower)
    return Outcome(draft.settings, draft.space, lines, tuple(draft.acts), is_narrower=bool(narrower))


def events_of(outcome: Outcome, *, who: str, why: str = "", id: str = "") -> list[Event]:  # noqa: A002 - as in the log
    """The events that carry edits out; none where nothing changes."""
    by = {"id": id, "who": who, "why": why}
    events: list[Event] = []
    if outcome.lines or "stop" in outcome.acts:
        stop = {"stop": True} if "stop" in outcome.acts else {}
        changes = [*outcome.lines, *(["it ends, running trials save their state"] if stop else [])]
        found = {"changes": changes, "settings": asdict(outcome.settings), "space": outcome.space.to_json()}
        events.append({"event": "edited", **found, **stop, **by})
    for act, event in (("pause", "held"), ("unpause", "unheld")):
        if act in outcome.acts:
            events.append({"event": event, **by})
    return events


def _apply(draft: _Draft, edit: Edit) -> None:
    if not edit.op:
        _act(draft, edit)
    elif edit.op == "ban":
        _ban(draft, edit)
    elif edit.key in EDITABLE:
        _set(draft, edit)
    elif edit.key in SweepSettings.__dataclass_fields__:
        rule = "cannot change while a sweep runs: its trials could not be compared"
        near = did_you_mean(edit.key, EDITABLE)
        raise ConfigError(edit.word, rule=rule, fix=near or f"begin another sweep, or change {', '.join(EDITABLE)}")
    else:
        _narrow(draft, edit)


def _act(draft: _Draft, edit: Edit) -> None:
    is_held = draft.state.is_held
    if (edit.key == "pause" and is_held) or (edit.key == "unpause" and not is_held):
        raise ConfigError(edit.key, rule="is so already" if is_held else "but the sweep is not paused")
    draft.acts.append(edit.key)  # type: ignore[arg-type]


def _set(draft: _Draft, edit: Edit) -> None:
    old = _now(draft, edit.key)
    given = value_of(edit.text)
    new = given if edit.op == "=" else _computed(edit, old, given)
    rule = list_options("sweep")["default"].rules.get(edit.key, {})
    new, problems = checked(edit.key, new, rule=rule, default=None if rule.get("type") else old)
    if problems:
        raise ConfigError.of(problems)
    if new == getattr(draft.settings, edit.key):
        raise ConfigError(edit.key, rule=f"is {shown(new)} already")
    if edit.key == "trials":
        _refuse_no_further(draft, old, new)
    draft.lines.append(f"sweep.{edit.key}: was {shown(old)}, now {shown(new)}")
    draft.settings = replace(draft.settings, **{edit.key: new})


def _refuse_no_further(draft: _Draft, old: int | None, new: int | None) -> None:
    """Raises ConfigError for more trials than there are settings, each of which is run once."""
    size = draft.space.size
    is_once = draft.settings.search == "grid" or draft.settings.duplicates == "skip"
    if new is None or size is None or not is_once or new <= max(size, old or 0):
        return
    rule = f"there is no further setting: {size} are all" if (old or 0) >= size else f"there are {size} settings in all"
    fix = "begin again with more values in the same folder: hpo-run -m ... sweep.dir="
    raise ConfigError("trials", new, rule=rule, fix=f"{fix}{draft.state.folder}")


def _now(draft: _Draft, key: str) -> Any:
    """The value of a setting; of one that was left open, what came of that."""
    old = getattr(draft.settings, key)
    if old is None and key == "trials":
        return draft.state.total
    if old is None and key == "workers":
        return sum(int(event.get("workers") or 0) for event in draft.state.joined) or None
    return old


def _computed(edit: Edit, old: Any, given: Any) -> Any:
    fix = f"write {edit.key}=..."
    if not is_number(given):
        raise ConfigError(edit.word, rule=f"{edit.op} needs a number", fix=fix)
    if not is_number(old):
        raise ConfigError(
            edit.word, rule=f"{edit.op} needs a number to act on, and {edit.key} is {shown(old)}", fix=fix
        )
    try:
        return OPERATIONS[edit.op](old, given)
    except (ZeroDivisionError, OverflowError) as error:
        raise ConfigError(edit.word, rule="gives no number", fix=fix) from error


def _ban(draft: _Draft, edit: Edit) -> None:
    found = _dimensions(draft.space, edit)
    value = value_of(edit.text)
    having = [one for one in found if one.choices is None or one.contains(value)]
    for one in having or found:
        draft.space = draft.space.without(one.name, value)


def _narrow(draft: _Draft, edit: Edit) -> None:
    found = _dimensions(draft.space, edit)
    if edit.op != "=":
        raise ConfigError(
            edit.word, rule="a range has no one value to act on", fix=f"write {edit.key}=interval(low,high)"
        )
    boxes = {one.name: box_of(edit, one) for one in found}
    if problems := [problem for one in found if (problem := _too_narrow(draft.space, one, boxes[one.name], edit))]:
        raise ConfigError.of(problems)
    draft.space = draft.space.narrowed(boxes)


def _too_narrow(space: Space, one: Dimension, box: Sequence[Any], edit: Edit) -> Problem | None:
    """What is wrong with a box that leaves nothing, or a single point of a range: of one option's, mostly."""
    try:
        left = space.narrowed({one.name: box})[one.name]
    except ConfigError:
        rule = f"leaves nothing of {one}"
    else:
        if left.choices is not None or left.ends[0] < left.ends[1] or one.ends[0] == one.ends[1]:
            return None
        rule = f"leaves {left.ends[0]:g} alone of {one}"
    return Problem(one.name, rule, _way_out(space, one, edit), edit.text)


def _way_out(space: Space, one: Dimension, edit: Edit) -> str:
    """Give the option up, or name the dimensions that are meant."""
    lists = {key: other for other in space.dimensions if other.choices is not None for key in other.keys}
    option = next((c for c in one.when if c.key in lists and len(c.values) == 1 and (lists[c.key].size or 0) > 1), None)
    if option is None:
        return f"name a part of it: {edit.key}=interval(low,high)"
    others = [other.name for other in _dimensions(space, edit) if other is not one]
    meant = f", or name the one that is meant: '{others[0]}={edit.text}'" if others else ""
    return f"give the option up: ban:{option.key}={shown(option.values[0])}{meant}"


def _dimensions(space: Space, edit: Edit) -> list[Dimension]:
    """The dimensions of that name, or that set that key: an option's own each, where several have one."""
    named = [one for one in space.dimensions if one.name.replace(" ", "") == edit.key.replace(" ", "")]
    having = [one for one in space.dimensions if canonical(edit.key) in map(canonical, one.keys)]
    found = named or [one for one in having if _can_be_active(one, space)] or having
    if not found:
        names = [*EDITABLE, *(one.name for one in space.dimensions)]
        near = (
            did_you_mean(edit.key, names)
            or f"it searches {', '.join(one.name for one in space.dimensions) or 'nothing'}"
        )
        raise ConfigError(
            edit.word, rule="names nothing that this sweep searches, and no setting that can change", fix=near
        )
    return found


def _can_be_active(one: Dimension, space: Space) -> bool:
    """Whether the options that it belongs to are still searched."""
    lists = {key: other for other in space.dimensions if other.choices is not None for key in other.keys}
    read = [(condition, lists[condition.key]) for condition in one.when if condition.key in lists]
    return all(any(other.contains(value) for value in condition.values) for condition, other in read)
