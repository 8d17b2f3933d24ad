"""`hpo-run test RUN`: the best model of a run on the test split; the only verb that touches it, and only once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hpo_cli.console.output import Span, line, write, write_json
from hpo_cli.record import ledger
from hpo_cli.record.runs import find_run
from hpo_cli.verbs.arguments import RUN_HELP, reading_parser


def main(argv: list[str]) -> int:
    """Examine a run, or show what its examination said."""
    parser = reading_parser("test", about="Evaluate a run's best model on the test split, once; the ledger records it.")
    parser.add_argument("run", metavar="RUN", help=RUN_HELP)
    args = parser.read(argv)
    folder = find_run(args.run, args.outputs)
    earlier = ledger.fold(ledger.read_ledger(folder).events).tests
    found = dict(earlier[0]) if earlier else _examined(folder)
    if args.json:
        write_json({"run": folder.name, "path": str(folder), "tested_before": bool(earlier), **found})
        return 0
    if earlier:
        text = f"tested before, at {found['at']}: the test split is looked at once, and this is what it said"
        write([line(Span(text, "yellow"))])
    for name, value in found["metrics"].items():
        write([line(f"{name:16} ", Span(f"{value:.4f}", "bold"))])
    write([line(Span(f"by {found['checkpoint']} of {folder}", "dim"))])
    return 0


def _examined(folder: Path) -> dict[str, Any]:
    from hpo_cli.engine.examine import examine

    found = examine(folder)
    return {"metrics": found.metrics, "checkpoint": found.checkpoint, "step": found.step}
