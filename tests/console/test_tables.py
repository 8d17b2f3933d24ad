import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_cli.console import figures, tables
from hpo_cli.console.output import Line, Span, cells
from hpo_cli.console.tables import Column, one_line, shorten, table


def text(line: Line) -> str:
    return "".join(span.text for span in line)


@pytest.mark.parametrize("module", [figures, tables])
def test_examples(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 0
    assert result.failed == 0


def test_columns_are_aligned() -> None:
    lines = table([Column("a"), Column("number", "right")], [[Span("x"), Span("1")], [Span("long"), Span("22")]])
    assert [text(line) for line in lines] == ["a     number", "x          1", "long      22"]


def test_wide_characters_count_twice() -> None:
    lines = table([Column("a"), Column("b")], [[Span("字字"), Span("1")], [Span("abcd"), Span("2")]])
    assert [cells(text(line)) for line in lines[1:]] == [7, 7]


def test_flexible_columns_give_way_then_spare_ones() -> None:
    columns = [Column("a"), Column("b", flexible=True), Column("c", spare=2), Column("d", spare=1)]
    rows = [[Span("id"), Span("x" * 50), Span("y" * 10), Span("z" * 10)]]
    assert text(table(columns, rows, width=80)[1]) == f"id  {'x' * 50}  {'y' * 10}  {'z' * 10}"
    assert text(table(columns, rows, width=60)[1]) == f"id  {'x' * 31}…  {'y' * 10}  {'z' * 10}"
    assert text(table(columns, rows, width=40)[1]) == f"id  {'x' * 23}…  {'y' * 10}"
    assert text(table(columns, rows, width=24)[1]) == f"id  {'x' * 19}…"


@given(st.text(max_size=30), st.integers(1, 20))
def test_shortened_text_fits(word: str, width: int) -> None:
    short = shorten(word, width)
    assert cells(short) <= width
    assert short == word or short.endswith("…")


@given(st.text())
def test_one_line_has_no_control_characters(word: str) -> None:
    assert one_line(word).isprintable()
    assert one_line("lr=0.1 größe") == "lr=0.1 größe"


@given(st.floats(allow_nan=True) | st.integers(-(10**6), 10**6))
def test_figures_are_short_and_close(value: float) -> None:
    shown = figures.figure(value)
    assert len(shown) <= 11
    if abs(value) < 1e300:
        assert float(shown) == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize("moment", ["", "yesterday", "2026-13-01"])
def test_age_of_no_moment(moment: str) -> None:
    assert figures.age(moment, now=0.0) == "-"
    assert figures.age("2026-01-01T00:00:00", now=0.0) == "0 s"
