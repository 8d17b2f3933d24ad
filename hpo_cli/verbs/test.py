"""`hpo-run test RUN`: the best model of a run on the test split; the only verb that touches it, and only once."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from hpo_cli.console.figures import figure
from hpo_cli.console.output import Line, Span, cells, line, write, write_json
from hpo_cli.console.tables import one_line
from hpo_cli.errors import UserError
from hpo_cli.record.contents import Values, mapping
from hpo_cli.record.examinations import Examinations, asked_averaged, asked_best, read_examinations
from hpo_cli.record.runs import find_run, read_run
from hpo_cli.record.weights import averaged_weights
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
    examinations = read_examinations(folder)
    asked = asked_averaged(folder) if args.averaged else asked_best(folder)
    earlier = _shown(examinations, asked)
    found = earlier or _examined(folder, allow=args.allow, averaged=args.averaged)
    other = bool(earlier and asked and not examinations.judged(asked, earlier))
    if args.json:
        told = {"tested_before": bool(earlier), "asked": asked, "other_weights": other}
        write_json({"run": folder.name, "path": str(folder), **told, **found})
        return 0
    if earlier:
        write([tested_before(earlier), *([_untested(str(asked), earlier)] if other else [])])
    write(list(_report(folder, found)))
    return 0


def _shown(examinations: Examinations, asked: str | None) -> Values | None:
    """The examination to show: of what is asked where there is one, otherwise the first; None where it may be made."""
    first = next(iter(examinations.alone), None)
    return (examinations.of(asked) if asked else None) or first


def _untested(asked: str, earlier: Values) -> Line:
    since = ", which was made anew since," if earlier.get("checkpoint") == asked else ""
    return line(Span(f"{one_line(asked)}{since} was not tested: the figures are of other weights", "yellow"))


def _report(folder: Path, found: Values) -> Iterator[Line]:
    metrics = {one_line(name): value for name, value in mapping(found.get("metrics")).items()}
    widest = max((16, *map(cells, metrics)))
    for name, value in metrics.items():
        yield line(f"{name:{widest}} ", Span(figure(value), "bold"))
    yield line(Span(f"by {one_line(str(found.get('checkpoint')))} of {folder}", "dim"))


def tested_before(event: Values) -> Line:
    """The line that says so, and with which weights where it was one run's."""
    weights = "" if "ensemble" in event else f" with {one_line(str(event.get('checkpoint')))}"
    when = one_line(str(event.get("at")))
    text = f"tested before{weights}, at {when}: the test split is looked at once, and this is what it said"
    return line(Span(text, "yellow"))


def refuse_running(folder: Path) -> None:
    """Raise UserError while the run still trains."""
    if read_run(folder).status == "running":
        raise UserError(f"{folder}: is still training, and the test split is looked at once; wait until it has ended")


def _examined(folder: Path, *, allow: Sequence[str], averaged: bool = False) -> Values:
    refuse_running(folder)
    plan = trusted_plan(folder, allow)
    from hpo_cli.engine.examine import examine

    path = averaged_weights(folder) if averaged else None
    with fitting_files(folder):
        found = examine(folder, plan, path=path)
    return {"metrics": found.metrics, "checkpoint": found.checkpoint, "step": found.step}
