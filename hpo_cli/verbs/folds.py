"""`data.folds=K` trains a run a fold; `hpo-run folds PARENT` shows again what they said together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hpo_cli.console.figures import figure
from hpo_cli.console.output import Line, Span, line, write, write_json
from hpo_cli.errors import UserError
from hpo_cli.record.folder import create_parent_folder, is_run
from hpo_cli.record.folds import FoldsSummary, fold_folder, folds_in, mean_and_deviation, summarize, write_summary
from hpo_cli.record.places import is_sweep
from hpo_cli.verbs.arguments import reading_parser
from hpo_cli.verbs.composing import Composed, composed

if TYPE_CHECKING:
    from hpo_cli.engine.stop import StopFlag


def main(argv: Sequence[str]) -> int:
    """Show a cross-validation. Raises UserError."""
    parser = reading_parser("folds", about="Mean and deviation over the folds of a cross-validation.")
    parser.add_argument("parent", metavar="PARENT", help="the parent folder's id or path")
    args = parser.read(argv)
    summary = summarize(_parent(args.parent, Path(args.outputs)))
    if args.json:
        write_json(summary.to_json())
    else:
        write(list(_report(summary)))
    return 0


def train_folds(found: Composed, stop: StopFlag) -> int:
    """Train one run a fold in one parent folder, then say what they reached together; the exit code.

    When a fold fails or is stopped, the command ends there with that fold's error and exit code: the folds before it
    are kept, the ones after it are not trained, and there is no folds.json.
    """
    from hpo_cli.verbs.train import train_one

    plan = found.plan
    parent = _new_parent(found)
    runs = [fold_folder(parent, fold) for fold in range(1, (plan.data.folds or 0) + 1)]
    for fold, run in enumerate(runs, start=1):
        words = replace(found.words, overrides=(*found.words.overrides, f"data.fold={fold}"))
        code = train_one(composed(words), stop, at=str(run))
        if code:
            return code
    summary = summarize(parent)
    write_summary(summary)
    write(list(_report(summary)))
    return 0


def _new_parent(found: Composed) -> Path:
    at = found.composition.run_dir
    if at is None:
        return create_parent_folder(found.plan.outputs, found.plan.name)
    try:
        Path(at).mkdir(parents=True)
    except OSError as error:
        raise UserError(f"hydra.run.dir={at}: cannot be made ({error.strerror}); give a new one") from error
    return Path(at)


def _parent(ref: str, outputs: Path) -> Path:
    found = [Path(ref), *(outputs.glob(f"*/{ref}*") if ref.isalnum() else ())]
    parents: list[Path] = [path for path in found if path.is_dir() and _may_be_one(path)]
    if len(parents) != 1:
        rule = "is no cross-validation" if not parents else "is the beginning of several"
        raise UserError(f"{ref}: {rule}; give the folder that `hpo-run data.folds=5` printed")
    return parents[0]


def _may_be_one(path: Path) -> bool:
    return not is_run(path) and not is_sweep(path) and bool(folds_in(path))


def _report(summary: FoldsSummary) -> Iterator[Line]:
    yield line(Span("folds ", "dim"), f"{len(summary.runs)} runs in {summary.folder}")
    for name, values in summary.values.items():
        mean, deviation = mean_and_deviation(values)
        each = " ".join(figure(value) for value in values)
        yield line(f"  {name:16} ", Span(f"{figure(mean)} ± {figure(deviation)}", "bold"), Span(f"  ({each})", "dim"))
    mean, deviation = mean_and_deviation(summary.best)
    yield line(f"  best {summary.objective}: {figure(mean)} ± {figure(deviation)}, each fold at its own best epoch")
    yield line(Span("next  ", "dim"), f"hpo-run test {' '.join(summary.runs)}  (an ensemble)")
