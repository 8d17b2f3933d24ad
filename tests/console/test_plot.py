import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_cli.console.canvas import Canvas, thinned
from hpo_cli.console.output import cells
from hpo_cli.console.plot import MARKS, STYLES, Curve, Drawing, Flag, Frame, mark, plot
from hpo_cli.console.scale import Axis, axis, ticks

FINITE = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.lists(FINITE | st.none(), max_size=12)


def shown(curves: list[Curve], *, columns: int = 40, rows: int = 12, drawing: Drawing = "marks") -> list[str]:
    lines = plot(curves, Frame("title", "epoch", columns, rows, drawing))
    return ["".join(span.text for span in line) for line in lines]


def area(lines: list[str]) -> list[str]:
    return [line.partition("┤" if "┤" in line else "│")[2] for line in lines if "┤" in line or "│" in line]


def test_a_rising_line_rises() -> None:
    lines = area(shown([Curve("title", range(10), [float(k) for k in range(10)])]))
    columns = [line.index("*") for line in lines if "*" in line]
    assert len(columns) == len(lines)
    assert columns == sorted(columns, reverse=True)
    assert columns[-1] == 0


def test_braille_dots_are_where_they_belong() -> None:
    canvas = Canvas(2, 1, braille=True)
    canvas.stroke([(0, 0), (3, 3)], mark="*", style="")
    assert "".join(span.text for line in canvas.lines() for span in line) == "⠑⢄"
    assert (canvas.width, canvas.height) == (4, 4)


def test_two_curves_have_two_marks_and_two_styles() -> None:
    curves = [Curve("up", [0, 1], [0.0, 1.0]), Curve("down", [0, 1], [1.0, 0.0])]
    lines = plot(curves, Frame("t", "step", 30, 12, "marks"))
    spans = {(span.text, span.style) for line in lines for span in line}
    assert {(MARKS[0], STYLES[0]), (MARKS[1], STYLES[1])} <= spans
    assert len(set(STYLES)) == len(STYLES) == len(set(MARKS)) == len(MARKS)
    assert mark(len(MARKS)) == MARKS[0]


def test_a_gap_where_there_is_no_value() -> None:
    joined = area(shown([Curve("title", [0, 1, 2], [1.0, 1.0, 1.0])]))
    broken = area(shown([Curve("title", [0, 1, 2], [1.0, None, 1.0])]))
    assert sum(line.count("*") for line in joined) > 20
    assert sum(line.count("*") for line in broken) == 2


def test_a_single_point_is_seen() -> None:
    assert sum(line.count("•") for line in shown([Curve("title", [3], [0.5])], drawing="braille")) == 1
    assert sum(line.count("*") for line in area(shown([Curve("title", [3], [0.5])]))) == 1


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0, 1e-310, 1e308, -1e308])
def test_a_constant_is_a_level_line(value: float) -> None:
    lines = area(shown([Curve("title", range(5), [value] * 5)]))
    assert sum("*" in line for line in lines) == 1


def test_nothing_to_draw_gives_an_empty_frame() -> None:
    assert not any("*" in line for line in area(shown([Curve("title", [], [])])))
    assert not any("*" in line for line in area(shown([Curve("title", [1, 2], [None, None])])))


@given(VALUES, st.integers(10, 100), st.integers(4, 40), st.sampled_from(["braille", "marks"]))
def test_a_drawing_fits_its_frame(values: list[float | None], columns: int, rows: int, drawing: Drawing) -> None:
    lines = shown([Curve("title", range(len(values)), values)], columns=max(30, columns), rows=rows, drawing=drawing)
    assert all(cells(line) <= max(30, columns) for line in lines)
    assert len(lines) <= max(rows, 7)


@given(st.lists(FINITE, min_size=1, max_size=8), st.integers(1, 12))
def test_ticks_are_inside_and_few(values: list[float], most: int) -> None:
    range_ = axis(values)
    assert range_.low < range_.high
    found = ticks(range_, most=most)
    assert len(found) <= most + 2
    room = 1e-6 * (range_.high - range_.low)
    assert all(range_.low - room <= place <= range_.high + room for place in found.values())


def test_ticks_are_round() -> None:
    assert ticks(Axis(0.0, 1.0), most=5) == pytest.approx(
        {"0": 0.0, "0.2": 0.2, "0.4": 0.4, "0.6": 0.6, "0.8": 0.8, "1.0": 1.0}
    )
    assert list(ticks(Axis(1.0, 20.0), most=5, whole=True)) == ["5", "10", "15", "20"]
    assert list(ticks(Axis(1.0, 2.0), most=5, whole=True)) == ["1", "2"]
    assert list(ticks(Axis(0.0, 3e-7), most=3)) == ["0", "1e-07", "2e-07", "3e-07"]


def test_thinning_keeps_the_picture() -> None:
    points = [(k // 1000, round(50 + 49 * math.sin(k))) for k in range(20_000)]
    kept = thinned(points)
    assert len(kept) <= 80
    full, thin = Canvas(20, 100, braille=False), Canvas(20, 100, braille=False)
    full.stroke(points, mark="*", style="")
    thin.stroke(kept, mark="*", style="")
    assert list(thin.lines()) == list(full.lines())


def flagged(*flags: Flag, columns: int = 60) -> list[str]:
    curve = Curve("title", range(101), [float(k) for k in range(101)])
    lines = plot([curve], Frame("title", "step", columns, 12, "marks", flags=flags))
    return ["".join(span.text for span in line) for line in lines]


def test_a_flag_stands_at_its_place_with_a_line_above() -> None:
    lines = flagged(Flag(50, "n1"))
    rule = lines[-2].partition("└")[2]
    assert rule.index("n1") == pytest.approx((len(rule) - 1) / 2, abs=1)
    assert sum("┊" in line for line in area(lines)) >= len(area(lines)) - 1
    assert not any("┊" in line for line in flagged())


def test_of_flags_in_one_place_the_later_is_told_and_none_is_cut() -> None:
    lines = flagged(*(Flag(50, f"n{k}") for k in range(1, 9)), Flag(100, "w12"), Flag(101, "out"))
    assert "n8" in lines[-2]
    assert lines[-2].endswith("w12")
    assert "n7" not in lines[-2]
    assert "out" not in lines[-2]


def test_a_range_shows_its_part_alone() -> None:
    curve = Curve("title", range(101), [float(k) for k in range(101)])
    lines = plot([curve], Frame("title", "step", 60, 12, "marks", x_range=Axis(90, 100)))
    whole = "\n".join("".join(span.text for span in line) for line in lines)
    assert "100 ┤" in whole
    assert " 50 ┤" not in whole
