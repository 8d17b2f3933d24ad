"""`hpo-run curves RUN...`: losses and the objective, drawn in the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpo_cli.console import output
from hpo_cli.console.figures import figure
from hpo_cli.console.happenings import between, flags, legend, renumbered
from hpo_cli.console.plot import Curve, Frame, plot
from hpo_cli.console.tables import one_line, shorten
from hpo_cli.errors import UserError, did_you_mean
from hpo_cli.record import metrics
from hpo_cli.record.runs import find_run
from hpo_cli.verbs.arguments import RUN_HELP, reading_parser
from hpo_cli.verbs.curves_lines import DrawnRun, ancestors, drawn_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hpo_cli.console.happenings import Happening
    from hpo_cli.console.output import Line
    from hpo_cli.console.plot import Drawing
    from hpo_cli.record.contents import Values

_LOSSES = ("train/loss", "val/loss")
_NARROWEST_LABEL = 8
_MOST_MARKS = 12
_LEAST_ROWS, _MOST_ROWS = 10, 18


@dataclass(frozen=True)
class _Line:
    """style: empty for a colour of its own."""

    label: str
    series: metrics.Series
    style: str = ""


@dataclass(frozen=True)
class _Panel:
    title: str
    lines: tuple[_Line, ...]


def main(argv: Sequence[str]) -> int:
    """Draw the metrics of runs. Raises UserError."""
    parser = reading_parser("curves", about="Draw loss and objective of one run, or of several in one frame.")
    parser.add_argument("runs", nargs="*", metavar="RUN", default=["last"], help=f"{RUN_HELP} (default: last)")
    parser.add_argument("--metric", action="append", metavar="NAME", help="draw this metric; may be repeated")
    parser.add_argument("--x", choices=("epoch", "step"), help="what lies below (default: epochs where they suffice)")
    args = parser.read(argv)
    paths = dict.fromkeys(find_run(ref, args.outputs) for ref in args.runs)
    runs = [drawn_run(path) for path in paths]
    _check_metrics(runs, args.metric or [])
    if args.json:
        output.write_json({"runs": [_as_json(run, args.metric) for run in runs]})
    else:
        pasts = [past for path in paths for past in ancestors(path, shown=list(paths))]
        happened = _happened([*pasts, *runs])
        drawing = _drawing(_panels(runs, _distinct(pasts), args.metric), happened, x=args.x)
        output.write([*drawing, *legend(happened, rows=_MOST_MARKS, columns=output.width()), *_empty(runs)])
    return 0


def _empty(runs: list[DrawnRun]) -> Iterator[Line]:
    for run in runs:
        if not metrics.names(run.rows):
            yield output.line(f"{run.record.id}: no metrics yet ({run.record.status})")


def _distinct(pasts: list[DrawnRun]) -> list[DrawnRun]:
    """Siblings have one past: it is drawn once, up to the last step at which one of them left."""
    longest: dict[str, DrawnRun] = {}
    for past in sorted(pasts, key=lambda past: past.until or 0):
        longest[past.record.id] = past
    return list(longest.values())


def _happened(runs: Sequence[DrawnRun]) -> tuple[Happening, ...]:
    """What is marked: the living line of one run with its past. Of several runs, where each branched."""
    whole = [run for run in runs if run.until is None]
    if len(whole) == 1:
        return renumbered(one for run in runs for one in run.happened)
    return renumbered(one for run in whole for one in run.happened if one.label[0] == "b")


def _check_metrics(runs: list[DrawnRun], wanted: list[str]) -> None:
    known = dict.fromkeys(name for run in runs for name in metrics.names(run.rows))
    if not known:
        run = runs[0].record
        raise UserError(f"{run.id}: no metrics yet ({run.status}); `hpo-run show {run.path}` shows what there is")
    for name in wanted:
        if name not in known:
            guess = did_you_mean(name, known)
            raise UserError(f"--metric {name}: not recorded; {guess or 'there are ' + ', '.join(known)}")


def _as_json(run: DrawnRun, wanted: list[str] | None) -> Values:
    chosen = wanted or metrics.names(run.rows)
    return {
        "id": run.record.id,
        "name": run.record.name,
        "path": str(run.record.path),
        "metrics": {name: vars(metrics.series(run.rows, name)) for name in chosen},
    }


def _panels(runs: list[DrawnRun], pasts: list[DrawnRun], wanted: list[str] | None) -> list[_Panel]:
    aims = [run.record.objective.name for run in runs if run.record.objective]
    names = list(dict.fromkeys(wanted or [*_LOSSES, *aims]))
    if len(runs) == 1 and not pasts and not wanted:
        groups = [
            [name for name in names if name in _LOSSES],
            *([name] for name in names if name not in _LOSSES),
        ]
        panels = [
            _Panel("loss" if len(group) > 1 else "".join(group), _lines_by_metric(runs[0], group)) for group in groups
        ]
    else:
        panels = [_Panel(name, (*_lines_by_run(pasts, name), *_lines_by_run(runs, name))) for name in names]
    return [panel for panel in panels if panel.lines]


def _lines_by_metric(run: DrawnRun, names: list[str]) -> tuple[_Line, ...]:
    found = [_Line(name, metrics.series(run.rows, name)) for name in names]
    return tuple(line for line in found if line.series.values)


def _lines_by_run(runs: list[DrawnRun], name: str) -> tuple[_Line, ...]:
    found = [(run, metrics.series(run.rows, name)) for run in runs]
    return tuple(_Line(_label(run), series, _style(run)) for run, series in found if series.values)


def _style(run: DrawnRun) -> str:
    return "" if run.until is None else "dim"


def _label(run: DrawnRun) -> str:
    record = run.record
    past = f"up to step {run.until}" if run.until is not None else ""
    return one_line(" ".join(word for word in (record.id, record.name, past, *record.overrides) if word))


def _drawing(panels: list[_Panel], happened: tuple[Happening, ...], *, x: str | None) -> Iterator[Line]:
    size = output.size()
    rows = max(_LEAST_ROWS, min(_MOST_ROWS, (size.lines - 2) // max(1, len(panels))))
    chosen = x or ("epoch" if all(_fits_epochs(panel) for panel in panels) else "step")
    for panel in panels:
        places = _places(panel) if chosen == "epoch" else None
        frame = Frame(
            panel.title,
            chosen,
            size.columns,
            rows,
            _kind(len(panel.lines)),
            flags=flags(happened, xs=places),
        )
        yield from plot([_curve(line, x=chosen, columns=size.columns) for line in panel.lines], frame)


def _places(panel: _Panel) -> Callable[[int], float | None]:
    """Where a step lies on an axis of epochs: between the rows around it."""
    known = sorted({(step, epoch) for line in panel.lines for step, epoch in _ends(line.series)})
    return lambda step: between(known, step)


def _ends(series: metrics.Series) -> Iterator[tuple[int, int]]:
    return ((step, epoch) for step, epoch in zip(series.steps, series.epochs, strict=True) if epoch is not None)


def _kind(num_curves: int) -> Drawing:
    """Braille where it can be read: in its encoding, and in colours when there is more than one curve."""
    tells_apart = num_curves == 1 or output.is_coloured()
    return "braille" if output.can_draw() and tells_apart else "marks"


def _fits_epochs(panel: _Panel) -> bool:
    """Whether each curve has one value an epoch, and more than one epoch."""
    epochs = [line.series.epochs for line in panel.lines]
    return all(None not in one and len(set(one)) == len(one) for one in epochs) and any(len(one) > 1 for one in epochs)


def _curve(drawn: _Line, *, x: str, columns: int) -> Curve:
    series = drawn.series
    by_epoch = x == "epoch" and None not in series.epochs
    xs = [float(place or 0) for place in (series.epochs if by_epoch else series.steps)]
    note = _note(series.values)
    return Curve(
        shorten(drawn.label, max(_NARROWEST_LABEL, columns - len(note) - 8)), xs, series.values, note, drawn.style
    )


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
