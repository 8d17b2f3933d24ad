"""What happened to a run, for the eye: a letter and a number at its step on the x axis, and one line in a legend."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hpo_cli.console.figures import figure
from hpo_cli.console.output import Span
from hpo_cli.console.plot import Flag
from hpo_cli.console.tables import one_line, shorten
from hpo_cli.record.contents import count, mapping, text
from hpo_cli.record.line import force_step, living_line
from hpo_cli.steer.story import taken_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hpo_cli.console.output import Line
    from hpo_cli.record.ledger import Event

STYLES = {"n": "bright_green", "r": "bright_red", "b": "bright_blue", "t": "bright_yellow", "w": "orange3"}
"""Letter -> colour: nudge, rollback, branch, tag, warning."""
ABANDONED = "dim"
_LONGEST_VALUE = 24


@dataclass(frozen=True)
class Happening:
    """label: letter and number.   step: where it lies on the curves.   alive: False when a rollback undid it.

    id: of the event, where it has one.
    """

    label: str
    step: int
    said: str
    alive: bool = True
    id: str = ""

    @property
    def style(self) -> str:
        """The colour of its kind, or pale when it was undone."""
        return STYLES[self.label[0]] if self.alive else ABANDONED


def happenings(events: Iterable[Event]) -> tuple[Happening, ...]:
    """What is worth a mark, in the order in which it happened. Events that lack what their kind needs are left out."""
    seen = list(events)
    line = living_line(seen)
    undone = {id(event) for event in line.abandoned}
    chain = set(line.ids)
    counts: Counter[str] = Counter()
    found = []
    for event in seen:
        letter = _letter(event)
        step = _step(event)
        if not letter or step is None:
            continue
        counts[letter] += 1
        is_steering = letter in "nr"
        alive = event.get("id") in chain if is_steering else id(event) not in undone
        found.append(Happening(f"{letter}{counts[letter]}", step, _said(letter, event), alive, text(event.get("id"))))
    return tuple(found)


def renumbered(found: Iterable[Happening]) -> tuple[Happening, ...]:
    """Those of several runs as one list, each kind counted from one."""
    counts: Counter[str] = Counter()
    lines = []
    for one in found:
        counts[one.label[0]] += 1
        lines.append(replace(one, label=f"{one.label[0]}{counts[one.label[0]]}"))
    return tuple(lines)


def flags(found: Iterable[Happening], *, xs: Callable[[int], float | None] | None = None) -> tuple[Flag, ...]:
    """The marks on an x axis. xs: where a step lies there, when steps are not the axis themselves."""
    places = [(one, float(one.step) if xs is None else xs(one.step)) for one in found]
    return tuple(Flag(x, one.label, one.style) for one, x in places if x is not None)


def between(known: Sequence[tuple[int, float]], step: int) -> float | None:
    """The place of a step on another axis, by (step, place) pairs in order; None outside of them.

    >>> between([(40, 1), (80, 2)], 60), between([(40, 1), (80, 2)], 100)
    (1.5, None)
    """
    for (low, start), (high, end) in pairwise(known):
        if low <= step <= high:
            return start + (end - start) * (step - low) / max(1, high - low)
    return float(known[0][1]) if known and step == known[0][0] else None


def legend(found: Sequence[Happening], *, rows: int, columns: int) -> list[Line]:
    """At most `rows` lines, the newest below; the last ones when there is no room for all."""
    shown = found[-rows:] if rows else ()
    width = max((len(one.label) for one in shown), default=0)
    digits = max((len(str(one.step)) for one in shown), default=0)
    hidden = len(found) - len(shown)
    lines = [_entry(one, width=width, digits=digits, columns=columns) for one in shown]
    if hidden and lines:
        lines[0] = (*lines[0], Span(f"  ({hidden} earlier)", "dim"))
    return [_cut(one, columns) for one in lines]


def _entry(one: Happening, *, width: int, digits: int, columns: int) -> Line:
    body = shorten(one.said, max(8, columns - width - digits - 9))
    label = Span(f" {one.label:<{width}}", f"bold {one.style}" if one.alive else one.style)
    return (label, Span(f" step {one.step:>{digits}}  ", "dim"), Span(body, "" if one.alive else ABANDONED))


def _cut(entry: Line, columns: int) -> Line:
    """Without its last part, where that would pass the edge."""
    too_long = sum(len(span.text) for span in entry) > columns
    return entry[:3] if too_long else entry


def _letter(event: Event) -> str:
    match event["event"]:
        case "nudged":
            return "n" if mapping(event.get("knobs")) else ""
        case "rolled_back":
            return "r"
        case "checkpointed":
            return "t" if event.get("tag") else ""
        case "warned":
            return "w"
        case "started":
            return "b" if mapping(event.get("parent")) else ""
        case _:
            return ""


def _step(event: Event) -> int | None:
    if event["event"] == "started":
        return count(mapping(event.get("parent")).get("step"))
    if event["event"] == "rolled_back" and count(event.get("to")) is None:
        return None
    return force_step(event) if event["event"] == "rolled_back" else count(event.get("step"))


def _said(letter: str, event: Event) -> str:
    if letter == "n":
        return one_line(", ".join(changes(event["knobs"])) + _reason(event))
    if letter == "r":
        skipped = count(event.get("skip_batches"))
        if event.get("adopted"):
            return one_line(f"the state of {taken_from(event)}{_reason(event)}")
        over = f", {skipped} batches skipped" if skipped else ""
        return one_line(f"back from step {event.get('step')}{over}{_reason(event)}")
    if letter == "t":
        return one_line(f"tag {event['tag']}{_reason(event)}")
    if letter == "b":
        return one_line(f"branch of {mapping(event.get('parent')).get('run')}{_reason(event)}")
    return one_line(str(event.get("what")))


def changes(knobs: dict[str, Any]) -> Iterable[str]:
    """`lr 0.001 -> 0.0003` for each of {key: {"old", "new"}}."""
    for key, change in knobs.items():
        old, new = mapping(change).get("old"), mapping(change).get("new")
        yield f"{key} {value_of(old)} -> {value_of(new)}"


def typed(key: str, value: object) -> str:
    """`schedule=cosine schedule.floor=0.2`: a knob's value in the words that set it."""
    if not (isinstance(value, dict) and value.get("option")):
        return f"{key}={value_of(value)}"
    return " ".join([f"{key}={value['option']}", *(f"{key}.{name}={value_of(of)}" for name, of in _keys(value))])


def value_of(value: object) -> str:
    """A knob's value in few characters: a component by the name of its option, and its keys."""
    if isinstance(value, dict):
        name = value.get("option") or value.get("_target_")
        return " ".join([str(name), *(f"{key}={value_of(of)}" for key, of in _keys(value))]) if name else "..."
    if isinstance(value, list):
        return "[" + ",".join(value_of(item) for item in value) + "]"
    return "off" if value is None else shorten(figure(value), _LONGEST_VALUE)


def _keys(component: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(key, of) for key, of in component.items() if key not in ("option", "_target_")]


def _reason(event: Event) -> str:
    """` (ada: too noisy)`, as far as it is known."""
    who = text(event.get("who")).partition("@")[0]
    said = ": ".join(part for part in (who, text(event.get("why"))) if part)
    return f" ({said})" if said else ""
