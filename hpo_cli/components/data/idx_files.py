"""The idx file format: a magic number, the dimensions, the bytes. Source: yann.lecun.com/exdb/mnist."""

from __future__ import annotations

import gzip
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

UNSIGNED_BYTE = 0x08


def read_images(path: Path) -> NDArray[np.uint8]:
    """Images as uint8 [n, 1, height, width]. Raises ConfigError for a damaged file."""
    return _read(path, num_dims=3)[:, None]


def read_labels(path: Path, *, num_classes: int) -> NDArray[np.int64]:
    """Labels as int64 [n], each below `num_classes`. Raises ConfigError for a damaged file."""
    labels = _read(path, num_dims=1)
    if labels.max(initial=0) >= num_classes:
        raise _damaged(path, f"label {labels.max()} where 0 .. {num_classes - 1} are expected")
    return labels.astype(np.int64)


def _read(path: Path, *, num_dims: int) -> NDArray[np.uint8]:
    content = _content(path)
    magic = bytes((0, 0, UNSIGNED_BYTE, num_dims))
    start = len(magic) + 4 * num_dims
    if content[:4] != magic or len(content) < start:
        raise _damaged(path, f"it starts with {content[:4].hex(' ')!r}, not {magic.hex(' ')!r}")
    shape = struct.unpack(f">{num_dims}I", content[len(magic) : start])
    expected = start + int(np.prod(shape, dtype=object))
    if len(content) != expected:
        raise _damaged(path, f"its header announces {expected} bytes, it has {len(content)}")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def _content(path: Path) -> bytes:
    try:
        packed = path.read_bytes()
        return gzip.decompress(packed) if path.suffix == ".gz" else packed
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path, f"it cannot be unpacked: {error}") from None
    except OSError as error:
        raise ConfigError("data.folder", path, rule=f"cannot be read: {error.strerror}") from None


def _damaged(path: Path, what: str) -> ConfigError:
    return ConfigError(
        "data.folder",
        path,
        rule=f"is damaged: {what}",
        fix="delete it and set data.download=true, or copy it anew",
    )
