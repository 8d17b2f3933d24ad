"""Samples drawn with characters: images, signals, rows of a table, lines of a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hpo_cli.components.data.parts import class_names
from hpo_cli.components.data.samples import of_each_class, pixels
from hpo_cli.console import styles
from hpo_cli.console.figures import figure
from hpo_cli.console.output import Span, line, width
from hpo_cli.console.pictures import depth, picture, side_by_side, signal
from hpo_cli.console.tables import Column, one_line, shorten, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpo_cli.components.data.arrays import RawData
    from hpo_cli.components.data.partition import Partition
    from hpo_cli.console.output import Line

WIDEST = 120
MOST_CLASSES, FEW_CLASSES = 20, 5
"""Of few classes, each fills a line; of many, so many are shown, two samples each."""
IMAGE_COLUMNS = 18
SIGNAL_COLUMNS, SIGNAL_ROWS = 18, 4
NUM_LINES = 6
_A_CELL = 11
_TABLE, _SIGNALS, _IMAGES = 2, 3, 4


def samples(raw: RawData, parts: Partition, *, low: float, high: float) -> Iterator[Line]:
    """A few samples of the training part, drawn as what they are. low, high: of all of them."""
    if raw.task == "language":
        yield from _texts(raw, parts)
        return
    names = class_names(raw) if raw.task == "classification" else ()
    a_line = (_width() + 2) // (IMAGE_COLUMNS + 2)
    num_each = a_line if 0 < len(names) <= FEW_CLASSES else 2
    found = of_each_class(raw, parts.train, num_each=num_each, most_classes=min(MOST_CLASSES, len(names) or 4))
    rows = [row for of_class in found for row in of_class]
    captions = [_target(raw, row, names) for row in rows]
    if raw.x.ndim == _TABLE:
        yield from _rows(raw, rows, captions)
    elif raw.x.ndim == _SIGNALS:
        shape = {"columns": SIGNAL_COLUMNS, "rows": SIGNAL_ROWS}
        drawn = [signal(raw.x[row], caption=text, **shape) for row, text in zip(rows, captions, strict=True)]
        yield from side_by_side(drawn, width=_width())
    elif raw.x.ndim == _IMAGES:
        kind = depth()
        images = [pixels(raw.x[row], low=low, high=high) for row in rows]
        drawn = [
            picture(one, caption=text, most_columns=IMAGE_COLUMNS, depth=kind)
            for one, text in zip(images, captions, strict=True)
        ]
        yield from side_by_side(drawn, width=_width())


def _target(raw: RawData, row: int, names: Sequence[str]) -> str:
    if names:
        return names[int(raw.y[row])]
    columns = raw.columns or (None,) * raw.y.shape[1]
    values = [
        column.class_names[int(value)] if column and column.class_names else figure(float(value))
        for column, value in zip(columns, raw.y[row], strict=True)
    ]
    return ", ".join(values)


def _rows(raw: RawData, rows: Sequence[int], captions: Sequence[str]) -> Iterator[Line]:
    features = raw.feature_names or tuple(f"feature {index}" for index in range(raw.x.shape[1]))
    room = _width() - max(len("target"), *(min(len(one), 16) for one in captions)) - 2
    shown = max(1, min(len(features), room // (_A_CELL + 2)))
    heads = [
        Column("  target", flexible=True),
        *(Column(shorten(one_line(name), _A_CELL), "right") for name in features[:shown]),
    ]
    cells = [
        [Span(f"  {one_line(text)}"), *(Span(figure(float(value))) for value in raw.x[row, :shown])]
        for row, text in zip(rows, captions, strict=True)
    ]
    yield from table(heads, cells, width=_width())
    if len(features) > shown:
        yield line(Span(f"  and {len(features) - shown} more features", styles.QUIET))
    yield line()


def _texts(raw: RawData, parts: Partition) -> Iterator[Line]:
    names = np.array(raw.class_names or ())
    for row in parts.train[:NUM_LINES].tolist():
        written = one_line("".join(names[raw.x[row]]))
        yield line("  ", shorten(written, _width() - 2))
    yield line()


def _width() -> int:
    return min(width(), WIDEST)
