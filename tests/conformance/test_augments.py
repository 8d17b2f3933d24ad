"""Every augmentation option keeps shape and type, follows the seed, changes each sample on its own, and can be off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.conformance.options import collect, collect_built, make, name_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hpo_cli.options import Option

OPTIONS = collect_built("augment")
every_augment = pytest.mark.parametrize("option", OPTIONS, ids=name_of)
every_shape = pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 12, 20), (1, 8, 8)], ids=str)
MEAN, SCALE = 0.4, 0.25


def build(option: Option, shape: tuple[int, ...], **given: Any) -> nn.Module:
    """The augmentation as a run builds it."""
    statistics = {"input_mean": (MEAN,) * shape[0], "input_scale": (SCALE,) * shape[0]}
    module: nn.Module = make(option, input_shape=shape, **statistics, **given)
    return module


def images(shape: tuple[int, ...], num: int = 64) -> Tensor:
    """Standardised images: a smooth pattern, the same in each, so that differences come from the augmentation."""
    ramp = torch.linspace(0.0, 3.0, shape[1]).sin().unsqueeze(1) * torch.linspace(0.5, 2.5, shape[2]).sin()
    tints = torch.linspace(0.6, 1.0, shape[0]).view(-1, 1, 1)
    return ((tints * ramp).expand(num, *shape) - MEAN) / SCALE


def test_options_are_collected() -> None:
    assert {option.name for option in OPTIONS} >= {"light", "standard", "strong"}
    assert {option.name for option in collect("augment")} - {option.name for option in OPTIONS} == {"none"}


@every_augment
@every_shape
@pytest.mark.parametrize("num", [1, 5])
def test_shape_and_type_are_kept(option: Option, shape: tuple[int, ...], num: int) -> None:
    for dtype in (torch.float32, torch.float64):
        x = images(shape, num).to(dtype)
        out = build(option, shape)(x)
        assert out.shape == x.shape
        assert out.dtype == dtype
        assert out.isfinite().all()


@every_augment
@every_shape
def test_the_seed_decides_and_the_input_stays(option: Option, shape: tuple[int, ...]) -> None:
    x, module = images(shape).clone(), build(option, shape)
    outs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outs.append(module(x))
    assert torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], outs[2])
    assert torch.equal(x, images(shape))


@every_augment
@every_shape
def test_each_sample_is_changed_on_its_own(option: Option, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    out = build(option, shape)(images(shape))
    assert len(torch.unique(out.flatten(1), dim=0)) == len(out)


@every_augment
@every_shape
def test_strength_zero_is_off_and_more_is_more(option: Option, shape: tuple[int, ...]) -> None:
    x, module = images(shape), build(option, shape)
    changes = []
    for strength in (0.0, 0.3, 1.0):
        module.strength = strength
        torch.manual_seed(0)
        changes.append((module(x) - x).abs().mean().item())
    assert changes[0] == 0.0
    assert changes[0] < changes[1] < changes[2]


@every_augment
@every_shape
def test_images_stay_images(option: Option, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    pixels = build(option, shape)(images(shape)) * SCALE + MEAN
    before = images(shape) * SCALE + MEAN
    assert pixels.min() >= -1e-6
    assert pixels.max() <= 1.0 + 1e-6
    assert (pixels.mean() - before.mean()).abs() < 0.15
    assert 0.5 < pixels.std() / before.std() < 2.0
