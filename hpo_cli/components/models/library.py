"""Image classifiers by name from torchvision and timm, with the channels and classes of the data."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpo_cli.components.models.adapt import (
    COLOURS,
    check_forward,
    fold_colours,
    resize_inputs,
    set_dropout,
    set_num_channels,
    set_num_outputs,
    set_stochastic_depth,
)
from hpo_cli.components.models.convolutions import shown, with_fast_memory
from hpo_cli.components.torchvision_ops import import_vision
from hpo_cli.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from torch import nn

IMAGE_AXES = 3
IMAGENET_CLASSES = 1000
_WITHOUT_AUXILIARIES: Mapping[str, Mapping[str, Any]] = {
    "googlenet": {"aux_logits": False},
    "inception_v3": {"aux_logits": False},
}
"""Keys of models that would give the outputs of auxiliary classifiers beside their own while training."""
_DRAWN: Mapping[str, Mapping[str, Any]] = {"googlenet": {"init_weights": True}, "inception_v3": {"init_weights": True}}
"""Keys of models that want to be told that weights which are not loaded must be drawn."""
_SHOWING = {"drop_rate": 0.5, "drop_path_rate": 0.5}
"""Rates at which timm's models have all of their dropout layers: at 0 they leave some out."""


@dataclass(frozen=True)
class Wanted:
    """What a run asks of a model of a library: its own shapes and the config keys."""

    input_shape: tuple[int, ...]
    num_outputs: int
    name: str
    pretrained: bool
    resize: int | None
    dropout: float
    stochastic_depth: float


def torchvision_model(
    *,
    input_shape: tuple[int, ...],
    num_outputs: int,
    name: str = "resnet18",
    pretrained: bool = False,
    resize: int | None = None,
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
) -> nn.Module:
    """The classifier `name` of `torchvision.models`: images [b, *input_shape] to raw outputs [b, num_outputs].

    pretrained: the library's default weights, fetched into torch's cache; first and last layer are fitted to the data.
    resize: height and width to which images are scaled first.   dropout, stochastic_depth: see `adapt`.
    Raises ConfigError for unknown names, other data, images that are too small and weights that cannot be fetched.
    """
    wanted = Wanted(input_shape, num_outputs, name, pretrained, resize, dropout, stochastic_depth)
    _check_images(input_shape, option="torchvision")
    models = import_vision("torchvision.models", key="model", value="torchvision")
    _check_name(name, known=models.list_models(module=models), others=models.list_models())
    return _finished(_pretrained(models, wanted) if pretrained else _drawn(models, wanted), wanted)


def timm_model(
    *,
    input_shape: tuple[int, ...],
    num_outputs: int,
    name: str = "seresnet18",
    pretrained: bool = False,
    resize: int | None = None,
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
) -> nn.Module:
    """The model `name` of timm's registry, `resnet18` or `resnet18.a1_in1k`, otherwise as `torchvision_model`."""
    wanted = Wanted(input_shape, num_outputs, name, pretrained, resize, dropout, stochastic_depth)
    _check_images(input_shape, option="timm")
    timm = import_vision("timm", key="model", value="timm")
    _check_name(name, known=timm.list_pretrained() if "." in name else timm.list_models())
    if pretrained and not timm.is_model_pretrained(name):
        near = did_you_mean(name, sorted({tagged.partition(".")[0] for tagged in timm.list_pretrained()}))
        fix = f"set model.pretrained=false{', ' if near else ''}{near}"
        raise ConfigError("model.pretrained", True, rule=f"{name} has no weights to fetch", fix=fix)  # noqa: FBT003
    with _fetching(wanted):
        net = _from_timm(timm, wanted)
    return _finished(net, wanted)


def _pretrained(models: Any, wanted: Wanted) -> nn.Module:
    with _fetching(wanted):
        net: nn.Module = models.get_model(wanted.name, weights="DEFAULT", **_WITHOUT_AUXILIARIES.get(wanted.name, {}))
    set_num_outputs(net, wanted.num_outputs, old=IMAGENET_CLASSES)
    if wanted.input_shape[0] != COLOURS:
        fold_colours(net, wanted.input_shape[0])
    return net


def _drawn(models: Any, wanted: Wanted) -> nn.Module:
    extra = {**_WITHOUT_AUXILIARIES.get(wanted.name, {}), **_DRAWN.get(wanted.name, {})}
    net: nn.Module = models.get_model(wanted.name, weights=None, num_classes=wanted.num_outputs, **extra)
    if wanted.input_shape[0] != COLOURS:
        set_num_channels(net, wanted.input_shape[0])
    return net


def _from_timm(timm: Any, wanted: Wanted) -> nn.Module:
    keys = {
        "pretrained": wanted.pretrained,
        "in_chans": wanted.input_shape[0],
        "num_classes": wanted.num_outputs,
        "drop_rate": _SHOWING["drop_rate"],
    }
    try:
        net: nn.Module = timm.create_model(wanted.name, **keys, drop_path_rate=_SHOWING["drop_path_rate"])
    except TypeError:  # a model without residual branches does not know the key
        net = timm.create_model(wanted.name, **keys)
    return net


def _finished(net: nn.Module, wanted: Wanted) -> nn.Module:
    set_stochastic_depth(net, wanted.stochastic_depth, name=wanted.name)
    set_dropout(net, wanted.dropout, num_outputs=wanted.num_outputs)
    if wanted.resize is not None:
        resize_inputs(net, wanted.resize)
    check_forward(net, wanted.input_shape, wanted.num_outputs, name=wanted.name)
    with_fast_memory(net)
    return net


@contextlib.contextmanager
def _fetching(wanted: Wanted) -> Iterator[None]:
    """Weights that cannot be had are a line for the user; what goes wrong without any is not caught."""
    try:
        yield
    except Exception as error:
        if not wanted.pretrained:
            raise
        line = str(error).partition("\n")[0]
        rule = f"the weights of {wanted.name} could not be fetched ({line})"
        fix = "set model.pretrained=false, or try where the network is reachable"
        raise ConfigError("model.pretrained", True, rule=rule, fix=fix) from error  # noqa: FBT003


def _check_images(input_shape: tuple[int, ...], *, option: str) -> None:
    if len(input_shape) != IMAGE_AXES:
        rule = f"needs images [c, h, w], samples here are {shown(input_shape)}"
        raise ConfigError("model", option, rule=rule, fix="set model=mlp")


def _check_name(name: str, *, known: Collection[str], others: Collection[str] = ()) -> None:
    """Registry names alone: an address or a path in a stranger's config must not fetch or load anything."""
    if name in known:
        return
    if any(mark in name for mark in ":/\\"):
        raise ConfigError("model.name", name, rule="must be a name of the library's own list, no address or path")
    if name in others:
        raise ConfigError("model.name", name, rule="is no image classifier", fix=did_you_mean(name, known))
    fix = did_you_mean(name, known) or f"choose one of its {len(known)}, such as {', '.join(sorted(known)[:3])}"
    raise ConfigError("model.name", name, rule="is not in the library", fix=fix)
