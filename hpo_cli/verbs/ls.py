"""`hpo-run ls`: the runs, newest first, and the sweeps, each on one line."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpo_cli.console import output, styles
from hpo_cli.console.figures import NOTHING, age, duration, figure
from hpo_cli.console.happenings import typed
from hpo_cli.console.output import Span, line
from hpo_cli.console.tables import Column, one_line, shorten, table
from hpo_cli.errors import UserError, did_you_mean
from hpo_cli.record.contents import DamagedError, read_file
from hpo_cli.record.folder import LEDGER
from hpo_cli.record.ledger import decode_ledger
from hpo_cli.record.line import living_line, settings_of
from hpo_cli.record.places import Place, is_sweep, places
from hpo_cli.record.reading import RunRecord
from hpo_cli.record.runs import best_of
from hpo_cli.record.sweep_record import SweepRecord
from hpo_cli.record.sweeps import read_place
from hpo_cli.verbs.arguments import reading_parser, whole_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hpo_cli.console.output import Line

    Record = RunRecord | SweepRecord

_SHOWN_IN_TERMINAL = 30
_MOST_WORDS = 72  # of a sweep: all rows are as wide as the widest
_PLACE = "hydra.run.dir="  # says where the run lies, and changes nothing of it


def main(argv: Sequence[str]) -> int:
    """List the runs and sweeps below --outputs, or the trials of a sweep. Raises UserError."""
    parser = reading_parser(
        "ls", about="List the runs, newest first; a sweep is one line, `ls SWEEP` lists its trials."
    )
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="only the runs of this name, or the trials of this sweep"
    )
    parser.add_argument("--sort", choices=("started", "objective"), default="started")
    parser.add_argument("--limit", type=whole_number, metavar="N", help="at most N runs, 0 for all (30 in a terminal)")
    args = parser.read(argv)
    limit = _SHOWN_IN_TERMINAL if args.limit is None and output.is_terminal() and not args.json else args.limit
    found = list(places(args.outputs))
    if args.name and (sweep := _sweep(args.name, found)):
        from hpo_cli.verbs.ls_sweep import list_trials

        return list_trials(sweep, by=args.sort, limit=limit, form="json" if args.json else "table")
    records = sorted(map(read_place, found), key=lambda record: (record.started, record.id), reverse=True)
    chosen = _ordered(_named(records, args.name), by=args.sort)
    shown = chosen[: limit or None]
    if args.json:
        output.write_json([record.to_json() for record in shown])
    elif not shown:
        output.write([line(f"No runs in {args.outputs} yet. `hpo-run` makes the first one.")])
    else:
        output.write(_listing(shown, total=len(chosen), best=best_of(_runs(chosen))))
    return 0


def _sweep(name: str, found: Sequence[Place]) -> Path | None:
    """The sweep that goes by this name: its path, its id, or a beginning of it that nothing else has."""
    if is_sweep(name):
        return Path(name)
    sweeps = [path for place in found if place.kind == "sweep" and (path := Path(place.path)).name.startswith(name)]
    exact = [path for path in sweeps if path.name == name]
    is_a_name = any(Path(place.path).parent.name == name for place in found)
    fits = exact or ([] if is_a_name else sweeps)
    return fits[0] if len(fits) == 1 else None


def _runs(records: Sequence[Record]) -> list[RunRecord]:
    return [record for record in records if isinstance(record, RunRecord)]


def _named(records: list[Record], name: str | None) -> list[Record]:
    chosen = [record for record in records if name in (None, record.name)]
    if name is not None and not chosen:
        known = dict.fromkeys(record.name for record in records)
        advice = did_you_mean(name, known) or f"there are {', '.join(list(known)[:8]) or 'no runs at all yet'}"
        raise UserError(f"{name}: no runs of that name; {advice}")
    return chosen


def _ordered(records: list[Record], *, by: str) -> list[Record]:
    return records if by == "started" else sorted(records, key=_by_objective)


def _by_objective(record: Record) -> tuple[str, float]:
    """Runs of one objective together, the best first, those without a value at their end."""
    aim = record.objective
    if aim is None:
        return ("\uffff", math.inf)
    if aim.value is None:
        return (aim.name, math.inf)
    return (aim.name, aim.value if aim.mode == "min" else -aim.value)


def _listing(records: list[Record], *, total: int, best: RunRecord | None) -> list[Line]:
    width = output.width() if output.is_styled() else None
    columns = _columns(records, best=best)
    rows = [[make(record) for _, make in columns] for record in records]
    more = total - len(records)
    tail = [line(Span(f"{more} more; --limit 0 shows all", styles.QUIET))] if more else []
    if any(row[2].text.endswith("*") for row in rows):
        tail.append(line(Span("* as nudged while it trained", styles.QUIET)))
    return [*table([column for column, _ in columns], rows, width=width), *tail]


def _columns(records: list[Record], *, best: RunRecord | None) -> list[tuple[Column, Callable[[Record], Span]]]:
    """The columns and what fills them; what all runs share is told once, in a head, or not at all."""
    now = time.time()
    names = {record.name for record in records}
    aims = {record.objective.name for record in records if record.objective}
    aim = aims.pop() if len(aims) == 1 else None
    winner = best.place if best else None
    columns: list[tuple[Column, Callable[[Record], Span]]] = [
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


def _changed(record: Record) -> Span:
    if record.damage:
        return Span(one_line(record.damage), styles.QUIET)
    if isinstance(record, SweepRecord):
        return Span(shorten(one_line(" ".join(["sweep:", *record.words])), _MOST_WORDS))
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


def _value(record: Record, *, common: str | None, winner: str | None) -> Span:
    aim = record.objective
    if aim is None or aim.value is None:
        return Span(NOTHING, styles.QUIET)
    label = "" if common else f"{aim.name} "
    return Span(label + figure(aim.value), styles.WINNER if record.place == winner else "")


def _epochs(record: Record) -> str:
    if isinstance(record, SweepRecord):
        of = "" if record.total is None else f"/{record.total}"
        return f"{record.done}{of} {'trial' if record.total == 1 else 'trials'}"
    planned = record.settings.get("epochs")
    if record.epochs is None:
        return NOTHING
    return str(record.epochs) if planned in (None, record.epochs) else f"{record.epochs}/{planned}"
