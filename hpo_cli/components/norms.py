"""Normalisation layers by name and by the number of position axes (0 features, 1 sequences, 2 images)."""

from __future__ import annotations

import pkgutil
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, cast

from hpo_cli.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

_INSTANCE = "hpo_cli.components.instance_norms.InstanceNorm"

NORMS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "batch": ("torch.nn.BatchNorm1d", "torch.nn.BatchNorm1d", "torch.nn.BatchNorm2d"),
        "layer": ("torch.nn.LayerNorm", "torch.nn.GroupNorm", "torch.nn.GroupNorm"),
        "group": ("torch.nn.GroupNorm", "torch.nn.GroupNorm", "torch.nn.GroupNorm"),
        "instance": ("", f"{_INSTANCE}1d", f"{_INSTANCE}2d"),
        "none": ("torch.nn.Identity", "torch.nn.Identity", "torch.nn.Identity"),
    }
)
"""Name -> torch class for 0, 1 and 2 position axes; empty where there is none."""


def norm(
    name: str, num_features: int, *, dims: Literal[0, 1, 2], groups: int = 8, positions: int | None = None
) -> nn.Module:
    """Make the normalisation of `num_features` features or channels, shape in = shape out.

    dims: axes after the channels: 0 for [b, features], 1 for [b, c, length], 2 for [b, c, h, w].
    positions: how many a sample has here, for models that know it before a sample passes; `instance` needs two.
    `batch` (Ioffe & Szegedy 2015) normalises each channel over the batch, `layer` (Ba et al. 2016) a sample,
    `group` (Wu & He 2018) each of a sample's `groups` groups of channels, `instance` (Ulyanov et al. 2016) each
    channel of a sample; all take in the positions, and all have a scale and a shift for each channel.
    Raises ConfigError for an unknown name, for groups that do not divide the channels, and for `instance` where a
    channel is a single number, whose normalised value is always zero.
    """
    if name not in NORMS:
        raise ConfigError("model.norm", name, rule=f"must be one of {', '.join(NORMS)}", fix=did_you_mean(name, NORMS))
    if name == "group":
        _check_groups(groups, num_features=num_features, dims=dims)
    if name == "instance":
        check_positions(1 if dims == 0 else positions or 2)
    target = NORMS[name][dims]
    arguments: Mapping[str, tuple[int, ...]] = {
        "torch.nn.GroupNorm": (1 if name == "layer" else groups, num_features),
        "torch.nn.Identity": (),
    }
    return cast("nn.Module", pkgutil.resolve_name(target)(*arguments.get(target, (num_features,))))


def bias_before(name: str) -> bool:
    """Tell whether a layer before the norm `name` needs a bias: batch and instance norm would subtract it."""
    return name not in ("batch", "instance")


def check_positions(positions: int) -> None:
    """Raise ConfigError when an instance norm would see one number a channel."""
    if positions == 1:
        rule = "needs several positions in each sample, a channel is a single number here"
        raise ConfigError("model.norm", "instance", rule=rule, fix="set model.norm=layer")


def _check_groups(groups: int, *, num_features: int, dims: int) -> None:
    fitting = [n for n in range(1, num_features + 1) if num_features % n == 0]
    if dims == 0:
        fitting = fitting[:-1]  # a group of one value has no variance: the layer would give zeros
    if groups not in fitting:
        choices = [n for n in fitting if n > 1] or fitting
        raise ConfigError(
            "model.norm_groups",
            groups,
            rule=f"must divide the {num_features} channels of the layer"
            + (" and leave at least two in a group" if dims == 0 else ""),
            fix=f"choose one of {', '.join(map(str, choices))}" if choices else "set model.norm=none",
        )
