import dataclasses
import functools
import hashlib
import http.server
import io
import tarfile
import threading

import numpy as np
import pytest

from hpo_cli.components.data import cifar
from hpo_cli.errors import ConfigError

TEN = dataclasses.replace(
    cifar.CIFAR10, train=dict.fromkeys(cifar.CIFAR10.train, 20), test=dict.fromkeys(cifar.CIFAR10.test, 10)
)
HUNDRED = dataclasses.replace(
    cifar.CIFAR100, train=dict.fromkeys(cifar.CIFAR100.train, 200), test=dict.fromkeys(cifar.CIFAR100.test, 100)
)
NAMES = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.fixture(autouse=True)
def _small_sources(monkeypatch, tmp_path):
    monkeypatch.setattr(cifar, "CIFAR10", TEN)
    monkeypatch.setattr(cifar, "CIFAR100", HUNDRED)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def arrays():
    """{file: (labels [n], pixels [n, 3, 32, 32])} as they were published, but fewer."""
    draw = np.random.default_rng(0)
    files = {**TEN.train, **TEN.test}
    return {
        name: (draw.permutation(np.arange(n) % 10), draw.integers(0, 256, (n, 3, 32, 32))) for name, n in files.items()
    }


def packed(labels, pixels):
    """A record for each image: label, red plane, green plane, blue plane."""
    return b"".join(
        bytes([label]) + image.astype(np.uint8).tobytes() for label, image in zip(labels, pixels, strict=True)
    )


@pytest.fixture
def folder(tmp_path, arrays):
    folder = tmp_path / "published"
    folder.mkdir()
    for name, (labels, pixels) in arrays.items():
        (folder / name).write_bytes(packed(labels, pixels))
    (folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    return folder


def archived(folder, path, inner="cifar-10-batches-bin"):
    with tarfile.open(path, "w:gz") as archive:
        for file in sorted(folder.iterdir()):
            archive.add(file, f"{inner}/{file.name}")
    return path


def assert_read(raw, arrays):
    for (x, y), names in (((raw.x, raw.y), TEN.train), (raw.test, TEN.test)):
        np.testing.assert_array_equal(x, np.concatenate([arrays[name][1] for name in names]))
        np.testing.assert_array_equal(y, np.concatenate([arrays[name][0] for name in names]))
        assert (x.dtype, y.dtype) == (np.uint8, np.int64)
    assert raw.class_names == NAMES


def test_files_are_read_from_the_folder_its_parent_or_an_archive(folder, tmp_path, arrays):
    assert_read(cifar.cifar10(folder=str(folder)), arrays)
    archive = archived(folder, tmp_path / "cifar-10-binary.tar.gz")
    assert_read(cifar.cifar10(folder=str(archive)), arrays)
    assert_read(cifar.cifar10(folder=str(tmp_path)), arrays)
    archive.unlink()
    folder.rename(tmp_path / "cifar-10-batches-bin")
    assert_read(cifar.cifar10(folder=str(tmp_path)), arrays)


def test_a_hundred_classes_have_their_fine_labels_read(tmp_path):
    draw = np.random.default_rng(0)
    pixels = {
        name: draw.integers(0, 256, (n, 3, 32, 32)).astype(np.uint8)
        for name, n in {**HUNDRED.train, **HUNDRED.test}.items()
    }
    for name, images in pixels.items():
        records = [bytes([i % 20, i % 100]) + image.tobytes() for i, image in enumerate(images)]
        (tmp_path / name).write_bytes(b"".join(records))
    (tmp_path / "fine_label_names.txt").write_text("\n".join(f"kind_{i}" for i in range(100)))
    raw = cifar.cifar100(folder=str(tmp_path))
    np.testing.assert_array_equal(raw.x, pixels["train.bin"])
    np.testing.assert_array_equal(raw.y, np.arange(200) % 100)
    np.testing.assert_array_equal(raw.test[1], np.arange(100))
    assert raw.class_names[42] == "kind_42"
    (tmp_path / "test.bin").write_bytes(bytes([0, 100, *bytes(3072)]) + (tmp_path / "test.bin").read_bytes()[3074:])
    with pytest.raises(ConfigError, match=r"test\.bin: is damaged: label 100 where 0 \.\. 99 are expected"):
        cifar.cifar100(folder=str(tmp_path))


def refusal(**keys):
    with pytest.raises(ConfigError) as caught:
        cifar.cifar10(**keys)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_missing_is_named_with_the_way_out(tmp_path):
    line = refusal(folder=str(tmp_path / "nowhere"))
    assert line.startswith(f"data.folder={tmp_path / 'nowhere'}: cifar10 needs data_batch_1.bin, ")
    assert "cifar-10-binary.tar.gz" in line
    assert line.endswith("set data.download=true")
    assert str(tmp_path / "cache" / "hpo-run" / "cifar10") in refusal()


DAMAGE = {
    "a byte missing": ("data_batch_3.bin", lambda content: content[:-1], "20 records take 61460 bytes, it has 61459"),
    "a record missing": (
        "test_batch.bin",
        lambda content: content[:-3073],
        "10 records take 30730 bytes, it has 27657",
    ),
    "bytes too many": ("data_batch_1.bin", lambda content: content + b"x", "it has 61461"),
    "empty": ("data_batch_2.bin", lambda _: b"", "it has 0"),
    "label out of range": ("data_batch_5.bin", lambda content: b"\x0a" + content[1:], "label 10 where 0 .. 9"),
    "names missing": ("batches.meta.txt", lambda _: b"cat\ndog\n", "it names 2 classes where 10"),
    "names that are none": ("batches.meta.txt", lambda _: b"\xff\xfe" * 50, "it names 1 classes where 10"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_file_is_named_on_one_line(folder, case):
    name, damage, expected = DAMAGE[case]
    path = folder / name
    path.write_bytes(damage(path.read_bytes()))
    line = refusal(folder=str(folder))
    assert line.startswith(f"data.folder={path}: is damaged: ")
    assert expected in line


@pytest.mark.parametrize(
    "damage", [lambda content: content[: len(content) // 2], lambda _: b"<html>404</html>", lambda _: b""]
)
def test_a_torn_archive_is_refused(folder, tmp_path, damage):
    archive = archived(folder, tmp_path / "cifar-10-binary.tar.gz")
    archive.write_bytes(damage(archive.read_bytes()))
    assert f"data.folder={archive}: is damaged: it cannot be unpacked" in refusal(folder=str(archive))


def test_an_archive_writes_nothing_and_follows_no_links(folder, tmp_path):
    (folder / "test_batch.bin").unlink()
    path = tmp_path / "sly" / "cifar-10-binary.tar.gz"
    path.parent.mkdir()
    archived(folder, path, inner="../..")
    before = sorted(tmp_path.rglob("*"))
    assert "it lacks test_batch.bin" in refusal(folder=str(path))
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo("test_batch.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link, io.BytesIO())
    assert "it lacks " in refusal(folder=str(path))
    assert sorted(tmp_path.rglob("*")) == before


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_args):
        self.server.asked.append(self.path)


@pytest.fixture
def mirror(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "served").mkdir()
    archive = archived(folder, tmp_path / "served" / "cifar-10-binary.tar.gz")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=archive.parent))
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/{archive.name}"
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setattr(cifar, "CIFAR10", dataclasses.replace(TEN, url=url, sha256=digest))
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_download_is_unpacked_kept_and_not_repeated(mirror, tmp_path, arrays):
    assert_read(cifar.cifar10(download=True), arrays)
    assert_read(cifar.cifar10(download=True), arrays)
    assert_read(cifar.cifar10(), arrays)
    assert len(mirror.asked) == 1
    kept = tmp_path / "cache" / "hpo-run" / "cifar10"
    assert sorted(path.name for path in kept.iterdir()) == sorted(TEN.files)


def test_a_download_with_another_digest_is_not_kept(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "CIFAR10", dataclasses.replace(cifar.CIFAR10, sha256="0" * 64))
    line = refusal(folder=str(tmp_path / "target"), download=True)
    assert line.startswith("data.download=true: ")
    assert "published was 000000000000" in line
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("source", [cifar.CIFAR10, cifar.CIFAR100], ids=lambda source: source.name)
def test_published_sources_are_complete(source):
    assert source.url.startswith("https://www.cs.toronto.edu/~kriz/cifar-10")
    assert len(source.sha256) == 64
    assert (sum(source.train.values()), sum(source.test.values())) == (50_000, 10_000)
