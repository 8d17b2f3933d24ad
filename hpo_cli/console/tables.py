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
_READABLE = 16


@dataclass(frozen=True)
class Column:
    """A column's head and how its cells lie.

    flexible: shortened when the width does not suffice. spare: left out when even that would not do, 1 before 2;
    0 stays.
    """

    head: str
    align: Literal["left", "right"] = "left"
    flexible: bool = False
    spare: int = 0


def table(columns: Sequence[Column], rows: Sequence[Sequence[Span]], *, width: int | None = None) -> list[Line]:
    """A line for the heads, then one for each row. width: at most so many columns, None for no limit."""
    heads = [Span(column.head, "dim") for column in columns]
    grid = [heads, *rows]
    lengths = [[cells(span.text) for span in row] for row in grid]
    widths = [max(column) for column in zip(*lengths, strict=True)]
    if width is None:
        kept = list(range(len(columns)))
    else:
        kept = _kept(widths, columns, width)
        widths = _fitted(widths, columns, kept, width)
    rights = [column.align == "right" for column in columns]
    return [_line(row, one, [(i, widths[i], rights[i]) for i in kept]) for row, one in zip(grid, lengths, strict=True)]


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


def _kept(widths: Sequence[int], columns: Sequence[Column], width: int) -> list[int]:
    """The columns that stay: spare ones go, the first first, until the flexible ones can be read."""
    least = [min(w, _READABLE) if column.flexible else w for w, column in zip(widths, columns, strict=True)]
    kept = list(range(len(columns)))
    for index in sorted((i for i in kept if columns[i].spare), key=lambda i: columns[i].spare):
        if _total([least[i] for i in kept]) > width:
            kept.remove(index)
    return kept


def _fitted(widths: Sequence[int], columns: Sequence[Column], kept: list[int], width: int) -> list[int]:
    fitted = list(widths)
    flexible = [i for i in kept if columns[i].flexible]
    while _total([fitted[i] for i in kept]) > width and any(fitted[i] > _NARROWEST for i in flexible):
        fitted[max(flexible, key=lambda i: fitted[i])] -= 1
    return fitted


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _line(row: Sequence[Span], lengths: Sequence[int], places: Sequence[tuple[int, int, bool]]) -> Line:
    """places: the index, the width and the side of each column kept."""
    spans: list[Span] = []
    for i, width, right in places:
        text, style = row[i]
        space = " " * (width - lengths[i])
        if lengths[i] > width:
            text = shorten(text, width)
        spans += (Span(space + text if right else text + space, style), Span(_GAP))
    return tuple(spans[:-1])
