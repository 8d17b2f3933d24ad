"""CIFAR-10 and CIFAR-100 from a local folder, in the binary form in which they were published.

A file is records of one or two label bytes and 3,072 pixel bytes (red, green, blue planes of 32x32, by rows).
Source: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images"; cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpo_cli.components.data.archive import unpacked
from hpo_cli.components.data.arrays import RawData
from hpo_cli.components.data.cache import cache_folder, write_atomically
from hpo_cli.components.data.download import download_file
from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGE_SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class Source:
    """Where a data set is published. train, test: {file: records in it}; label_bytes: the last of them counts."""

    name: str
    url: str
    sha256: str
    inner_folder: str
    train: dict[str, int]
    test: dict[str, int]
    names_file: str
    num_classes: int
    label_bytes: int

    @property
    def archive(self) -> str:
        """The name of the published archive."""
        return self.url.rpartition("/")[2]

    @property
    def files(self) -> tuple[str, ...]:
        """All that must be there."""
        return (*self.train, *self.test, self.names_file)


CIFAR10 = Source(
    name="cifar10",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    inner_folder="cifar-10-batches-bin",
    train={f"data_batch_{number}.bin": 10_000 for number in range(1, 6)},
    test={"test_batch.bin": 10_000},
    names_file="batches.meta.txt",
    num_classes=10,
    label_bytes=1,
)
CIFAR100 = Source(
    name="cifar100",
    url="https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    inner_folder="cifar-100-binary",
    train={"train.bin": 50_000},
    test={"test.bin": 10_000},
    names_file="fine_label_names.txt",
    num_classes=100,
    label_bytes=2,
)


def cifar10(*, folder: str | None = None, download: bool = False) -> RawData:
    """Photographs in ten classes, uint8 [50000, 3, 32, 32] and a test split of 10,000. Source: Krizhevsky 2009.

    folder: with the seven files of the binary version, with their folder or archive, or the archive itself; None
    looks in `$XDG_CACHE_HOME/hpo-run/cifar10`.   download: fetches them into that folder.
    Raises ConfigError for missing or damaged files.
    """
    return _read(CIFAR10, folder=folder, download=download)


def cifar100(*, folder: str | None = None, download: bool = False) -> RawData:
    """Photographs in a hundred classes, uint8 [50000, 3, 32, 32] and a test split of 10,000; else as `cifar10`."""
    return _read(CIFAR100, folder=folder, download=download)


def _read(source: Source, *, folder: str | None, download: bool) -> RawData:
    top = Path(folder).expanduser() if folder else cache_folder() / source.name
    found = _found(source, top)
    if found is None and download:
        found = _downloaded(source, top)
    if found is None:
        raise _nothing_found(source, folder=folder, top=top)
    names = _class_names(source, found)
    x, y = _samples(source, found, source.train)
    return RawData(x, y, class_names=names, test=_samples(source, found, source.test))


def _found(source: Source, top: Path) -> dict[Path, bytes] | None:
    """The content of every file by its path, or None when one is missing."""
    for place in (top, top / source.inner_folder):
        if all((place / name).is_file() for name in source.files):
            return {place / name: _bytes(place / name) for name in source.files}
    for archive in (top, top / source.archive):
        if archive.is_file():
            return _from_archive(source, archive)
    return None


def _downloaded(source: Source, top: Path) -> dict[Path, bytes]:
    """Fetch the archive and keep what is in it, so that later runs need not unpack it again."""
    archive = top / source.archive
    download_file(source.url, path=archive, sha256=source.sha256)
    found = _from_archive(source, archive)
    for path, content in found.items():
        write_atomically(top / path.name, content)
    archive.unlink()
    return found


def _from_archive(source: Source, archive: Path) -> dict[Path, bytes]:
    found = unpacked(archive, names=source.files)
    missing = [name for name in source.files if name not in found]
    if missing:
        raise _damaged(archive, f"it lacks {', '.join(missing)}")
    return {archive / name: content for name, content in found.items()}


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError("data.folder", path, rule=f"cannot be read: {error.strerror}") from None


def _class_names(source: Source, found: dict[Path, bytes]) -> tuple[str, ...]:
    path, content = next((path, content) for path, content in found.items() if path.name == source.names_file)
    names = tuple(content.decode("ascii", "replace").split())
    if len(set(names)) != source.num_classes or len(names) != source.num_classes:
        raise _damaged(path, f"it names {len(names)} classes where {source.num_classes} are expected")
    return names


def _samples(
    source: Source, found: dict[Path, bytes], files: dict[str, int]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    length = source.label_bytes + PIXELS
    blocks = []
    for path, content in found.items():
        if path.name not in files:
            continue
        expected = files[path.name] * length
        if len(content) != expected:
            raise _damaged(path, f"{files[path.name]} records take {expected} bytes, it has {len(content)}")
        records = np.frombuffer(content, dtype=np.uint8).reshape(-1, length)
        worst = int(records[:, source.label_bytes - 1].max())
        if worst >= source.num_classes:
            raise _damaged(path, f"label {worst} where 0 .. {source.num_classes - 1} are expected")
        blocks.append(records)
    x = np.concatenate([records[:, source.label_bytes :] for records in blocks]).reshape(-1, *IMAGE_SHAPE)
    return x, np.concatenate([records[:, source.label_bytes - 1] for records in blocks]).astype(np.int64)


def _nothing_found(source: Source, *, folder: str | None, top: Path) -> ConfigError:
    return ConfigError(
        "data.folder",
        folder,
        rule=f"{source.name} needs {', '.join(source.files)}, or {source.archive}, looked for in {top}",
        fix="set data.download=true",
    )


def _damaged(path: Path, what: str) -> ConfigError:
    fix = "delete it and set data.download=true, or copy it anew"
    return ConfigError("data.folder", path, rule=f"is damaged: {what}", fix=fix)
