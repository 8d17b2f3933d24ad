"""Lines put together: cut, filled up, spread over the width, beside each other."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from hpo_cli.console.output import Span, cells, line
from hpo_cli.console.tables import shorten

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hpo_cli.console.output import Line


def columns_of(one: Iterable[Span]) -> int:
    """Columns that a line takes."""
    return sum(cells(span.text) for span in one)


def merged(one: Line) -> Line:
    """The same line in as few spans as can be."""
    groups = groupby(one, key=lambda span: span.style)
    return tuple(Span("".join(span.text for span in spans), style) for style, spans in groups)


def cut(one: Line, columns: int) -> Line:
    """The line, at most so wide."""
    one = merged(one)
    room = columns
    kept: list[Span] = []
    for span in one:
        width = cells(span.text)
        if width > room:
            return (*kept, Span(shorten(span.text, room), span.style)) if room else tuple(kept)
        kept.append(span)
        room -= width
    return tuple(kept)


def filled(lines: Sequence[Line], rows: int) -> list[Line]:
    """Exactly so many lines: the first ones, and empty ones below."""
    return [*lines[:rows], *(line() for _ in range(rows - len(lines)))]


def spread(left: Line, right: Line, columns: int) -> Line:
    """One part at each edge; the right one goes where there is no room for both."""
    gap = columns - columns_of(left) - columns_of(right)
    return (*left, Span(" " * gap), *right) if gap > 0 else left


def beside(left: Sequence[Line], right: Sequence[Line], *, at: int) -> list[Line]:
    """The right lines begin at column `at`."""
    rows = max(len(left), len(right))
    pairs = zip(filled(left, rows), filled(right, rows), strict=True)
    return [(*one, Span(" " * max(0, at - columns_of(one))), *other) for one, other in pairs]


def wrapped(one: Line, columns: int, *, most: int) -> list[Line]:
    """The line broken between words into at most `most` lines; what is left over is cut from the last."""
    letters = [Span(letter, span.style) for span in one for letter in span.text]
    lines: list[Line] = []
    while letters:
        end = len(letters) if len(lines) == most - 1 else _break(letters, columns)
        lines.append(cut(tuple(letters[:end]), columns))
        letters = letters[end:]
        if letters and letters[0].text == " ":
            letters[0] = Span(" ")
    return lines


def _break(letters: Sequence[Span], columns: int) -> int:
    """How many letters the next line takes: up to the last space that fits, or all that fit."""
    if columns_of(letters) <= columns:
        return len(letters)
    width, space = 0, 0
    for index, letter in enumerate(letters):
        width += cells(letter.text)
        if width > columns:
            return space or index
        if letter.text == " " and index:
            space = index
    return len(letters)
