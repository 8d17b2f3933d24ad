"""Changes of images, one amount a sample: plain tensor functions, no randomness, no step that waits for a device.

Images are float [b, c, h, w], black is 0 and white 1; every amount is a tensor [b].
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

BLUR_REACH = 2
"""Pixels to each side that a blurred pixel is made of."""
_LUMA = (0.299, 0.587, 0.114)
_TO_YIQ = torch.tensor((_LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)), dtype=torch.float64)
_TO_RGB = torch.linalg.inv(_TO_YIQ)
NUM_COLOURS = 3


def shifted(images: Tensor, *, mirror: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Each image mirrored left to right where `mirror`, then moved by whole pixels; black moves in.

    Moves values and never mixes them: the outputs are exactly pixels of the inputs.   down, right: whole numbers.
    """
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device) - down.long().unsqueeze(1)
    columns = torch.arange(width, device=images.device) - right.long().unsqueeze(1)
    inside = _both((rows >= 0) & (rows < height), (columns >= 0) & (columns < width))
    columns = torch.where(mirror.unsqueeze(1), width - 1 - columns, columns)
    places = (rows.unsqueeze(2) * width + columns.unsqueeze(1)).masked_fill(~inside, height * width)
    with_black = functional.pad(images.flatten(2), (0, 1))
    return with_black.gather(2, places.flatten(1).unsqueeze(1).expand(-1, images.shape[1], -1)).view_as(images)


def warped(images: Tensor, *, mirror: Tensor, down: Tensor, right: Tensor, turn: Tensor, size: Tensor) -> Tensor:
    """Each image mirrored, scaled, turned round its centre and moved, in one interpolation; black moves in.

    turn: radians, counter-clockwise.   size: 2 makes everything twice as large.   down, right: pixels.
    """
    height, width = images.shape[2:]
    dtype, device = images.dtype, images.device
    across = torch.arange(width, dtype=dtype, device=device) - (width - 1) / 2 - right.unsqueeze(1)
    along = torch.arange(height, dtype=dtype, device=device) - (height - 1) / 2 - down.unsqueeze(1)
    across, along = across.unsqueeze(1), along.unsqueeze(2)
    cosine, sine = ((part / size).view(-1, 1, 1) for part in (turn.cos(), turn.sin()))
    x = (cosine * across - sine * along) * (1.0 - 2.0 * mirror.to(dtype)).view(-1, 1, 1)
    y = sine * across + cosine * along
    grid = torch.stack((x * (2.0 / width), y * (2.0 / height)), dim=3)
    return functional.grid_sample(images, grid, align_corners=False)


def relit(images: Tensor, *, brightness: Tensor, contrast: Tensor) -> Tensor:
    """Images times `brightness`, then distances from the image's mean grey times `contrast`; 1 and 1 change nothing.

    Not cut to 0 .. 1.
    """
    grey = brightness * _mean_grey(images)
    return images * _per_image(brightness * contrast) + _per_image(grey - contrast * grey)


def recoloured(images: Tensor, *, brightness: Tensor, contrast: Tensor, saturation: Tensor, turn: Tensor) -> Tensor:
    """As `relit`, then colours times `saturation` and turned round the grey axis by `turn` radians (in YIQ).

    images: three channels, red, green, blue. Greys stay greys, so that all of it is one matrix and one number an
    image. saturation 1 and turn 0 change nothing; saturation 0 is grey. Not cut to 0 .. 1.
    """
    cosine, sine = saturation * turn.cos(), saturation * turn.sin()
    same, none = torch.ones_like(turn), torch.zeros_like(turn)
    rows = ((same, none, none), (none, cosine, -sine), (none, sine, cosine))
    tint = torch.stack([torch.stack(row, 1) for row in rows], 1)
    tint = _TO_RGB.to(images) @ tint @ _TO_YIQ.to(images)
    grey = brightness * _mean_grey(images)
    factor, offset = brightness * contrast, grey - contrast * grey
    changed = torch.baddbmm(offset.view(-1, 1, 1), factor.view(-1, 1, 1) * tint, images.flatten(2))
    return changed.view_as(images)


def blurred(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of `sigma` pixels, cut off after BLUR_REACH pixels, borders repeated. sigma 0: no blur."""
    steps = torch.arange(-BLUR_REACH, BLUR_REACH + 1, dtype=images.dtype, device=images.device)
    weights = torch.exp(-0.5 * (steps / sigma.clamp(min=1e-2).unsqueeze(1)).square())
    taps = (weights / weights.sum(1, keepdim=True)).unbind(1)
    for axis in (2, 3):
        reach = (0, 0, BLUR_REACH, BLUR_REACH) if axis == 2 else (BLUR_REACH, BLUR_REACH, 0, 0)  # noqa: PLR2004
        padded = functional.pad(images, reach, mode="replicate")
        first, *others = (padded.narrow(axis, step, images.shape[axis]) for step in range(len(taps)))
        images = first * _per_image(taps[0])
        for tap, part in zip(taps[1:], others, strict=True):
            images = images.addcmul_(part, _per_image(tap))
    return images


def erased(images: Tensor, *, area: Tensor, ratio: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """Each image with a box set to 0.

    area: share of the image, 0 erases nothing.   ratio: height over width.   top, left: 0 .. 1, where the box lies
    between touching one border and touching the other.
    """
    height, width = images.shape[2:]
    tall = (area * ratio * height * width).sqrt().round().clamp(max=height)
    wide = (area / ratio * height * width).sqrt().round().clamp(max=width)
    box = _both(_span(height, tall, top, like=images), _span(width, wide, left, like=images))
    return images.masked_fill(box.unsqueeze(1), 0.0)


def _span(size: int, length: Tensor, place: Tensor, *, like: Tensor) -> Tensor:
    """Mask [b, size] of `length` places, the first at share `place` of where it can be."""
    start = (place * (size - length + 1)).floor().clamp(max=size - 1).unsqueeze(1)
    index = torch.arange(size, dtype=like.dtype, device=like.device)
    return (index >= start) & (index < start + length.unsqueeze(1))


def _both(rows: Tensor, columns: Tensor) -> Tensor:
    return rows.unsqueeze(2) & columns.unsqueeze(1)


def _mean_grey(images: Tensor) -> Tensor:
    """The mean of each image [b]: the luma of three channels, else of all channels alike."""
    channels = images.mean((2, 3))
    return channels @ images.new_tensor(_LUMA) if images.shape[1] == NUM_COLOURS else channels.mean(1)


def _per_image(amount: Tensor) -> Tensor:
    return amount.view(-1, 1, 1, 1)
