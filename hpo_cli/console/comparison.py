"""Runs beside each other: a row a run, or, where the names of many metrics take the width, a column a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpo_cli.console.output import Span, cells
from hpo_cli.console.tables import Column, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpo_cli.console.output import Line

_SHORTEST_METRIC = 8
_GAP = 2


def comparison(
    head: str, names: Sequence[str], rows: Sequence[Sequence[Span]], *, width: int, indent: str = ""
) -> Iterator[Line]:
    """A line for the heads and one for each row, or for each metric. No run's name is ever cut.

    head: what the rows are.   names: of the metrics.   rows: a run's name and its figures, one a metric.
    Turned, there are as many tables below each other as the width asks for; names of metrics are cut where one
    column of figures would not fit beside them.
    """
    columns = [Column(indent + head), *(Column(name, "right") for name in names)]
    upright = table(columns, [[Span(indent + row[0].text, row[0].style), *row[1:]] for row in rows])
    if max(map(_cells, upright)) <= width:
        yield from upright
        return
    for block in _blocks(names, rows, width=width - len(indent)):
        yield from _turned(names, block, width=width, indent=indent)


def _turned(names: Sequence[str], runs: Sequence[Sequence[Span]], *, width: int, indent: str) -> list[Line]:
    heads = [Column(f"{indent}metric", flexible=True), *(Column(run[0].text, "right") for run in runs)]
    rows = [[Span(indent + name), *(run[i] for run in runs)] for i, name in enumerate(names, start=1)]
    return table(heads, rows, width=width)


def _blocks(names: Sequence[str], rows: Sequence[Sequence[Span]], *, width: int) -> Iterator[Sequence[Sequence[Span]]]:
    """The runs, as many at a time as fit beside the names of the metrics; at least one."""
    columns = [max(cells(span.text) for span in row) + _GAP for row in rows]
    metric = max(map(cells, (*names, "metric")))
    room = width - max(_SHORTEST_METRIC, min(metric, width - max(columns)))
    start, used = 0, 0
    for index, column in enumerate(columns):
        if index > start and used + column > room:
            yield rows[start:index]
            start, used = index, 0
        used += column
    yield rows[start:]


def _cells(one: Line) -> int:
    return sum(cells(span.text) for span in one)
