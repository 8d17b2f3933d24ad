import numpy as np
import pytest

from hpo_cli.console.bars import bar
from hpo_cli.console.output import cells
from hpo_cli.console.pictures import depth, picture, side_by_side, signal


def text(lines):
    return ["".join(span.text for span in one) for one in lines]


def test_colours_put_two_pixels_into_a_cell():
    pixels = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [1, 2, 3]]], dtype=np.uint8)
    drawn = picture(pixels, caption="", most_columns=10, depth="colours")
    assert text(drawn.lines) == ["▀▀"]
    assert [span.style for span in drawn.lines[0]] == ["#ff0000 on #0000ff", "#00ff00 on #010203"]


def test_grey_images_have_grey_colours():
    drawn = picture(np.array([[7], [9]], dtype=np.uint8), caption="", most_columns=10, depth="colours")
    assert drawn.lines[0][0].style == "#070707 on #090909"


def test_shades_go_from_the_darkest_to_the_brightest_pixel():
    ramp = np.repeat(np.linspace(100, 200, 5)[None], 4, axis=0).astype(np.uint8)
    assert text(picture(ramp, caption="", most_columns=10, depth="shades").lines) == ["  ░░▒▒▓▓██"] * 4
    assert text(picture(ramp, caption="", most_columns=10, depth="letters").lines) == ["  ::==##@@"] * 4


def test_a_flat_image_has_one_shade():
    lines = text(picture(np.full((4, 4), 255, np.uint8), caption="", most_columns=8, depth="shades").lines)
    assert set("".join(lines)) == {"█"}


@pytest.mark.parametrize("depth", ["colours", "shades", "letters"])
@pytest.mark.parametrize("shape", [(28, 28), (8, 8), (1, 1), (5, 60), (60, 5), (32, 32, 3)])
def test_no_picture_is_wider_than_it_may_be(depth, shape):
    drawn = picture(np.zeros(shape, dtype=np.uint8), caption="x", most_columns=18, depth=depth)
    assert drawn.columns <= 18
    assert drawn.lines
    assert {cells(one) for one in text(drawn.lines)} == {drawn.columns}


def test_large_images_are_averaged():
    board = np.indices((32, 32)).sum(axis=0) % 2 * 255
    drawn = picture(board.astype(np.uint8), caption="", most_columns=8, depth="colours")
    assert {span.style for one in drawn.lines for span in one} == {"#808080 on #808080"}


def test_a_signal_is_drawn_from_its_least_to_its_largest_value():
    drawn = signal(np.linspace(0, 1, 40)[None], caption="up", columns=10, rows=3)
    lines = text(drawn.lines)
    assert [len(one) for one in lines] == [10, 10, 10]
    assert lines[0].strip()
    assert lines[0].startswith(" ")
    assert lines[2].endswith(" ")


def test_pictures_stand_side_by_side_under_their_captions():
    pictures = [
        picture(np.zeros((4, 3), np.uint8), caption=f"number {i}", most_columns=6, depth="shades") for i in range(5)
    ]
    lines = [one.rstrip() for one in text(side_by_side(pictures, width=22))]
    assert lines[0] == "numbe…  numbe…  numbe…"
    assert len(lines) == 2 * (1 + len(pictures[0].lines) + 1)
    assert all(cells(one) <= 22 for one in lines)
    assert list(side_by_side([], width=22)) == []


def test_a_pipe_gets_shades(monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setattr("hpo_cli.console.pictures.can_draw", lambda: True)
    assert depth() == "shades"
    monkeypatch.setattr("hpo_cli.console.pictures.can_draw", lambda: False)
    assert depth() == "letters"


def test_many_colours_are_used_where_there_are_some(monkeypatch):
    monkeypatch.setattr("hpo_cli.console.pictures.can_draw", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    assert depth() == "colours"
    monkeypatch.setenv("NO_COLOR", "1")
    assert depth() == "shades"


def test_bars_are_exact_to_an_eighth_and_never_vanish():
    assert [cells(bar(share, width=10)) for share in (0, 0.001, 0.5, 0.51, 1)] == [0, 1, 5, 6, 10]
    assert bar(1, width=3) == "███"
    assert bar(0.01, width=3, drawn=False) == "#"
