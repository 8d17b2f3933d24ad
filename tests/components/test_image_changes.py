from __future__ import annotations

import math

import kornia
import pytest
import torch
from torch.nn import functional

from hpo_cli.components.image_changes import BLUR_REACH, blurred, erased, recoloured, relit, shifted, warped

NUM = 6


def images(channels: int = 3, height: int = 9, width: int = 13) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(NUM, channels, height, width, generator=generator, dtype=torch.float64)


def each(*values: float) -> torch.Tensor:
    return torch.tensor([values[i % len(values)] for i in range(NUM)], dtype=torch.float64)


NEVER, ALWAYS = torch.zeros(NUM, dtype=torch.bool), torch.ones(NUM, dtype=torch.bool)
STILL = {"down": each(0.0), "right": each(0.0)}
AS_IT_IS = {"mirror": NEVER, **STILL, "turn": each(0.0), "size": each(1.0)}


def test_a_mirror_image_is_torch_flip_to_the_bit() -> None:
    some = torch.arange(NUM) % 2 == 0
    out = shifted(images(), mirror=some, **STILL)
    assert torch.equal(out[some], images()[some].flip(3))
    assert torch.equal(out[~some], images()[~some])


def test_a_shift_moves_pixels_and_black_comes_in() -> None:
    x = images()
    out = shifted(x, mirror=NEVER, down=each(2.0, -1.0), right=each(-3.0, 4.0))
    assert torch.equal(out[0], functional.pad(x[0, :, :-2, 3:], (0, 3, 2, 0)))
    assert torch.equal(out[1], functional.pad(x[1, :, 1:, :-4], (4, 0, 0, 1)))
    far = shifted(x, mirror=ALWAYS, down=each(90.0), right=each(0.0))
    assert not far.any()


def test_a_warp_by_whole_pixels_is_the_shift() -> None:
    mirror = torch.arange(NUM) % 3 == 0
    moves = {"mirror": mirror, "down": each(2.0, 0.0, -1.0), "right": each(-3.0, 1.0)}
    wanted = shifted(images(), **moves)
    torch.testing.assert_close(warped(images(), **moves, turn=each(0.0), size=each(1.0)), wanted)
    torch.testing.assert_close(warped(images(), **AS_IT_IS), images())


def test_a_quarter_turn_is_torch_rot90() -> None:
    x = images(height=9, width=9)
    out = warped(x, **{**AS_IT_IS, "turn": each(math.pi / 2)})
    torch.testing.assert_close(out, x.rot90(1, (2, 3)))


@pytest.mark.parametrize("degrees", [10.0, -33.0, 120.0])
@pytest.mark.parametrize("size", [1.0, 1.3, 0.7])
def test_a_turn_and_zoom_are_kornias(degrees: float, size: float) -> None:
    x = images()
    center = torch.tensor([[(13 - 1) / 2, (9 - 1) / 2]], dtype=torch.float64).expand(NUM, 2)
    matrix = kornia.geometry.get_rotation_matrix2d(center, each(degrees), each(size).unsqueeze(1).expand(NUM, 2))
    wanted = kornia.geometry.warp_affine(x, matrix, (9, 13), align_corners=True)
    out = warped(x, **{**AS_IT_IS, "turn": each(math.radians(degrees)), "size": each(size)})
    inside = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    torch.testing.assert_close(out[inside], wanted[inside])


def test_light_is_kornias() -> None:
    x = 0.2 + 0.3 * images()
    brighter = relit(x, brightness=each(0.8, 1.3), contrast=each(1.0))
    torch.testing.assert_close(brighter, kornia.enhance.adjust_brightness_accumulative(x, each(0.8, 1.3)))
    contrasted = relit(x, brightness=each(1.0), contrast=each(0.7, 1.2))
    wanted = kornia.enhance.adjust_contrast_with_mean_subtraction(x, each(0.7, 1.2))
    torch.testing.assert_close(contrasted, wanted, atol=1e-3, rtol=0.0)  # kornia rounds its weights of grey
    assert torch.equal(relit(x, brightness=each(1.0), contrast=each(1.0)), x)


def test_light_of_one_channel_by_hand() -> None:
    x = images(channels=1)
    out = relit(x, brightness=each(0.5), contrast=each(0.2))
    mean = 0.5 * x.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(out, mean + 0.2 * (0.5 * x - mean))


def test_saturation_is_kornias() -> None:
    x = 0.2 + 0.3 * images()
    one = {"brightness": each(1.0), "contrast": each(1.0), "turn": each(0.0)}
    wanted = kornia.enhance.adjust_saturation_with_gray_subtraction(x, each(0.5, 1.4))
    torch.testing.assert_close(recoloured(x, **one, saturation=each(0.5, 1.4)), wanted, atol=1e-3, rtol=0.0)
    torch.testing.assert_close(recoloured(x, **one, saturation=each(1.0)), x)


def test_half_a_turn_of_colour_mirrors_colours_at_their_grey() -> None:
    x = images()
    grey = (x * torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64).view(1, 3, 1, 1)).sum(1, keepdim=True)
    one = {"brightness": each(1.0), "contrast": each(1.0), "saturation": each(1.0)}
    torch.testing.assert_close(recoloured(x, **one, turn=each(math.pi)), 2.0 * grey - x, atol=2e-3, rtol=0.0)
    thrice = x
    for _ in range(3):
        thrice = recoloured(thrice, **one, turn=each(2.0 * math.pi / 3.0))
    torch.testing.assert_close(thrice, x)


def test_colour_is_light_then_tint() -> None:
    x = images()
    light = {"brightness": each(0.8, 1.2), "contrast": each(1.5, 0.6)}
    one = {"brightness": each(1.0), "contrast": each(1.0)}
    tint = {"saturation": each(0.5, 1.5), "turn": each(0.3, -0.2)}
    torch.testing.assert_close(recoloured(x, **light, **tint), recoloured(relit(x, **light), **one, **tint))


@pytest.mark.parametrize("sigma", [0.3, 0.8, 1.5])
def test_blur_is_kornias(sigma: float) -> None:
    size = 2 * BLUR_REACH + 1
    sigmas = torch.full((NUM, 2), sigma, dtype=torch.float64)
    wanted = kornia.filters.gaussian_blur2d(images(), (size, size), sigmas, border_type="replicate")
    torch.testing.assert_close(blurred(images(), each(sigma)), wanted)


def test_blur_of_zero_changes_nothing_and_tiny_images_can_be_blurred() -> None:
    out = blurred(images(), each(0.0, 1.0))
    assert torch.equal(out[::2], images()[::2])
    assert not torch.equal(out[1::2], images()[1::2])
    assert blurred(images(height=1, width=2), each(1.0)).isfinite().all()


def test_the_erased_box_has_its_area_its_shape_and_its_place() -> None:
    x = torch.ones(NUM, 2, 20, 40, dtype=torch.float64)
    out = erased(x, area=each(0.25, 0.0), ratio=each(2.0), top=each(0.0), left=each(0.999))
    assert out[0, 0].eq(0.0).sum() == 20 * 10
    assert not out[0, :, :, 30:].any()
    assert out[0, :, :, :30].all()
    assert torch.equal(out[1], x[1])
    low = erased(x, area=each(0.25), ratio=each(0.5), top=each(0.999), left=each(0.0))
    assert low[0, 0].eq(0.0).nonzero().amin(0).tolist() == [10, 0]
    assert low[0, 0].eq(0.0).nonzero().amax(0).tolist() == [19, 19]
