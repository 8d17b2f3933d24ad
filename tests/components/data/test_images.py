import builtins

import numpy as np
import pytest
from PIL import Image

from hpo_cli.components.data import images as module
from hpo_cli.components.data.images import images
from hpo_cli.components.data.memory import available_bytes
from hpo_cli.errors import ConfigError

COLOURS = {"ant": (200, 10, 20), "bee": (30, 210, 40), "cow": (50, 60, 220)}


def paint(path, colour=(1, 2, 3), size=(12, 12)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


@pytest.fixture
def folder(tmp_path):
    top = tmp_path / "zoo"
    for name, colour in COLOURS.items():
        for number in range(4):
            paint(top / name / f"{number}.png", colour, (12 + number, 20))
    return top


def refusal(path, **keys):
    with pytest.raises(ConfigError) as caught:
        images(path=str(path), **keys)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_subfolder_is_a_class(folder):
    raw = images(path=str(folder), size=8)
    assert raw.class_names == ("ant", "bee", "cow")
    assert (raw.x.shape, raw.x.dtype, raw.test) == ((12, 3, 8, 8), np.uint8, None)
    np.testing.assert_array_equal(raw.y, np.repeat([0, 1, 2], 4))
    for image, label in zip(raw.x, raw.y, strict=True):
        np.testing.assert_array_equal(image[:, 3, 5], list(COLOURS.values())[label])


def test_pixels_of_the_right_size_are_those_of_the_file(tmp_path):
    draw = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 3)).astype(np.uint8)
    for name, pixels in zip("ab", draw, strict=True):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "x.png")
    np.testing.assert_array_equal(images(path=str(tmp_path), size=9).x, draw.transpose(0, 3, 1, 2))
    grey = images(path=str(tmp_path), size=9, channels=1).x
    luma = np.round(draw @ [0.299, 0.587, 0.114])  # ITU-R 601-2, as Pillow documents for mode L
    assert grey.shape == (2, 1, 9, 9)
    assert np.abs(grey[:, 0] - luma).max() <= 1


def test_the_centre_is_kept(tmp_path):
    wide = np.zeros((10, 30), dtype=np.uint8)
    wide[:, 10:20] = 255
    for name, pixels in (("tall", wide.T), ("wide", wide)):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "x.png")
    x = images(path=str(tmp_path), size=5, channels=1).x
    np.testing.assert_array_equal(x[:, :, 1:4, 1:4], 255)
    assert x.min() > 200  # the filter's support reaches a pixel beyond the square


def test_photographs_are_turned_upright(tmp_path):
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    pixels[:4] = 255  # the upper half, in the file; orientation 3 says that it hangs upside down
    exif = Image.Exif()
    exif[0x0112] = 3
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "x.jpg", exif=exif, quality=95)
    x = images(path=str(tmp_path), size=8, channels=1).x
    assert x[0, 0, :3].max() < 20
    assert x[0, 0, 5:].min() > 235


@pytest.mark.parametrize(
    ("parts", "num_train", "num_test"),
    [(("train", "test"), 6, 6), (("train", "val"), 6, 6), (("train", "valid", "test"), 12, 6), (("train",), 6, 0)],
)
def test_published_parts_are_used(tmp_path, parts, num_train, num_test):
    for index, part in enumerate(parts):
        for name in COLOURS:
            for number in range(2):
                paint(tmp_path / part / name / f"{number}.png", (index, index, index))
    raw = images(path=str(tmp_path), size=4)
    assert len(raw.y) == num_train
    assert raw.class_names == tuple(COLOURS)
    assert (0 if raw.test is None else len(raw.test[1])) == num_test
    if raw.test:
        assert set(raw.test[0].ravel()) == {len(parts) - 1}
        assert len(parts) - 1 not in raw.x


def test_a_class_may_be_called_train(tmp_path):
    for name in ("train", "bus"):
        paint(tmp_path / name / "1.png")
    assert images(path=str(tmp_path), size=4).class_names == ("bus", "train")


def test_the_order_does_not_depend_on_the_file_system(folder, monkeypatch):
    expected = images(path=str(folder), size=6).x
    real = module.find_samples.__globals__["os"].walk
    monkeypatch.setattr("os.walk", lambda top: ((p, d, sorted(f, reverse=True)) for p, d, f in real(top)))
    np.testing.assert_array_equal(images(path=str(folder), size=6).x, expected)


def test_hidden_and_other_files_are_passed_over(folder):
    (folder / "ant" / ".DS_Store.png").write_bytes(b"junk")
    (folder / "ant" / "notes.txt").write_text("none")
    (folder / ".cache").mkdir()
    paint(folder / "ant" / "deeper" / "9.PNG", COLOURS["ant"])
    assert len(images(path=str(folder), size=4).y) == 13


def test_unreadable_files_are_counted_and_the_first_is_named(folder):
    (folder / "ant" / "0.png").write_bytes(b"no image")
    torn = folder / "bee" / "1.png"
    torn.write_bytes(torn.read_bytes()[:60])
    (folder / "cow" / "2.png").write_bytes(b"")
    line = refusal(folder)
    assert line.startswith("data.path: 3 of 12 files cannot be read as images, the first is ")
    assert f"{folder / 'ant' / '0.png'}: cannot identify image file; mend or remove them" in line


def test_sixteen_bit_images_are_refused(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((4, 4), 40_000, dtype=np.uint16)).save(tmp_path / name / "x.png")
    assert "it has pixels of mode I;16, not of 8 bits" in refusal(tmp_path)


def test_an_image_too_large_to_be_true_is_refused(folder, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 290)  # the last of each class has 300
    assert "3 of 12 files cannot be read" in refusal(folder)


def test_folders_that_hold_no_classes(tmp_path, folder):
    assert "there is no such folder; did you mean zoo?" in refusal(tmp_path / "zo")
    assert "is a file, not a folder" in refusal(folder / "ant" / "0.png")
    assert "holds no folders, and every class is a folder" in refusal(folder / "ant")
    (tmp_path / "one").mkdir()
    (folder / "ant").rename(tmp_path / "one" / "ant")
    assert "holds one folder, 'ant', and every class is a folder" in refusal(tmp_path / "one")
    (folder / "dog").mkdir()
    assert "'dog' holds no images (png, jpg," in refusal(folder)


def test_a_test_class_without_training_images_is_refused(tmp_path):
    for part, names in (("train", "ab"), ("test", "abc")):
        for name in names:
            paint(tmp_path / part / name / "1.png")
    assert "test: holds classes without training images: 'c'" in refusal(tmp_path)
    for path in (tmp_path / "test").rglob("*.png"):
        path.unlink()
    (tmp_path / "test" / "c").rmdir()
    assert "test: holds no images" in refusal(tmp_path)


def test_what_does_not_fit_in_memory_is_refused(folder, monkeypatch):
    monkeypatch.setattr(module, "available_bytes", lambda: 10**6)
    line = refusal(folder, size=1000)
    assert line == (
        "data.size=1000: 12 images of 1000x1000 take 0.2 GB of memory, 0.0 GB are free; "
        "lower it, or set data.channels=1"
    )
    monkeypatch.setattr(module, "available_bytes", lambda: None)
    assert images(path=str(folder), size=4).x.shape == (12, 3, 4, 4)


def test_available_memory_is_read(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nMemFree: 1 kB\nMemAvailable:     7 kB\n")
    assert available_bytes(tmp_path / "meminfo") == 7 * 1024
    assert available_bytes(tmp_path / "none") is None


def test_without_pillow_the_extra_is_named(folder, monkeypatch):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.split(".")[0] == "PIL":
            raise ImportError(name="PIL")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    assert refusal(folder) == "data=images: needs the package pillow; pip install 'hpo-run[vision]'"
