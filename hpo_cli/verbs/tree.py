"""`hpo-run tree [RUN]`: families of runs: who branched from whom, what was changed, what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpo_cli.console import output, styles
from hpo_cli.console.figures import NOTHING, figure
from hpo_cli.console.output import Span, line
from hpo_cli.console.tables import Column, one_line, table
from hpo_cli.errors import UserError
from hpo_cli.record.family import Member, Node, best_member, families, family_of
from hpo_cli.record.runs import find_run, walk
from hpo_cli.verbs.arguments import RUN_HELP, reading_parser

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpo_cli.console.output import Line
    from hpo_cli.record.contents import Values


@dataclass(frozen=True)
class Limbs:
    """The strokes of a drawn tree, each three columns wide. fork: before a child that others follow."""

    fork: str = "├─ "
    last: str = "└─ "
    trunk: str = "│  "
    nothing: str = "   "


_PLAIN = Limbs("|- ", "`- ", "|  ")


def main(argv: Sequence[str]) -> int:
    """Draw the families below --outputs, or RUN's. Raises UserError."""
    parser = reading_parser("tree", about="The family of runs: branches, twins and replays, with the best of each.")
    parser.add_argument("run", nargs="?", metavar="RUN", help=f"only the family of this run: {RUN_HELP}")
    args = parser.read(argv)
    roots = families(walk(args.outputs))
    shown = [_family(args.run, args.outputs, roots)] if args.run else [root for root in roots if root.children]
    if args.json:
        output.write_json([entry for root in shown for entry in _entries(root)])
    else:
        output.write(list(_page(shown, single=0 if args.run else len(roots) - len(shown), outputs=args.outputs)))
    return 0


def _family(ref: str, outputs: str, roots: list[Node]) -> Node:
    place = find_run(ref, outputs)
    found = family_of(place, roots) or family_of(place, families([place]))
    if found is None:
        raise UserError(f"{place}: has no readable family")
    return found


def _entries(root: Node) -> Iterator[Values]:
    """One flat object a run, parents before children."""
    best = best_member(root.walk())
    for member in root.walk():
        record = member.record
        aim = record.objective if record else None
        yield {
            "id": member.id,
            "name": record.name if record else "",
            "path": member.place,
            "status": record.status if record else "missing",
            "root": root.member.id,
            "origin": member.origin or None,
            "kind": _kind(member),
            "step": member.step,
            "epoch": member.epoch,
            "changed": list(member.changed),
            "nudges": member.nudges,
            "rollbacks": member.rollbacks,
            "objective": vars(aim) if aim else None,
            "best": best is member,
        }


def _kind(member: Member) -> str:
    if member.record is None:
        return "missing"
    if member.is_replay:
        return "replay"
    if member.twin:
        return f"twin {member.twin}"
    return "branch" if member.origin else "root"


def _page(roots: Sequence[Node], *, single: int, outputs: str) -> Iterator[Line]:
    for index, root in enumerate(roots):
        if index:
            yield line()
        yield from _drawn(root)
    if not roots and not single:
        yield line(f"No runs in {outputs} yet. `hpo-run` makes the first one.")
    elif single:
        runs = f"{single} run{'s' * (single > 1)} without a family"
        yield line(Span(f"{runs}; hpo-run branch RUN key=value makes a child", styles.QUIET))


def _drawn(root: Node) -> list[Line]:
    limbs = Limbs() if output.can_draw() else _PLAIN
    best = best_member(root.walk())
    aim = best.record.objective.name if best and best.record and best.record.objective else "objective"
    columns = [
        Column("run"),
        Column("name", flexible=True, spare=1),
        Column("from", flexible=True),
        Column("changed", flexible=True),
        Column("status"),
        Column(aim, align="right"),
        Column("nudges", align="right", spare=2),
    ]
    rows = [_row(stroke, member, is_best=member is best) for stroke, member in _strokes(root, limbs)]
    return table(columns, rows, width=output.width() if output.is_styled() else None)


def _strokes(root: Node, limbs: Limbs) -> Iterator[tuple[str, Member]]:
    """Each run with what is drawn in front of it."""
    left = [(root, "", "")]  # a node, what stands before its own stroke, and that stroke
    while left:
        node, before, own = left.pop()
        yield before + own, node.member
        below = before + {"": "", limbs.fork: limbs.trunk, limbs.last: limbs.nothing}[own]
        last = node.children[-1] if node.children else None
        left += [(child, below, limbs.last if child is last else limbs.fork) for child in reversed(node.children)]


def _row(stroke: str, member: Member, *, is_best: bool) -> list[Span]:
    record, style = member.record, styles.WINNER if is_best else ""
    nudges = f"{member.nudges}" + (f", {member.rollbacks} back" if member.rollbacks else "")
    return [
        Span(stroke + one_line(member.id), style),
        Span(one_line(record.name) if record else ""),
        Span(_left_at(member), styles.QUIET),
        Span(one_line(" ".join(member.changed)), styles.QUIET if not member.changed else ""),
        styles.status(record.status) if record else Span("missing", styles.QUIET),
        Span(figure(member.value) if member.value is not None else NOTHING, style),
        Span(nudges if member.nudges or member.rollbacks else NOTHING, styles.QUIET),
    ]


def _left_at(member: Member) -> str:
    kind = _kind(member)
    if kind in ("root", "missing"):
        return ""
    where = f"epoch {member.epoch}, " if member.epoch is not None else ""
    return kind if member.step is None else f"{kind}, {where}step {member.step}"
