"""`hpo-run test RUN`: the best model of a run on the test split; the only verb that touches it, and only once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hpo_cli.console.figures import figure
from hpo_cli.console.output import Span, line, write, write_json
from hpo_cli.console.tables import one_line
from hpo_cli.errors import UserError
from hpo_cli.plan import RunPlan, plan_from_dict
from hpo_cli.record import ledger
from hpo_cli.record.contents import DamagedError, Values, mapping, read_plan
from hpo_cli.record.folder import PLAN
from hpo_cli.record.runs import find_run, read_run
from hpo_cli.verbs.arguments import RUN_HELP, reading_parser


def main(argv: list[str]) -> int:
    """Examine a run, or show what its examination said."""
    parser = reading_parser("test", about="Evaluate a run's best model on the test split, once; the ledger records it.")
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    parser.add_argument(
        "--allow", action="append", default=[], metavar="MODULE", help="trust what the run's allow_targets names"
    )
    args = parser.read(argv)
    folder = find_run(args.run, args.outputs)
    earlier = _earlier(folder)
    found = earlier[0] if earlier else _examined(folder, allow=args.allow)
    if args.json:
        write_json({"run": folder.name, "path": str(folder), "tested_before": bool(earlier), **found})
        return 0
    if earlier:
        when = one_line(str(found.get("at")))
        text = f"tested before, at {when}: the test split is looked at once, and this is what it said"
        write([line(Span(text, "yellow"))])
    for name, value in mapping(found.get("metrics")).items():
        write([line(f"{one_line(name):16} ", Span(figure(value), "bold"))])
    write([line(Span(f"by {one_line(str(found.get('checkpoint')))} of {folder}", "dim"))])
    return 0


def _earlier(folder: Path) -> list[Values]:
    try:
        events = ledger.read_ledger(folder).events
    except OSError as error:
        rule = "so nothing tells whether it was tested before"
        raise UserError(f"{folder}: its ledger cannot be read ({error.strerror}), {rule}; restore it") from error
    return [dict(event) for event in ledger.fold(events).tests]


def _examined(folder: Path, *, allow: Sequence[str]) -> Values:
    if read_run(folder).status == "running":
        raise UserError(f"{folder}: is still training, and the test split is looked at once; wait until it has ended")
    plan = _trusted_plan(folder, allow)
    from hpo_cli.engine.examine import examine

    try:
        found = examine(folder, plan)
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, RuntimeError) as error:
        raise _damaged(folder, f"{PLAN} and checkpoint do not go together ({_first_line(error)})") from error
    return {"metrics": found.metrics, "checkpoint": found.checkpoint, "step": found.step}


def _trusted_plan(folder: Path, allow: Sequence[str]) -> RunPlan:
    """The run's plan, unless it names modules of its own: a run's folder from a stranger must not run code."""
    try:
        saved = read_plan(folder)
    except DamagedError as error:
        raise _damaged(folder, str(error)) from error
    named = saved.get("allow_targets") or []
    wanted = [str(name) for name in named] if isinstance(named, list) else [str(named)]
    if unknown := [name for name in wanted if name not in allow]:
        flags = " ".join(f"--allow {name}" for name in unknown)
        raise UserError(f"{folder}: its plan runs code of {', '.join(unknown)}; add {flags} if you trust it")
    try:
        return plan_from_dict(saved)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise _damaged(folder, f"{PLAN} is not a plan of ours ({_first_line(error)})") from error


def _damaged(folder: Path, what: str) -> UserError:
    return UserError(f"{folder}: {what}; restore the file, or train again")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
