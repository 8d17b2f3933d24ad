"""PNG files of 8-bit pixels, and images side by side. Source: W3C, "Portable Network Graphics", third edition."""

from __future__ import annotations

import math
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from hpo_cli.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB = 0, 2
_PAPER = 255


def write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write grey [h, w] or RGB [h, w, 3] pixels. Raises UserError where the file cannot be written."""
    try:
        path.write_bytes(png_bytes(pixels))
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}; name a file in a folder that exists") from None


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """The content of a PNG file of grey [h, w] or RGB [h, w, 3] pixels."""
    height, width = pixels.shape[:2]
    kind = _GREY if pixels.ndim == 2 else _RGB  # noqa: PLR2004 - [h, w]
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    rows = pixels.reshape(height, -1)
    unfiltered = np.hstack([np.zeros((height, 1), dtype=np.uint8), rows]).tobytes()  # filter 0 before every row
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(unfiltered, 9)), (b"IEND", b"")]
    return _SIGNATURE + b"".join(_chunk(name, content) for name, content in chunks)


def grid(images: Sequence[NDArray[np.uint8]], *, columns: int, gap: int = 2) -> NDArray[np.uint8]:
    """Images of one shape, [h, w] or [h, w, 3], row by row on white. columns: images a row; gap: pixels around each."""
    height, width = images[0].shape[:2]
    rows = math.ceil(len(images) / columns)
    shape = (rows * (height + gap) + gap, columns * (width + gap) + gap, *images[0].shape[2:])
    page = np.full(shape, _PAPER, dtype=np.uint8)
    for index, image in enumerate(images):
        top, left = (
            gap + place * (size + gap) for place, size in zip(divmod(index, columns), (height, width), strict=True)
        )
        page[top : top + height, left : left + width] = image
    return page


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
