"""`hpo-run best SWEEP`: the leaderboard of a sweep, what it is worth, and what to type next."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from hpo_cli.console import output
from hpo_cli.console.leaderboard import page
from hpo_cli.record.sweeps import find_sweep
from hpo_cli.report.digest import digest
from hpo_cli.sweep.fold import read_sweep
from hpo_cli.verbs.arguments import reading_parser, whole_number

if TYPE_CHECKING:
    from collections.abc import Sequence

SWEEP_HELP = "a sweep: a path, an id or the beginning of one, or last (default: last)"
_TOP = 10


def main(argv: Sequence[str]) -> int:
    """Show the best trials of a sweep, one that still runs or was interrupted as well. Raises UserError."""
    parser = reading_parser("best", about="The best trials of a sweep, what mattered, and what to type next.")
    parser.add_argument("sweep", nargs="?", metavar="SWEEP", default="last", help=SWEEP_HELP)
    parser.add_argument("--top", type=_positive, metavar="N", help=f"so many trials (default: {_TOP}; all with --json)")
    args = parser.read(argv)
    found = digest(read_sweep(find_sweep(args.sweep, args.outputs)))
    if args.json:
        output.write_json(found.to_json(top=args.top))
    else:
        output.write(list(page(found, top=args.top or _TOP)))
    return 0


def _positive(word: str) -> int:
    number = whole_number(word)
    if number == 0:
        raise argparse.ArgumentTypeError("0: must be 1 or more")
    return number
