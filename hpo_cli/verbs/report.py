"""`hpo-run report SWEEP`: a sweep as one HTML file, to look at, to keep, to send."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hpo_cli.console import output
from hpo_cli.console.output import Span, line
from hpo_cli.errors import UserError
from hpo_cli.record.atomic import write_text
from hpo_cli.record.sweeps import find_sweep
from hpo_cli.report.digest import digest
from hpo_cli.report.html import page
from hpo_cli.sweep.fold import read_sweep
from hpo_cli.verbs.arguments import reading_parser
from hpo_cli.verbs.best import SWEEP_HELP

if TYPE_CHECKING:
    from collections.abc import Sequence

REPORT = "report.html"


def main(argv: Sequence[str]) -> int:
    """Write the report of a sweep, one that still runs or was interrupted as well. Raises UserError."""
    parser = reading_parser("report", about="Write a sweep as one HTML file that needs no network.")
    parser.add_argument("sweep", nargs="?", metavar="SWEEP", default="last", help=SWEEP_HELP)
    parser.add_argument("--output", metavar="FILE", help=f"where to (default: {REPORT} in the sweep's folder)")
    parser.add_argument("--open", action="store_true", help="show it in a browser")
    args = parser.read(argv)
    folder = find_sweep(args.sweep, args.outputs)
    target = Path(args.output) if args.output else folder / REPORT
    found = digest(read_sweep(folder))
    text = page(found)
    _write(target, text)
    if args.json:
        output.write_json({"id": found.state.id, "path": str(target), "bytes": len(text.encode())})
    else:
        size = f"{len(text.encode()) / 1000:,.0f} kB, {len(found.rows)} trials"
        output.write([line(Span("report ", "dim"), str(target), Span(f"  {size}", "dim"))])
    if args.open:
        _show(target)
    return 0


def _write(target: Path, text: str) -> None:
    if target.is_dir():
        raise UserError(f"--output {target}: a folder; name a file in it, such as {target / REPORT}")
    try:
        write_text(target, text)
    except OSError as error:
        raise UserError(f"--output {target}: cannot be written ({error.strerror}); name another place") from error


def _show(target: Path) -> None:
    import webbrowser

    webbrowser.open(target.resolve().as_uri())
