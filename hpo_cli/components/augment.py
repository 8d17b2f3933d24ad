"""Augmentation: every sample of a batch is changed on its own, on the device, in a few tensor operations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from hpo_cli.components import image_changes as change
from hpo_cli.errors import ConfigError

DRAWS = (
    "flip", "down", "right", "rotate", "zoom", "brightness", "contrast", "saturation", "hue", "blur", "sigma",
    "erasing", "area", "ratio", "top", "left",
)  # fmt: skip
"""What is drawn for each sample, in this order, whichever keys are on: one more key leaves the others' draws alone."""
BLUR_SIGMA = (0.1, 1.0)
"""Pixels, uniform."""
ERASED_AREA = (0.02, 0.33)
"""Share of the image, uniform: Zhong et al. 2020 (arXiv:1708.04896)."""
ERASED_RATIO = 3.3
"""Height over width is between 1 / this and this."""
_IMAGE_DIMS = 3


class Augment(nn.Module):
    """Changes images at random: a flip, a shift, a turn, a zoom, light and colour, blur, an erased box.

    input_mean, input_scale: a number a channel; x * scale + mean is the image in 0 .. 1.
    Sizes are half-widths of uniform ranges: rotate in degrees, crop as a share of the side (by whole pixels), zoom
    as a logarithm of the size, hue as a share of the colour circle, brightness, contrast and saturation as changes
    of a factor of 1. flip, blur and erasing are probabilities. saturation None: as contrast on images of three
    channels. `strength` multiplies the sizes, and below 1 the probabilities; 0 changes nothing. All of them may
    change while training. Draws from torch's global generator of the samples' device.
    Raises ConfigError for samples that are no images, and for colour changes of images without three channels.
    """

    def __init__(  # noqa: PLR0913 - one argument a key
        self,
        *,
        input_shape: Sequence[int],
        input_mean: Sequence[float],
        input_scale: Sequence[float],
        strength: float = 1.0,
        flip: float = 0.0,
        crop: float = 0.0,
        rotate: float = 0.0,
        zoom: float = 0.0,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float | None = None,
        hue: float = 0.0,
        blur: float = 0.0,
        erasing: float = 0.0,
    ) -> None:
        super().__init__()
        _check(input_shape, {"saturation": saturation or 0.0, "hue": hue})
        self.strength, self.flip, self.crop, self.rotate, self.zoom = strength, flip, crop, rotate, zoom
        self.brightness, self.contrast, self.saturation, self.hue = brightness, contrast, saturation, hue
        self.blur, self.erasing = blur, erasing
        self._has_colours = input_shape[0] == change.NUM_COLOURS
        self.mean: Tensor
        self.scale: Tensor
        for name, values in (("mean", input_mean), ("scale", input_scale)):
            self.register_buffer(name, torch.tensor(tuple(values)).view(-1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The changed samples, same shape and type. x: standardised images [b, c, h, w]."""
        if not self.strength:
            return x
        draws = torch.rand(len(DRAWS), len(x), dtype=x.dtype, device=x.device).unbind()
        draw = dict(zip(DRAWS, draws, strict=True))
        mean, scale = self.mean.to(x.dtype), self.scale.to(x.dtype)
        images = self._moved(x * scale + mean, draw)
        images = self._coloured(images, draw)
        if self.blur:
            low, high = BLUR_SIGMA
            images = change.blurred(
                images, (low + (high - low) * draw["sigma"]) * self._happens(self.blur, draw["blur"])
            )
        return self._erased((images - mean) / scale, draw)

    def _moved(self, images: Tensor, draw: Mapping[str, Tensor]) -> Tensor:
        if not (self.flip or self.crop or self.rotate or self.zoom):
            return images
        height, width = images.shape[2:]
        mirror = draw["flip"] < self._chance(self.flip)
        down, right = (self._pixels(draw[way], side=side) for way, side in (("down", height), ("right", width)))
        if not (self.rotate or self.zoom):
            return change.shifted(images, mirror=mirror, down=down, right=right)
        turn = self._around_zero(self.rotate, draw["rotate"]) * (math.pi / 180.0)
        size = self._around_zero(self.zoom, draw["zoom"]).exp()
        return change.warped(images, mirror=mirror, down=down, right=right, turn=turn, size=size)

    def _coloured(self, images: Tensor, draw: Mapping[str, Tensor]) -> Tensor:
        of_saturation = self.contrast if self.saturation is None else self.saturation
        if not (self.brightness or self.contrast or of_saturation or self.hue):
            return images
        light = {"brightness": self._factor(self.brightness, draw["brightness"])}
        light["contrast"] = self._factor(self.contrast, draw["contrast"])
        if self._has_colours and (of_saturation or self.hue):
            saturation = self._factor(of_saturation, draw["saturation"])
            turn = 2.0 * math.pi * self._around_zero(self.hue, draw["hue"])
            return change.recoloured(images, **light, saturation=saturation, turn=turn).clamp_(0.0, 1.0)
        return change.relit(images, **light).clamp_(0.0, 1.0)

    def _erased(self, x: Tensor, draw: Mapping[str, Tensor]) -> Tensor:
        """After standardising, so that what is erased is the training mean and not black."""
        if not self.erasing:
            return x
        low, high = ERASED_AREA
        area = (low + (high - low) * draw["area"]) * self._happens(self.erasing, draw["erasing"])
        ratio = (_spread(draw["ratio"]) * math.log(ERASED_RATIO)).exp()
        return change.erased(x, area=area, ratio=ratio, top=draw["top"], left=draw["left"])

    def _chance(self, probability: float) -> float:
        return probability * min(self.strength, 1.0)

    def _happens(self, probability: float, draw: Tensor) -> Tensor:
        """1 for a sample that it happens to, else 0."""
        return (draw < self._chance(probability)).to(draw.dtype)

    def _around_zero(self, size: float, draw: Tensor) -> Tensor:
        return _spread(draw) * (size * self.strength)

    def _factor(self, size: float, draw: Tensor) -> Tensor:
        return (1.0 + self._around_zero(size, draw)).clamp(min=0.0)

    def _pixels(self, draw: Tensor, *, side: int) -> Tensor:
        """Whole pixels, each as likely as the others when the crop is a whole number of pixels of the side."""
        reach = self.crop * self.strength * side
        return (_spread(draw) * (reach + 0.5 if reach else 0.0)).round()


def _spread(draw: Tensor) -> Tensor:
    """0 .. 1 becomes -1 .. 1."""
    return 2.0 * draw - 1.0


def _check(input_shape: Sequence[int], colours: Mapping[str, float]) -> None:
    if len(input_shape) != _IMAGE_DIMS:
        kind = "signals" if len(input_shape) == 2 else "rows of a table or windows of a text"  # noqa: PLR2004 - [c, l]
        raise ConfigError("augment", rule=f"changes images, these samples are {kind}", fix="set augment=none")
    for key, amount in colours.items():
        if amount and input_shape[0] != change.NUM_COLOURS:
            rule = f"needs three channels, these images have {input_shape[0]}"
            raise ConfigError(f"augment.{key}", amount, rule=rule, fix=f"leave augment.{key} out")
