"""`hpo-run test RUN`: the best model of a run on the test split; the only verb that touches it, and only once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from hpo_cli.console.figures import figure
from hpo_cli.console.output import Span, line, write, write_json
from hpo_cli.console.tables import one_line
from hpo_cli.errors import UserError
from hpo_cli.record import ledger
from hpo_cli.record.contents import Values, mapping
from hpo_cli.record.runs import find_run, read_run
from hpo_cli.verbs.arguments import RUN_HELP, reading_parser
from hpo_cli.verbs.trusting import add_allow, fitting_files, trusted_plan

ABOUT = "Evaluate a run's best model, or several as an ensemble, on the test split, once; the ledger records it."


def main(argv: list[str]) -> int:
    """Examine a run or an ensemble, or show what its examination said."""
    parser = reading_parser("test", about=ABOUT)
    parser.add_argument("runs", metavar="RUN", nargs="+", help=f"{RUN_HELP}; several: their predictions are averaged")
    parser.add_argument("--averaged", action="store_true", help="the weights that `hpo-run average` made, not the best")
    parser.add_argument("--val", action="store_true", help="judge an ensemble on validation alone; test stays unseen")
    add_allow(parser)
    args = parser.read(argv)
    folders = [find_run(run, args.outputs) for run in args.runs]
    if len(folders) > 1:
        from hpo_cli.verbs.ensembles import test_together

        return test_together(folders, args)
    if args.val:
        raise UserError(f"--val: judges an ensemble of several runs; `hpo-run results {args.runs[0]}` judges one")
    return _test_one(folders[0], args)


def _test_one(folder: Path, args: argparse.Namespace) -> int:
    earlier = [event for event in tests_of(folder) if "ensemble" not in event]
    found = earlier[0] if earlier else _examined(folder, allow=args.allow, averaged=args.averaged)
    if args.json:
        write_json({"run": folder.name, "path": str(folder), "tested_before": bool(earlier), **found})
        return 0
    if earlier:
        write([tested_before(found)])
    for name, value in mapping(found.get("metrics")).items():
        write([line(f"{one_line(name):16} ", Span(figure(value), "bold"))])
    write([line(Span(f"by {one_line(str(found.get('checkpoint')))} of {folder}", "dim"))])
    return 0


def tested_before(event: Values) -> tuple[Span, ...]:
    """The line that says so."""
    when = one_line(str(event.get("at")))
    text = f"tested before, at {when}: the test split is looked at once, and this is what it said"
    return line(Span(text, "yellow"))


def tests_of(folder: Path) -> list[Values]:
    """All examinations of a run, alone or in an ensemble, first to last. Raises UserError."""
    try:
        events = ledger.read_ledger(folder).events
    except OSError as error:
        rule = "so nothing tells whether it was tested before"
        raise UserError(f"{folder}: its ledger cannot be read ({error.strerror}), {rule}; restore it") from error
    return [dict(event) for event in ledger.fold(events).tests]


def refuse_running(folder: Path) -> None:
    """Raise UserError while the run still trains."""
    if read_run(folder).status == "running":
        raise UserError(f"{folder}: is still training, and the test split is looked at once; wait until it has ended")


def _examined(folder: Path, *, allow: Sequence[str], averaged: bool = False) -> Values:
    refuse_running(folder)
    plan = trusted_plan(folder, allow)
    from hpo_cli.engine.examine import examine
    from hpo_cli.engine.saved import averaged_checkpoint

    path = averaged_checkpoint(folder) if averaged else None
    with fitting_files(folder):
        found = examine(folder, plan, path=path)
    return {"metrics": found.metrics, "checkpoint": found.checkpoint, "step": found.step}
