"""A folder of images as arrays: one subfolder a class, each image cropped to its centre square and resized."""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hpo_cli.components.data.arrays import RawData
from hpo_cli.components.data.image_folders import Sample, find_samples
from hpo_cli.components.data.memory import available_bytes
from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MODES = {1: "L", 3: "RGB"}
BYTES_A_PIXEL = 1 + 4
"""While a run starts, the images exist as uint8 and, standardised, as float32."""


def images(*, path: str, size: int = 32, channels: int = 3) -> RawData:
    """Images uint8 [n, channels, size, size], in the order of their paths; class names are sorted.

    All of them are kept in memory, n * channels * size**2 bytes here and four times that once standardised:
    50,000 of 32x32 in colour take 0.8 GB in all, of 224x224 38 GB. What does not fit is refused.
    path: of the folder; see `find_samples` for what it holds.   channels: 3 for colour, 1 for grey.
    Raises ConfigError for folders without images, a single class, files that are no images, and without Pillow.
    """
    found = find_samples(path)
    _check_memory(len(found.train) + len(found.test), size=size, channels=channels)
    x = _decoded([*found.train, *found.test], size=size, channels=channels)
    y = np.array([sample.label for sample in (*found.train, *found.test)], dtype=np.int64)
    end = len(found.train)
    test = (x[end:], y[end:]) if found.test else None
    return RawData(x[:end], y[:end], class_names=found.class_names, test=test)


def _check_memory(num_images: int, *, size: int, channels: int) -> None:
    needed, free = num_images * channels * size**2 * BYTES_A_PIXEL, available_bytes()
    if free is not None and needed > free:
        rule = (
            f"{num_images} images of {size}x{size} take {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free"
        )
        raise ConfigError("data.size", size, rule=rule, fix="lower it" + (", or set data.channels=1" * (channels > 1)))


def _decoded(samples: Sequence[Sample], *, size: int, channels: int) -> NDArray[np.uint8]:
    x = np.empty((len(samples), channels, size, size), dtype=np.uint8)
    decoder = _Decoder(size, MODES[channels])
    bad: list[str] = []
    with _loud_bombs(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for index, pixels in enumerate(pool.map(decoder, [sample.path for sample in samples])):
            if isinstance(pixels, str):
                bad.append(f"{samples[index].path}: {pixels}")
            else:
                x[index] = pixels
    if bad:
        rule = f"{len(bad)} of {len(samples)} files cannot be read as images, the first is {bad[0]}"
        raise ConfigError("data.path", rule=rule, fix="mend or remove them")
    return x


@dataclass(frozen=True)
class _Decoder:
    """A path -> uint8 [channels, size, size], or the reason why there is none."""

    size: int
    mode: str

    def __call__(self, path: Path) -> NDArray[np.uint8] | str:
        from PIL import Image, ImageOps

        try:
            with Image.open(path) as image:
                image.draft(self.mode, (2 * self.size, 2 * self.size))  # JPEG alone: a large photograph decodes faster
                if image.mode.startswith(("I", "F")):
                    return f"it has pixels of mode {image.mode}, not of 8 bits"
                upright = ImageOps.exif_transpose(image).convert(self.mode)
                square = ImageOps.fit(upright, (self.size, self.size), method=Image.Resampling.BILINEAR)
        except Exception as error:  # noqa: BLE001 - a stranger's file makes decoders raise anything
            return " ".join(f"{error or type(error).__name__}".replace(f"'{path}'", "").split())
        pixels = np.asarray(square)
        return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)  # noqa: PLR2004 - [h, w] of grey ones


def _loud_bombs() -> warnings.catch_warnings:
    """Pillow's warning of an image so large that it may be an attack becomes an error."""
    try:
        from PIL import Image
    except ImportError:
        fix = "pip install 'hpo-run[vision]'"
        raise ConfigError("data", "images", rule="needs the package pillow", fix=fix) from None
    return warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning)
