import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hpo_cli.console.png import grid, write_png
from hpo_cli.errors import UserError


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (1, 1), (300, 2, 3)])
def test_pillow_reads_the_same_pixels(tmp_path, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    write_png(tmp_path / "a.png", pixels)
    with Image.open(tmp_path / "a.png") as image:
        image.verify()
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == ("L" if len(shape) == 2 else "RGB")
        np.testing.assert_array_equal(np.asarray(image), pixels)


@given(st.integers(1, 7), st.integers(1, 4), st.integers(0, 3))
def test_a_grid_holds_every_image_at_its_place(count, columns, gap):
    images = [np.full((3, 5), 10 * i, dtype=np.uint8) for i in range(count)]
    page = grid(images, columns=columns, gap=gap)
    assert page.shape == (gap + -(-count // columns) * (3 + gap), gap + columns * (5 + gap))
    for i, image in enumerate(images):
        top, left = gap + i // columns * (3 + gap), gap + i % columns * (5 + gap)
        np.testing.assert_array_equal(page[top : top + 3, left : left + 5], image)
    assert (page == 255).sum() == page.size - 15 * count


def test_a_grid_of_colours(tmp_path):
    assert grid([np.zeros((2, 2, 3), dtype=np.uint8)] * 3, columns=2, gap=1).shape == (7, 7, 3)


def test_a_file_that_cannot_be_written_is_refused_in_one_line(tmp_path):
    with pytest.raises(UserError, match="cannot be written: No such file or directory; name a file"):
        write_png(tmp_path / "none" / "a.png", np.zeros((2, 2), dtype=np.uint8))
