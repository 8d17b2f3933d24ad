"""Tables as lines: columns aligned, the flexible one shortened to the width. No boxes, so it pipes well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from hpo_cli.console.output import Span, cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hpo_cli.console.output import Line

_GAP = "  "
_NARROWEST = 8


@dataclass(frozen=True)
class Column:
    """A column's head and how its cells lie. flexible: shortened first when the width does not suffice."""

    head: str
    align: Literal["left", "right"] = "left"
    flexible: bool = False


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[Span]], *, width: int | None = None
) -> list[Line]:
    """A line for the heads, then one for each row. width: columns at most, None for as many as the text needs."""
    heads = [Span(column.head, "dim") for column in columns]
    grid = [heads, *rows]
    widths = [max(cells(row[i].text) for row in grid) for i in range(len(columns))]
    if width is not None:
        widths = _fitted(widths, columns, width)
    return [_line(row, columns, widths) for row in grid]


def shorten(text: str, width: int) -> str:
    """`text`, its end replaced by an ellipsis where it takes more than `width` columns.

    >>> shorten("optimizer=adam", 6)
    'optim…'
    """
    if cells(text) <= width:
        return text
    kept = text[:width]
    while cells(kept) > width - 1:
        kept = kept[:-1]
    return kept + "…"


def one_line(text: str) -> str:
    """`text` without line breaks and other control characters, which would break a table or a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _fitted(widths: list[int], columns: Sequence[Column], width: int) -> list[int]:
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    fitted = list(widths)
    flexible = [i for i, column in enumerate(columns) if column.flexible]
    while excess > 0 and any(fitted[i] > _NARROWEST for i in flexible):
        widest = max(flexible, key=lambda i: fitted[i])
        fitted[widest] -= 1
        excess -= 1
    return fitted


def _line(row: Sequence[Span], columns: Sequence[Column], widths: list[int]) -> Line:
    spans: list[Span] = []
    for span, column, width in zip(row, columns, widths, strict=True):
        text = shorten(span.text, width)
        space = " " * (width - cells(text))
        padded = space + text if column.align == "right" else text + space
        spans += [Span(padded, span.style), Span(_GAP)]
    last = spans[-2]
    return (*spans[:-2], Span(last.text.rstrip(), last.style))
