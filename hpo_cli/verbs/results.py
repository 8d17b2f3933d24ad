"""`hpo-run results RUN`: what a run's best model gets right and wrong on the validation or training split."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpo_cli.console.output import Span, line, write, write_json
from hpo_cli.errors import UserError
from hpo_cli.record.atomic import replace_file
from hpo_cli.record.runs import find_run
from hpo_cli.verbs.arguments import RUN_HELP, reading_parser, whole_number
from hpo_cli.verbs.trusting import add_allow, fitting_files, trusted_plan

if TYPE_CHECKING:
    from hpo_cli.console.output import Line
    from hpo_cli.engine.results import Results
    from hpo_cli.engine.saved import Saved


def main(argv: Sequence[str]) -> int:
    """Print metrics, per-class figures or residuals, and the worst mistakes; draw these where they are pictures."""
    parser = reading_parser("results", about="Per-class figures, confusions and worst mistakes of a run's best model.")
    parser.add_argument("run", metavar="RUN", nargs="?", default="last", help=f"{RUN_HELP} (default: last)")
    parser.add_argument("--split", metavar="NAME", type=_split, default="val", help="val (the default) or train")
    parser.add_argument("--worst", metavar="N", type=whole_number, default=16, help="mistakes to show (default: 16)")
    parser.add_argument(
        "--png", metavar="FILE", help="write the worst mistakes' pictures here, not into the run's folder"
    )
    add_allow(parser)
    args = parser.read(argv)
    folder = find_run(args.run, args.outputs)
    plan = trusted_plan(folder, args.allow)
    from hpo_cli.engine.results import results_of
    from hpo_cli.engine.saved import load_saved

    with fitting_files(folder):
        saved = load_saved(folder, plan)
    results = results_of(saved, split=args.split, worst=args.worst)
    drawn = _draw(saved, results, Path(args.png) if args.png else None)
    if args.json:
        head = {"run": folder.name, "path": str(folder), "checkpoint": saved.checkpoint, "step": saved.step}
        write_json({**head, **results.to_dict(), "png": str(drawn.path) if drawn.path else None})
        return 0
    from hpo_cli.verbs.results_page import page

    head_line = line(Span(f"{folder.name}  ", "bold"), Span(f"{saved.checkpoint} of {folder}", "dim"))
    a_row = _columns_of(results) if drawn.path else 0
    write([head_line, *page(results, pictures_a_row=a_row), *drawn.lines])
    return 0


@dataclass(frozen=True)
class _Drawn:
    """Where the pictures are, if anywhere, and what to say of them."""

    path: Path | None = None
    lines: tuple[Line, ...] = ()


def _split(word: str) -> str:
    if word not in ("val", "train"):
        why = "; the test split is looked at once, by `hpo-run test`" if word == "test" else ""
        raise argparse.ArgumentTypeError(f"{word}: must be val or train{why}")
    return word


def _columns_of(results: Results) -> int:
    """Pictures a row: about as many as there are rows."""
    return math.ceil(math.sqrt(len(results.findings[0].worst)))


def _draw(saved: Saved, results: Results, wanted: Path | None) -> _Drawn:
    """Write the pictures of the worst samples of the first column, where samples are images or signals."""
    from hpo_cli.console.png import grid, png_bytes, write_png
    from hpo_cli.engine.pictures import pictures

    indices = [one.index for one in results.findings[0].worst]
    images = pictures(getattr(saved.splits, results.split), saved.splits.spec, indices)
    if not images:
        if wanted and indices:
            raise UserError(f"--png {wanted}: draws images and signals, and this data has none; leave it out")
        return _Drawn()
    page = grid(images, columns=_columns_of(results), gap=4)
    path = wanted or saved.folder / ("worst.png" if results.split == "val" else "worst-train.png")
    if wanted:
        write_png(path, page)
    elif why := _kept(path, png_bytes(page)):
        return _Drawn(None, (line(Span("pictures  ", "dim"), why),))
    return _Drawn(path, (line(Span("pictures  ", "dim"), str(path)),))


def _kept(path: Path, content: bytes) -> str:
    """Write a file into a run's folder; why not, where that folder is closed: the rest is printed all the same."""
    try:
        with replace_file(path) as file:
            file.write(content)
    except OSError as error:
        return f"not written ({error.strerror}); --png FILE names another place"
    return ""
