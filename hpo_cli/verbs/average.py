"""`hpo-run average RUN`: one model from the mean weights of a run's best checkpoints."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hpo_cli.console import styles
from hpo_cli.console.comparison import comparison
from hpo_cli.console.figures import figure
from hpo_cli.console.output import Line, Span, line, width, write, write_json
from hpo_cli.console.tables import one_line
from hpo_cli.errors import UserError
from hpo_cli.record.runs import find_run, read_run
from hpo_cli.verbs.arguments import RUN_HELP, reading_parser, whole_number
from hpo_cli.verbs.trusting import add_allow, fitting_files, trusted_plan

if TYPE_CHECKING:
    from hpo_cli.engine.average_checkpoints import Averaged, Judged

ABOUT = "Average the weights of a run's best checkpoints (checkpoint.keep_best) and judge them on validation."


def main(argv: Sequence[str]) -> int:
    """Average, save and print how each one and the average do on the validation split."""
    parser = reading_parser("average", about=ABOUT)
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    parser.add_argument("--best", metavar="K", type=_two_or_more, help="only the newest K of them (default: all)")
    add_allow(parser)
    args = parser.read(argv)
    folder = find_run(args.run, args.outputs)
    if read_run(folder).status == "running":
        raise UserError(f"{folder}: is still training, and its best checkpoints change; wait until it has ended")
    plan = trusted_plan(folder, args.allow)
    from hpo_cli.engine.average_checkpoints import average_checkpoints, best_files
    from hpo_cli.engine.saved import load_saved

    files = best_files(folder, most=args.best)
    with fitting_files(folder):
        found = average_checkpoints(load_saved(folder, plan, path=files[-1]), files)
    if args.json:
        write_json({"run": folder.name, "path": str(folder), **found.to_dict()})
        return 0
    write(list(_report(found)))
    write(
        [
            line(Span("saved ", "dim"), f"{found.average.checkpoint} of {folder}"),
            line(Span("next  ", "dim"), f"hpo-run test {args.run} --averaged"),
        ]
    )
    return 0


def _two_or_more(word: str) -> int:
    if whole_number(word) < 2:  # noqa: PLR2004 - an average is of several
        raise argparse.ArgumentTypeError(f"{word}: must be 2 or more")
    return int(word)


def _report(found: Averaged) -> Iterator[Line]:
    names = [f"val/{one_line(name)}" for name in found.average.metrics]
    rows = [_row(one, one.checkpoint.rpartition("/")[2], "") for one in found.members]
    rows.append(_row(found.average, f"average of {len(found.members)}", styles.TITLE))
    yield from comparison("checkpoint", names, rows, width=width())
    if found.renormalised:
        yield line(Span(f"{found.renormalised} batch norms took new statistics from the training split", styles.QUIET))


def _row(one: Judged, name: str, style: str) -> list[Span]:
    return [Span(name, style), *(Span(figure(value), style) for value in one.metrics.values())]
