"""`hpo-run ls`: the runs, newest first."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from hpo_cli.console import output, styles
from hpo_cli.console.figures import NOTHING, age, duration, figure
from hpo_cli.console.happenings import typed
from hpo_cli.console.output import Span, line
from hpo_cli.console.tables import Column, one_line, table
from hpo_cli.errors import UserError, did_you_mean
from hpo_cli.record.contents import DamagedError, read_file
from hpo_cli.record.folder import LEDGER
from hpo_cli.record.ledger import decode_ledger
from hpo_cli.record.line import living_line, settings_of
from hpo_cli.record.runs import best_of, scan
from hpo_cli.verbs.arguments import reading_parser, whole_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpo_cli.console.output import Line
    from hpo_cli.record.runs import RunRecord

_SHOWN_IN_TERMINAL = 30
_PLACE = "hydra.run.dir="  # says where the run lies, and changes nothing of it


def main(argv: Sequence[str]) -> int:
    """List the runs below --outputs. Raises UserError."""
    parser = reading_parser("ls", about="List the runs, newest first.")
    parser.add_argument("name", nargs="?", metavar="NAME", help="only the runs of this name")
    parser.add_argument("--sort", choices=("started", "objective"), default="started")
    parser.add_argument("--limit", type=whole_number, metavar="N", help="at most N runs, 0 for all (30 in a terminal)")
    args = parser.read(argv)
    records = scan(args.outputs)
    chosen = _ordered(_named(records, args.name), by=args.sort)
    limit = _SHOWN_IN_TERMINAL if args.limit is None and output.is_terminal() and not args.json else args.limit
    shown = chosen[: limit or None]
    if args.json:
        output.write_json([record.to_json() for record in shown])
    elif not shown:
        output.write([line(f"No runs in {args.outputs} yet. `hpo-run` makes the first one.")])
    else:
        output.write(_listing(shown, total=len(chosen), best=best_of(chosen)))
    return 0


def _named(records: list[RunRecord], name: str | None) -> list[RunRecord]:
    chosen = [record for record in records if name in (None, record.name)]
    if name is not None and not chosen:
        known = dict.fromkeys(record.name for record in records)
        advice = did_you_mean(name, known) or f"there are {', '.join(list(known)[:8]) or 'no runs at all yet'}"
        raise UserError(f"{name}: no runs of that name; {advice}")
    return chosen


def _ordered(records: list[RunRecord], *, by: str) -> list[RunRecord]:
    return records if by == "started" else sorted(records, key=_by_objective)


def _by_objective(record: RunRecord) -> tuple[str, float]:
    """Runs of one objective together, the best first, those without a value at their end."""
    aim = record.objective
    if aim is None:
        return ("\uffff", math.inf)
    if aim.value is None:
        return (aim.name, math.inf)
    return (aim.name, aim.value if aim.mode == "min" else -aim.value)


def _listing(records: list[RunRecord], *, total: int, best: RunRecord | None) -> list[Line]:
    width = output.width() if output.is_styled() else None
    columns = _columns(records, best=best)
    rows = [[make(record) for _, make in columns] for record in records]
    more = total - len(records)
    tail = [line(Span(f"{more} more; --limit 0 shows all", styles.QUIET))] if more else []
    if any(row[2].text.endswith("*") for row in rows):
        tail.append(line(Span("* as nudged while it trained", styles.QUIET)))
    return [*table([column for column, _ in columns], rows, width=width), *tail]


def _columns(records: list[RunRecord], *, best: RunRecord | None) -> list[tuple[Column, Callable[[RunRecord], Span]]]:
    """The columns and what fills them; what all runs share is told once, in a head, or not at all."""
    now = time.time()
    names = {record.name for record in records}
    aims = {record.objective.name for record in records if record.objective}
    aim = aims.pop() if len(aims) == 1 else None
    winner = best.place if best else None
    columns: list[tuple[Column, Callable[[RunRecord], Span]]] = [
        (Column("run"), lambda record: Span(record.id, styles.WINNER if record.place == winner else "")),
        (Column("name", flexible=True, spare=3 if len(names) == 1 else 0), lambda record: Span(one_line(record.name))),
        (Column("changed", flexible=True), _changed),
        (Column("status"), lambda record: styles.status(record.status)),
        (Column(aim or "objective", align="right"), lambda record: _value(record, common=aim, winner=winner)),
        (Column("epochs", align="right", spare=2), lambda record: Span(_epochs(record))),
        (Column("time", align="right", spare=1), lambda record: Span(duration(record.seconds))),
        (Column("age", align="right"), lambda record: Span(age(record.started, now=now))),
    ]
    return columns


def _changed(record: RunRecord) -> Span:
    if record.damage:
        return Span(one_line(record.damage), styles.QUIET)
    words = [word for word in record.overrides if word != f"name={record.name}" and not word.startswith(_PLACE)]
    nudged = _nudged(record)
    kept = [word for word in words if word.partition("=")[0] not in nudged]
    changed = " ".join([*kept, *(f"{typed(key, value)}*" for key, value in nudged.items())])
    return Span(one_line(changed)) if changed else Span("(defaults)", styles.QUIET)


def _nudged(record: RunRecord) -> dict[str, Any]:
    """The knobs that were changed while the run trained, and their values now."""
    try:
        content = read_file(record.place, LEDGER) or b""
    except DamagedError:
        return {}
    return settings_of(living_line(decode_ledger(content).events)) if b'"nudged"' in content else {}


def _value(record: RunRecord, *, common: str | None, winner: str | None) -> Span:
    aim = record.objective
    if aim is None or aim.value is None:
        return Span(NOTHING, styles.QUIET)
    label = "" if common else f"{aim.name} "
    return Span(label + figure(aim.value), styles.WINNER if record.place == winner else "")


def _epochs(record: RunRecord) -> str:
    planned = record.settings.get("epochs")
    if record.epochs is None:
        return NOTHING
    return str(record.epochs) if planned in (None, record.epochs) else f"{record.epochs}/{planned}"
