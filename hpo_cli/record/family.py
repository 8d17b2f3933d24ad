"""Families of runs: who branched from whom, at which step, with what changed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hpo_cli.record import folder
from hpo_cli.record.contents import DamagedError, Values, count, mapping, read_file, text, words
from hpo_cli.record.ledger import decode_ledger, fold
from hpo_cli.record.line import Line, living_line
from hpo_cli.record.reading import RunRecord, read_run

if TYPE_CHECKING:
    from pathlib import Path

    from hpo_cli.record.ledger import Event


_PLACE = ("hydra.run.dir=", "name=")  # where a run lies and what it is called change nothing of it


@dataclass(frozen=True, kw_only=True)
class Member:
    """A run and where it comes from. record: None for a parent that is not there any more.

    origin: `parent` or `replay_of` of the ledger's first line, empty for a run that began from nothing.
    changed: the words that set it apart from its parent.   nudges, rollbacks: those in force.
    """

    id: str
    place: str
    record: RunRecord | None = None
    origin: Values = field(default_factory=dict)
    is_replay: bool = False
    changed: tuple[str, ...] = ()
    nudges: int = 0
    rollbacks: int = 0

    @property
    def step(self) -> int | None:
        """The step at which it left its parent."""
        return count(self.origin.get("step"))

    @property
    def epoch(self) -> int | None:
        """Whole epochs that its parent had done by then."""
        return count(self.origin.get("epoch"))

    @property
    def twin(self) -> str:
        """`with` or `without` for one of two that differ in one nudge; empty for others."""
        return text(self.origin.get("twin"))

    @property
    def value(self) -> float | None:
        """The best value of its objective."""
        aim = self.record.objective if self.record else None
        return aim.value if aim else None


@dataclass
class Node:
    """A run with its children, oldest first."""

    member: Member
    children: list[Node] = field(default_factory=list)

    def walk(self) -> Iterator[Member]:
        """The run and all that came of it."""
        left = [self]
        while left:
            node = left.pop()
            yield node.member
            left += reversed(node.children)


def families(places: Iterable[str | Path]) -> list[Node]:
    """The runs in these folders as trees, newest root first. Each run is in one of them, once, whatever it claims."""
    members = sorted((_read_member(os.fspath(place)) for place in places), key=_age)
    nodes = {os.path.realpath(member.place): Node(member) for member in members}
    roots: list[Node] = []
    for node in list(nodes.values()):
        parent = _parent_of(node, nodes)
        if parent is None or any(one is parent.member for one in node.walk()):  # its own descendant: a circle
            roots.append(node)
        else:
            parent.children.append(node)
    roots += [node for node in nodes.values() if node.member.record is None]
    for node in nodes.values():
        _note_changes(node)
    return sorted(roots, key=lambda root: max(map(_age, root.walk())), reverse=True)


def family_of(place: str | Path, roots: Iterable[Node]) -> Node | None:
    """The tree that the run in folder `place` is in."""
    wanted = os.path.realpath(place)
    return next((root for root in roots if any(os.path.realpath(one.place) == wanted for one in root.walk())), None)


def best_member(members: Iterable[Member]) -> Member | None:
    """The one with the best value of the objective that the first with a value has."""
    valued = [(member.record.objective, member) for member in members if member.record and member.record.objective]
    known = [(aim, member) for aim, member in valued if aim.value is not None]
    if not known:
        return None
    first = known[0][0]
    same = [(aim.value, member) for aim, member in known if (aim.name, aim.mode) == (first.name, first.mode)]
    return (min if first.mode == "min" else max)(same, key=lambda pair: pair[0] or 0.0)[1]


def _age(member: Member) -> str:
    return member.record.started if member.record else ""


def _read_member(place: str) -> Member:
    record = read_run(place)
    events = _events(place)
    started = mapping(fold(events).started)
    parent, replay = mapping(started.get("parent")), mapping(started.get("replay_of"))
    line = living_line(events) if events else Line()
    return Member(
        id=record.id,
        place=place,
        record=record,
        origin=replay or parent,
        is_replay=bool(replay),
        changed=words(parent.get("changes")),
        nudges=sum(event["event"] == "nudged" for event in line.chain),
        rollbacks=sum(event["event"] == "rolled_back" for event in line.chain),
    )


def _events(place: str) -> tuple[Event, ...]:
    try:
        return decode_ledger(read_file(place, folder.LEDGER) or b"").events
    except DamagedError:
        return ()


def _parent_of(node: Node, nodes: dict[str, Node]) -> Node | None:
    """The node of the run that it came from: in the folder that it names, or moved with its id kept, or gone."""
    named, run = text(node.member.origin.get("path")), text(node.member.origin.get("run"))
    if not run and not named:
        return None
    place = os.path.realpath(named) if named else f"?/{run}"
    if place in nodes:
        return nodes[place]
    moved = [other for other in nodes.values() if other.member.id == run and other.member.record]
    if len(moved) == 1:
        return moved[0]
    nodes[place] = Node(Member(id=run or os.path.basename(named), place=place))  # noqa: PTH119 - only a name
    return nodes[place]


def _note_changes(node: Node) -> None:
    """Where the ledger does not say what was changed, it is what the parent's words lack."""
    own = node.member.record.overrides if node.member.record else ()
    for child in node.children:
        known = child.member
        if known.record and known.record.overrides and not (known.changed or known.is_replay or known.twin):
            new = tuple(word for word in known.record.overrides if word not in own and not word.startswith(_PLACE))
            child.member = replace(known, changed=new)
