"""`hpo-run curves RUN...`: losses and the objective, drawn in the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpo_cli.console import output
from hpo_cli.console.figures import figure
from hpo_cli.console.plot import Curve, Frame, plot
from hpo_cli.console.tables import one_line, shorten
from hpo_cli.errors import UserError, did_you_mean
from hpo_cli.record import metrics
from hpo_cli.record.folder import METRICS
from hpo_cli.record.runs import find_run, read_run
from hpo_cli.verbs.arguments import RUN_HELP, reading_parser

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hpo_cli.console.output import Line
    from hpo_cli.console.plot import Drawing
    from hpo_cli.record.contents import Values
    from hpo_cli.record.jsonl import Row
    from hpo_cli.record.runs import RunRecord

_LOSSES = ("train/loss", "val/loss")
_NARROWEST_LABEL = 8
_LEAST_ROWS, _MOST_ROWS = 10, 18


@dataclass(frozen=True)
class _Run:
    record: RunRecord
    rows: list[Row]


@dataclass(frozen=True)
class _Panel:
    title: str
    curves: tuple[tuple[str, metrics.Series], ...]


def main(argv: Sequence[str]) -> int:
    """Draw the metrics of runs. Raises UserError."""
    parser = reading_parser("curves", about="Draw loss and objective of one run, or of several in one frame.")
    parser.add_argument("runs", nargs="*", metavar="RUN", default=["last"], help=f"{RUN_HELP} (default: last)")
    parser.add_argument("--metric", action="append", metavar="NAME", help="draw this metric; may be repeated")
    parser.add_argument("--x", choices=("epoch", "step"), help="what lies below (default: epochs where they suffice)")
    args = parser.read(argv)
    paths = dict.fromkeys(find_run(ref, args.outputs) for ref in args.runs)
    runs = [_read(path) for path in paths]
    _check_metrics(runs, args.metric or [])
    if args.json:
        output.write_json({"runs": [_as_json(run, args.metric) for run in runs]})
    else:
        output.write([*_drawing(_panels(runs, args.metric), x=args.x), *_empty(runs)])
    return 0


def _empty(runs: list[_Run]) -> Iterator[Line]:
    for run in runs:
        if not metrics.names(run.rows):
            yield output.line(f"{run.record.id}: no metrics yet ({run.record.status})")


def _read(path: Path) -> _Run:
    try:
        rows = metrics.read_metrics(path / METRICS)
    except FileNotFoundError:
        rows = []
    except OSError as error:
        raise UserError(
            f"{path / METRICS}: cannot be read ({error.strerror}); `hpo-run show {path}` shows the rest"
        ) from None
    return _Run(read_run(path), rows)


def _check_metrics(runs: list[_Run], wanted: list[str]) -> None:
    known = dict.fromkeys(name for run in runs for name in metrics.names(run.rows))
    if not known:
        run = runs[0].record
        raise UserError(f"{run.id}: no metrics yet ({run.status}); `hpo-run show {run.path}` shows what there is")
    for name in wanted:
        if name not in known:
            guess = did_you_mean(name, known)
            raise UserError(f"--metric {name}: not recorded; {guess or 'there are ' + ', '.join(known)}")


def _as_json(run: _Run, wanted: list[str] | None) -> Values:
    chosen = wanted or metrics.names(run.rows)
    return {
        "id": run.record.id,
        "name": run.record.name,
        "path": str(run.record.path),
        "metrics": {name: vars(metrics.series(run.rows, name)) for name in chosen},
    }


def _panels(runs: list[_Run], wanted: list[str] | None) -> list[_Panel]:
    aims = [run.record.objective.name for run in runs if run.record.objective]
    names = list(dict.fromkeys(wanted or [*_LOSSES, *aims]))
    if len(runs) == 1 and not wanted:
        groups = [
            [name for name in names if name in _LOSSES],
            *([name] for name in names if name not in _LOSSES),
        ]
        panels = [
            _Panel("loss" if len(group) > 1 else "".join(group), _curves_by_metric(runs[0], group)) for group in groups
        ]
    else:
        panels = [_Panel(name, _curves_by_run(runs, name)) for name in names]
    return [panel for panel in panels if panel.curves]


def _curves_by_metric(run: _Run, names: list[str]) -> tuple[tuple[str, metrics.Series], ...]:
    found = [(name, metrics.series(run.rows, name)) for name in names]
    return tuple((name, series) for name, series in found if series.values)


def _curves_by_run(runs: list[_Run], name: str) -> tuple[tuple[str, metrics.Series], ...]:
    found = [(run, metrics.series(run.rows, name)) for run in runs]
    return tuple((_label(run.record), series) for run, series in found if series.values)


def _label(record: RunRecord) -> str:
    return one_line(" ".join([record.id, record.name, *record.overrides]))


def _drawing(panels: list[_Panel], *, x: str | None) -> Iterator[Line]:
    size = output.size()
    rows = max(_LEAST_ROWS, min(_MOST_ROWS, (size.lines - 2) // max(1, len(panels))))
    chosen = x or ("epoch" if all(_fits_epochs(panel) for panel in panels) else "step")
    for panel in panels:
        frame = Frame(panel.title, chosen, size.columns, rows, _kind(len(panel.curves)))
        yield from plot(
            [_curve(label, series, x=chosen, columns=size.columns) for label, series in panel.curves], frame
        )


def _kind(num_curves: int) -> Drawing:
    """Braille where it can be read: in its encoding, and in colours when there is more than one curve."""
    tells_apart = num_curves == 1 or output.is_coloured()
    return "braille" if output.can_draw() and tells_apart else "marks"


def _fits_epochs(panel: _Panel) -> bool:
    """Whether each curve has one value an epoch, and more than one epoch."""
    epochs = [series.epochs for _, series in panel.curves]
    return all(None not in one and len(set(one)) == len(one) for one in epochs) and any(len(one) > 1 for one in epochs)


def _curve(label: str, series: metrics.Series, *, x: str, columns: int) -> Curve:
    by_epoch = x == "epoch" and None not in series.epochs
    xs = [float(place or 0) for place in (series.epochs if by_epoch else series.steps)]
    note = _note(series.values)
    return Curve(shorten(label, max(_NARROWEST_LABEL, columns - len(note) - 8)), xs, series.values, note)


def _note(values: Sequence[float | None]) -> str:
    """The course in words: the first and last value, extremes in between, and how many were not finite."""
    known = [value for value in values if value is not None]
    lost = [f"{len(values) - len(known)} not finite"] if len(known) < len(values) else []
    if not known:
        return lost[0]
    ends = (known[0], known[-1])
    course = " → ".join(figure(value) for value in ends[: len(known)])
    extremes = {"min": min(known), "max": max(known)}
    return ", ".join([course, *(f"{what} {figure(v)}" for what, v in extremes.items() if v not in ends), *lost])
