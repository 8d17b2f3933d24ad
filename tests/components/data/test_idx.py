import dataclasses
import functools
import gzip
import hashlib
import http.server
import struct
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from hpo_cli.components.data import idx
from hpo_cli.components.data.split import prepare
from hpo_cli.errors import ConfigError

IMAGES, LABELS = idx.TRAIN


def packed_idx(array):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def arrays():
    draw = np.random.default_rng(0)
    return {
        "train-images-idx3-ubyte": draw.integers(0, 256, (40, 5, 4)),
        "train-labels-idx1-ubyte": np.arange(40) % 10,
        "t10k-images-idx3-ubyte": draw.integers(0, 256, (20, 5, 4)),
        "t10k-labels-idx1-ubyte": np.arange(20) % 10,
    }


@pytest.fixture
def folder(tmp_path, arrays):
    folder = tmp_path / "published"
    folder.mkdir()
    for name, array in arrays.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(packed_idx(array)))
    return folder


def assert_read(raw, arrays):
    np.testing.assert_array_equal(raw.x[:, 0], arrays[IMAGES])
    np.testing.assert_array_equal(raw.y, arrays[LABELS])
    np.testing.assert_array_equal(raw.test[0][:, 0], arrays["t10k-images-idx3-ubyte"])
    np.testing.assert_array_equal(raw.test[1], arrays["t10k-labels-idx1-ubyte"])
    assert raw.x.dtype == np.uint8
    assert raw.y.dtype == np.int64


def test_packed_files_are_read(folder, arrays):
    assert_read(idx.mnist(folder=str(folder)), arrays)


def test_unpacked_files_are_read(folder, arrays):
    for path in folder.iterdir():
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert_read(idx.fashion_mnist(folder=str(folder)), arrays)


def test_the_published_test_split_is_the_test_split(folder, arrays):
    raw = idx.mnist(folder=str(folder))
    splits = prepare(
        raw,
        task="classification",
        val_fraction=0.25,
        test_fraction=0.9,
        subset=1.0,
        standardize=False,
        split_seed=0,
    )
    assert [len(part.y) for part in (splits.train, splits.val, splits.test)] == [30, 10, 20]
    np.testing.assert_allclose(splits.test.x[:, 0], arrays["t10k-images-idx3-ubyte"] / 255, rtol=1e-6)


@pytest.mark.parametrize(
    ("read", "hint"),
    [(idx.mnist, "set data.download=true"), (idx.fashion_mnist, "apt-get install dataset-fashion-mnist")],
)
def test_a_missing_folder_says_what_was_looked_for_and_what_to_do(tmp_path, read, hint):
    with pytest.raises(ConfigError) as caught:
        read(folder=str(tmp_path / "nowhere"))
    line = str(caught.value)
    assert line.startswith("data.folder=")
    assert "train-images-idx3-ubyte" in line
    assert hint in line
    assert "\n" not in line


def test_only_what_is_missing_is_named(folder):
    (folder / f"{LABELS}.gz").unlink()
    with pytest.raises(ConfigError) as caught:
        idx.mnist(folder=str(folder))
    assert LABELS in str(caught.value)
    assert IMAGES not in str(caught.value)


def test_without_a_folder_the_cache_comes_before_the_system(monkeypatch, tmp_path, folder, arrays):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(idx, "FASHION_MNIST", dataclasses.replace(idx.FASHION_MNIST, system_folder=folder))
    assert_read(idx.fashion_mnist(), arrays)
    cached = tmp_path / "cache" / "hpo-run" / "fashion_mnist"
    cached.mkdir(parents=True)
    for path in folder.iterdir():
        (cached / path.name).write_bytes(path.read_bytes())
    reversed_labels = arrays | {LABELS: arrays[LABELS][::-1]}
    (cached / f"{LABELS}.gz").write_bytes(gzip.compress(packed_idx(reversed_labels[LABELS])))
    assert_read(idx.fashion_mnist(), reversed_labels)


DAMAGE = {
    "bad magic": (
        IMAGES,
        lambda content: gzip.compress(b"\x00\x00\x0d\x03" + gzip.decompress(content)[4:]),
        "it starts with",
    ),
    "labels for images": (
        IMAGES,
        lambda content: gzip.compress(b"\x00\x00\x08\x01" + gzip.decompress(content)[4:]),
        "it starts with",
    ),
    "empty": (LABELS, lambda _: gzip.compress(b""), "it starts with"),
    "short header": (IMAGES, lambda content: gzip.compress(gzip.decompress(content)[:9]), "it starts with"),
    "bytes missing": (IMAGES, lambda content: gzip.compress(gzip.decompress(content)[:-1]), "815"),
    "bytes too many": (
        LABELS,
        lambda content: gzip.compress(gzip.decompress(content) + b"x"),
        "announces 48 bytes, it has 49",
    ),
    "huge dimensions": (IMAGES, lambda _: gzip.compress(b"\x00\x00\x08\x03" + b"\xff" * 12), "announces 79228"),
    "torn gzip": (IMAGES, lambda content: content[: len(content) // 2], "cannot be unpacked"),
    "not gzip": (LABELS, lambda _: b"<html>404</html>", "cannot be unpacked"),
    "flipped bits": (
        IMAGES,
        lambda content: content[:400] + bytes(b ^ 255 for b in content[400:420]) + content[420:],
        "cannot be unpacked",
    ),
    "label out of range": (LABELS, lambda _: gzip.compress(packed_idx(np.full(40, 11))), "label 11"),
    "counts differ": (LABELS, lambda _: gzip.compress(packed_idx(np.zeros(39))), "39 labels for the 40 images"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_file_is_named_on_one_line(folder, case):
    name, damage, expected = DAMAGE[case]
    path = folder / f"{name}.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ConfigError) as caught:
        idx.mnist(folder=str(folder))
    line = str(caught.value)
    assert line.startswith(f"data.folder={path}: ")
    assert expected in line
    assert "\n" not in line


def test_train_and_test_of_different_size_are_refused(folder):
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(packed_idx(np.zeros((20, 4, 4)))))
    with pytest.raises(ConfigError, match="5x4 for training, 4x4 for the test"):
        idx.mnist(folder=str(folder))


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_args):
        self.server.asked.append(self.path)


@pytest.fixture
def mirror(folder, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    source = dataclasses.replace(idx.MNIST, url=f"http://127.0.0.1:{server.server_port}/", sha256=digests)
    monkeypatch.setattr(idx, "MNIST", source)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_download_is_kept_and_not_repeated(mirror, tmp_path, arrays):
    target = tmp_path / "target"
    assert_read(idx.mnist(folder=str(target), download=True), arrays)
    assert len(mirror.asked) == 4
    assert_read(idx.mnist(folder=str(target), download=True), arrays)
    assert_read(idx.mnist(folder=str(target)), arrays)
    assert len(mirror.asked) == 4
    assert sorted(path.name for path in target.iterdir()) == sorted(idx.MNIST.sha256)


def test_a_download_goes_to_the_cache_and_fetches_what_is_missing_alone(mirror, monkeypatch, tmp_path, folder, arrays):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cached = tmp_path / "hpo-run" / "mnist"
    cached.mkdir(parents=True)
    (cached / f"{IMAGES}.gz").write_bytes((folder / f"{IMAGES}.gz").read_bytes())
    assert_read(idx.mnist(download=True), arrays)
    assert len(mirror.asked) == 3


def test_a_download_with_another_digest_is_not_kept(mirror, tmp_path, folder):
    (folder / f"{IMAGES}.gz").write_bytes(b"something else")
    with pytest.raises(ConfigError, match=r"^data\.download=true: .*gave 14 bytes with sha256") as caught:
        idx.mnist(folder=str(tmp_path / "target"), download=True)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "target").exists()


def test_a_download_that_the_mirror_refuses(mirror, tmp_path, folder):
    (folder / f"{LABELS}.gz").unlink()
    with pytest.raises(ConfigError, match=r"could not be fetched: HTTP Error 404.*data\.folder by hand"):
        idx.mnist(folder=str(tmp_path / "target"), download=True)


def test_a_folder_that_cannot_be_written(mirror, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match=r"data\.folder=.*cannot be written"):
        idx.mnist(folder=str(tmp_path / "file" / "below"), download=True)


@pytest.mark.parametrize("source", [idx.MNIST, idx.FASHION_MNIST], ids=lambda source: source.name)
def test_published_sources_are_complete(source):
    assert source.url.startswith("https://")
    assert sorted(source.sha256) == sorted(f"{name}.gz" for name in (*idx.TRAIN, *idx.TEST))
    assert all(len(digest) == 64 for digest in source.sha256.values())
    assert len(set(source.class_names)) == 10


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/usr/share/datasets/fashion-mnist").is_dir(), reason="dataset-fashion-mnist not installed"
)
def test_the_real_fashion_mnist():
    raw = idx.fashion_mnist(folder="/usr/share/datasets/fashion-mnist")
    assert raw.x.shape == (60000, 1, 28, 28)
    assert raw.test[0].shape == (10000, 1, 28, 28)
    assert set(Counter(raw.y.tolist()).values()) == {6000}
    assert set(Counter(raw.test[1].tolist()).values()) == {1000}
    assert raw.x.mean() / 255 == pytest.approx(0.2860, abs=1e-4)  # widely published mean and deviation
    assert raw.x.std() / 255 == pytest.approx(0.3530, abs=1e-4)
