"""What `hpo-run results` prints, in 80 columns where it can."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from hpo_cli.console import styles
from hpo_cli.console.figures import figure
from hpo_cli.console.output import Line, Span, can_draw, cells, line, width
from hpo_cli.console.plot import Curve, Drawing, Frame, plot
from hpo_cli.console.tables import Column, shorten, table
from hpo_cli.engine.findings import ClassFindings, Mistake, NumberFindings

if TYPE_CHECKING:
    from hpo_cli.engine.results import Results

WIDEST = 120
_MOST_CLASSES = 40
_MOST_CONFUSIONS = 16
_LONGEST_NAME = 16
_NARROWEST_CELL = 4
_PLOT_COLUMNS, _PLOT_ROWS = 64, 20


def page(found: Results, *, pictures_a_row: int) -> Iterator[Line]:
    """All of it. pictures_a_row: in the file of pictures of the first column's worst samples, 0 without one."""
    yield line()
    yield from _metrics(found)
    for index, column in enumerate(found.findings):
        yield line()
        samples = f"{found.samples:,} {'validation' if found.split == 'val' else 'training'} samples"
        yield line(Span(label(column.name), styles.TITLE), f"  {samples}")
        if isinstance(column, ClassFindings):
            yield from _classes(column, pictures_a_row if index == 0 else 0)
        else:
            yield from _numbers(column, pictures_a_row if index == 0 else 0)


def label(name: str) -> str:
    """A class's name as it can be printed; one of blanks in quotes.

    >>> label("cat"), label(" "), label("\\n")
    ('cat', "' '", "'\\\\n'")
    """
    return name if name and name.isprintable() and name == name.strip() else repr(name)


def _metrics(found: Results) -> Iterator[Line]:
    names = dict.fromkeys(chain.from_iterable(found.metrics.values()))
    heads = [Column("metric"), *(Column(part, "right") for part in found.metrics)]
    rows = [
        [Span(label(name)), *(Span(figure(of_part.get(name))) for of_part in found.metrics.values())] for name in names
    ]
    yield from table(heads, rows)


def _classes(column: ClassFindings, pictures_a_row: int) -> Iterator[Line]:
    yield from _scores(column)
    yield line()
    yield from list(_matrix(column)) or _confusions(column)
    yield line()
    yield from _mistakes(column.worst, pictures_a_row)


def _scores(column: ClassFindings) -> Iterator[Line]:
    """The mean is over classes that have a value, each counting the same."""
    scores = column.scores
    shown = scores
    if len(scores) > _MOST_CLASSES:
        shown = tuple(sorted(scores, key=lambda one: -np.nan_to_num(one.loss, nan=-1.0))[:_MOST_CLASSES])
    names = ("recall", "precision", "f1", "loss")
    heads = [Column("class", flexible=True), *(Column(name, "right") for name in names), Column("samples", "right")]
    rows = [
        [Span(label(one.name)), *(_share(getattr(one, name)) for name in names), Span(f"{one.support:,}")]
        for one in shown
    ]
    means = [_mean([getattr(one, name) for one in scores]) for name in names]
    rows.append([Span("mean", "bold"), *map(_share, means), Span(f"{sum(one.support for one in scores):,}")])
    yield from table(heads, rows, width=_width())
    if len(scores) > len(shown):
        yield line(Span(f"the {len(shown)} of {len(scores)} with the highest loss; --json has all", styles.QUIET))


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if value == value]  # noqa: PLR0124 - NaN is not equal to itself
    return sum(known) / len(known) if known else float("nan")


def _share(value: float) -> Span:
    return Span("-" if value != value else f"{value:.4f}")  # noqa: PLR0124


def _matrix(column: ClassFindings) -> Iterator[Line]:
    """The confusion matrix; nothing where it is too wide. Columns whose names do not fit are numbered."""
    names = [label(name) for name in column.class_names]
    least = max(_NARROWEST_CELL, len(str(column.confusion.max())) + 1)
    heads, cell = names, max(least, max(map(cells, names)) + 2)
    if min(_LONGEST_NAME, cell - 2) + cell * len(names) > _width():
        heads, cell = [str(number) for number in range(1, len(names) + 1)], least
        names = [f"{number:>{len(heads[-1])}} {name}" for number, name in zip(heads, names, strict=True)]
    margin = min(_LONGEST_NAME, max(map(cells, names)))
    if margin + cell * len(names) > _width():
        return
    yield line(Span("confusion", styles.TITLE), "  a row: the true class, a column: the predicted one")
    yield line(Span(" " * margin + "".join(_right(head, cell) for head in heads), styles.QUIET))
    for row, name in enumerate(names):
        short = shorten(name, margin)
        spans = (_count(column, row, place, cell) for place in range(len(names)))
        yield (Span(short + " " * (margin - cells(short)), styles.QUIET), *spans)


def _count(column: ClassFindings, row: int, place: int, size: int) -> Span:
    count = int(column.confusion[row, place])
    style = styles.GOOD if row == place else styles.BAD if count else styles.QUIET
    return Span(_right(str(count) if count else "·", size), style)


def _right(text: str, size: int) -> str:
    return " " * (size - cells(text)) + text


def _confusions(column: ClassFindings) -> Iterator[Line]:
    found = column.confusions(_MOST_CONFUSIONS)
    yield line(Span("confusions", styles.TITLE), "  true -> predicted: targets" if found else "  none")
    for true, predicted, count in found:
        yield line(f"  {label(true)} -> {label(predicted)}: {count:,}")


def _mistakes(worst: Sequence[Mistake], pictures_a_row: int) -> Iterator[Line]:
    if not worst:
        yield line(Span("worst mistakes", styles.TITLE), "  none")
        return
    yield line(Span("worst mistakes", styles.TITLE), "  p: of the predicted class, loss: -ln p of the true one")
    in_window = worst[0].position is not None
    heads = [
        *_place_head(pictures_a_row),
        Column("sample", "right"),
        *([Column("position", "right")] if in_window else []),
        Column("true", flexible=True),
        Column("predicted", flexible=True),
        Column("p", "right"),
        Column("loss", "right"),
    ]
    rows = [
        [
            *_place(index, pictures_a_row),
            Span(str(one.index)),
            *([Span(str(one.position))] if in_window else []),
            Span(label(one.true)),
            Span(label(one.predicted), styles.BAD),
            Span(f"{one.probability:.3f}"),
            Span(figure(one.loss)),
        ]
        for index, one in enumerate(worst)
    ]
    yield from table(heads, rows, width=_width())


def _numbers(column: NumberFindings, pictures_a_row: int) -> Iterator[Line]:
    names = {"mae", "rmse", "r2", "bias", "deviation"}
    summary = column.summary
    yield line("  ".join(f"{name} {figure(summary[name])}" for name in summary if name in names))
    yield line("residuals  ", "  ".join(f"{name}: {figure(summary[name])}" for name in summary if name not in names))
    yield line()
    yield from _scatter(column)
    yield line()
    yield line(Span("worst residuals", styles.TITLE), "  predicted - true, in the data's units")
    heads = [
        *_place_head(pictures_a_row),
        *(Column(name, "right") for name in ("sample", "true", "predicted", "residual")),
    ]
    rows = [
        [
            *_place(index, pictures_a_row),
            Span(str(one.index)),
            *(Span(figure(value)) for value in (one.true, one.predicted)),
            Span(figure(one.residual), styles.BAD),
        ]
        for index, one in enumerate(column.worst)
    ]
    yield from table(heads, rows, width=_width())


def _scatter(column: NumberFindings) -> Iterator[Line]:
    """Predicted over true, each sample a point of its own, which a gap on either side makes it."""
    ends = [min(map(min, column.points)), max(map(max, column.points))]
    xs = [true for true, _ in column.points for _ in range(2)]
    ys = [value for _, predicted in column.points for value in (predicted, None)]
    drawing: Drawing = "braille" if can_draw() else "marks"
    frame = Frame("predicted", "true", min(_PLOT_COLUMNS, _width()), _PLOT_ROWS, drawing)
    yield from plot([Curve("samples", xs, ys), Curve("where they would be right", ends, ends)], frame)


def _place_head(pictures_a_row: int) -> list[Column]:
    return [Column("picture")] if pictures_a_row else []


def _place(index: int, pictures_a_row: int) -> list[Span]:
    if not pictures_a_row:
        return []
    row, column = divmod(index, pictures_a_row)
    return [Span(f"row {row + 1}, {column + 1}", styles.QUIET)]


def _width() -> int:
    return min(width(), WIDEST)
