from __future__ import annotations

from typing import Any

import pytest
import torch

from hpo_cli.components.augment import Augment
from hpo_cli.errors import ConfigError

MEAN, SCALE = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)


def augment(channels: int = 3, **keys: Any) -> Augment:
    shape = (channels, 16, 16)
    return Augment(input_shape=shape, input_mean=MEAN[:channels], input_scale=SCALE[:channels], **keys)


def standardised(pixels: torch.Tensor) -> torch.Tensor:
    channels = pixels.shape[1]
    return (pixels - torch.tensor(MEAN[:channels]).view(-1, 1, 1)) / torch.tensor(SCALE[:channels]).view(-1, 1, 1)


def pixels_of(x: torch.Tensor) -> torch.Tensor:
    channels = x.shape[1]
    return x * torch.tensor(SCALE[:channels]).view(-1, 1, 1) + torch.tensor(MEAN[:channels]).view(-1, 1, 1)


def some(num: int = 400, channels: int = 3) -> torch.Tensor:
    torch.manual_seed(0)
    return standardised(0.3 + 0.4 * torch.rand(num, channels, 16, 16))


def test_nothing_on_changes_nothing() -> None:
    torch.testing.assert_close(augment()(some()), some())
    assert augment(flip=1.0, erasing=1.0, strength=0.0)(x := some()) is x


def test_a_sure_flip_is_torch_flip_and_half_of_them_half() -> None:
    torch.testing.assert_close(augment(flip=1.0)(some()), some().flip(3))
    changed = (augment(flip=0.5)(some()) - some()).abs().amax((1, 2, 3)) > 1e-3
    assert 0.4 < changed.float().mean() < 0.6


def test_strength_above_one_leaves_probabilities_and_below_one_lowers_them() -> None:
    module, shares = augment(flip=0.5), []
    for strength in (0.2, 1.0, 4.0):
        module.strength = strength
        shares.append(((module(some()) - some()).abs().amax((1, 2, 3)) > 1e-3).float().mean().item())
    assert shares == [pytest.approx(0.1, abs=0.05), pytest.approx(0.5, abs=0.08), pytest.approx(0.5, abs=0.08)]


def test_crop_shifts_by_every_number_of_pixels_alike() -> None:
    """A white pixel in the middle lands on each of the (2 * 2 + 1)^2 places that 0.125 of 16 pixels allow."""
    pixels = torch.zeros(5000, 1, 16, 16)
    pixels[:, :, 8, 8] = 1.0
    out = pixels_of(augment(1, crop=0.125)(standardised(pixels)))
    where = out.squeeze(1).mean(0)
    assert where[6:11, 6:11].min() > 0.025
    assert where[6:11, 6:11].max() < 0.055
    assert where.sum() == pytest.approx(1.0, abs=1e-4)
    assert where[6:11, 6:11].sum() == pytest.approx(1.0, abs=1e-4)


def test_what_moves_in_is_black() -> None:
    out = pixels_of(augment(crop=0.25)(some()))
    assert out.min() == pytest.approx(0.0, abs=1e-6)
    inside = out[out > 1e-4]
    assert inside.min() >= 0.3 - 1e-5


@pytest.mark.parametrize("key", ["brightness", "contrast"])
def test_light_varies_round_what_it_was(key: str) -> None:
    out = pixels_of(augment(saturation=0.0, **{key: 0.3})(some()))
    before = pixels_of(some())
    ratio = (
        out.mean((1, 2, 3)) / before.mean((1, 2, 3))
        if key == "brightness"
        else out.std((1, 2, 3)) / before.std((1, 2, 3))
    )
    assert ratio.mean().item() == pytest.approx(1.0, abs=0.03)
    assert 0.69 < ratio.min() < 0.75
    assert 1.25 < ratio.max() < 1.31


def test_saturation_goes_with_contrast_unless_it_is_given() -> None:
    grey = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)

    def colourfulness(x: torch.Tensor) -> torch.Tensor:
        pixels = pixels_of(x)
        return (pixels - (pixels * grey).sum(1, keepdim=True)).std((1, 2, 3)) / pixels.mul(grey).sum(1).std((1, 2))

    before = colourfulness(some())
    assert (colourfulness(augment(contrast=0.2, saturation=0.0)(some())) / before).sub(1.0).abs().max() < 1e-3
    assert (colourfulness(augment(contrast=0.2)(some())) / before).sub(1.0).abs().max() > 0.15
    assert (colourfulness(augment(saturation=0.4)(some())) / before).sub(1.0).abs().max() > 0.3


def test_turning_a_key_on_leaves_the_draws_of_the_others_alone() -> None:
    torch.manual_seed(3)
    alone = augment(flip=0.5)(some())
    torch.manual_seed(0)
    both = augment(flip=0.5, erasing=0.5)(some())
    kept = both != 0.0
    torch.manual_seed(0)
    flipped = augment(flip=0.5)(some())
    assert torch.equal(both[kept], flipped[kept])
    assert (~kept).any()
    assert alone.shape == flipped.shape


def test_an_erased_box_is_the_training_mean() -> None:
    out = augment(erasing=1.0)(some())
    share = (out == 0.0).all(1).flatten(1).float().mean(1)
    assert 0.01 < share.min() < 0.05
    assert 0.25 < share.max() < 0.4


def test_blur_happens_as_often_as_asked_and_makes_smoother() -> None:
    out = augment(blur=0.3)(some())
    changed = (out - some()).abs().amax((1, 2, 3)) > 1e-2
    assert 0.15 < changed.float().mean() < 0.4
    assert out[changed].diff(dim=3).abs().mean() < 0.8 * some()[changed].diff(dim=3).abs().mean()


def test_a_turn_moves_the_corners_more_than_the_middle() -> None:
    ramp = torch.linspace(0.2, 0.8, 16).expand(1, 1, 16, 16).clone()
    out = pixels_of(augment(1, rotate=20.0)(standardised(ramp)))
    moved = (out - ramp).abs().squeeze()
    assert moved[0].mean() > 3.0 * moved[7].mean()


@pytest.mark.parametrize("shape", [(64,), (1, 40)])
def test_only_images_can_be_augmented(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="changes images, these samples are") as caught:
        Augment(input_shape=shape, input_mean=(0.0,), input_scale=(1.0,))
    assert "set augment=none" in str(caught.value)


@pytest.mark.parametrize("key", ["hue", "saturation"])
def test_colours_need_three_channels(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"augment\.{key}=0\.1: needs three channels, these images have 1"):
        augment(1, **{key: 0.1})
    assert augment(1, contrast=0.2)(some(4, 1)).shape == (4, 1, 16, 16)


def test_its_statistics_follow_the_device_and_are_no_state() -> None:
    module = augment(flip=0.5)
    assert module.state_dict() == {}
    assert {name for name, _ in module.named_buffers()} == {"mean", "scale"}
