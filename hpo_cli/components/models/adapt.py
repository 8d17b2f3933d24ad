"""Fits the classifiers of other libraries to a run: its channels, its classes, its rates, the size of its images.

A network keeps its class and the names of its layers. Its own dropout layers take the rate of the run, whatever rate
its paper had; one that has none gets one in front of its last layer. Where its residual branches can be dropped, the
deepest takes the rate of the run and the others the share that the library gives them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from hpo_cli.components.dropout import Dropout, StochasticDepth
from hpo_cli.components.models.convolutions import shown
from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

COLOURS = 3
SIZES = (32, 64, 128, 192, 224, 240, 256, 288, 299, 320, 331, 336, 384, 448, 512)
"""Sizes among which a network's smallest is looked for: powers of two, and those that published ones insist on."""
BRANCH_RATES: Mapping[str, str] = {"StochasticDepth": "p", "DropPath": "drop_prob"}
"""Classes of torchvision and timm that drop a residual branch -> the attribute with their rate."""
_TOO_SMALL = (RuntimeError, AssertionError, ValueError, IndexError, ZeroDivisionError)


def set_dropout(net: nn.Module, rate: float, *, num_outputs: int) -> None:
    """Give the dropout layers of `net` the hot rate `rate`; without any, put one in front of its last layer."""
    own = [name for name, layer in net.named_modules() if type(layer) is nn.Dropout and layer.p]
    for name in own:
        net.set_submodule(name, Dropout(rate))
    for layer in net.modules():
        if isinstance(getattr(layer, "drop_rate", None), float):
            layer.drop_rate = 0.0  # type: ignore[assignment]  # of a functional dropout, which no nudge would reach
    if not own:
        name = last_layer(net, num_outputs)
        before_and_last = OrderedDict(dropout=Dropout(rate), head=net.get_submodule(name))
        net.set_submodule(name, nn.Sequential(before_and_last))


def set_stochastic_depth(net: nn.Module, rate: float, *, name: str) -> None:
    """Give the droppable branches of `net` the hot rate `rate`. Raises ConfigError for a rate where there are none."""
    rates = {
        path: float(getattr(layer, BRANCH_RATES[type(layer).__name__]))
        for path, layer in net.named_modules()
        if type(layer).__name__ in BRANCH_RATES
    }
    if rate and not any(rates.values()):
        rule = f"has nothing to drop in {name}"
        raise ConfigError("model.stochastic_depth", rate, rule=rule, fix="set regularization.stochastic_depth=0")
    for path, own in rates.items():
        net.set_submodule(path, StochasticDepth(rate, share=own / (max(rates.values()) or 1.0)))


def set_num_outputs(net: nn.Module, num_outputs: int, *, old: int) -> None:
    """Put a fresh last layer with `num_outputs` outputs in the place of one with `old` outputs."""
    name = last_layer(net, old)
    last: Any = net.get_submodule(name)
    if isinstance(last, nn.Linear):
        net.set_submodule(name, nn.Linear(last.in_features, num_outputs, bias=last.bias is not None))
    else:
        net.set_submodule(name, nn.Conv2d(last.in_channels, num_outputs, last.kernel_size))


def last_layer(net: nn.Module, num_outputs: int) -> str:
    """The name of the last linear layer or convolution with so many outputs."""
    found = [
        str(name)
        for name, layer in net.named_modules()
        if (isinstance(layer, nn.Linear) and layer.out_features == num_outputs)
        or (isinstance(layer, nn.Conv2d) and layer.out_channels == num_outputs)
    ]
    return found[-1]


def set_num_channels(net: nn.Module, num_channels: int) -> None:
    """Put a fresh first convolution for `num_channels` channels in the place of one for colours."""
    _replace_first(net, num_channels)


def fold_colours(net: nn.Module, num_channels: int) -> None:
    """The same, with weights that give for a grey image what the old ones gave: their mean, three over the channels."""
    weight = _replace_first(net, num_channels)
    new = _first_layer(net)[1].weight
    with torch.no_grad():
        new.copy_((weight.mean(1, keepdim=True) * COLOURS / num_channels).expand_as(new))
    if hasattr(net, "transform_input"):
        net.transform_input = False  # type: ignore[assignment]  # it is for three colours


def resize_inputs(net: nn.Module, size: int) -> None:
    """Scale what goes into `net` to `size` x `size`, on its own device; the network and its state stay as they are."""
    net.register_forward_pre_hook(Resize(size))


class Resize:
    """A forward hook: images [b, c, h, w] to [b, c, size, size], bilinear, smoothed first where they shrink."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, _net: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        """The images of a call in their new size."""
        (x,) = inputs
        shrinks = min(x.shape[-2:]) > self.size
        return nn.functional.interpolate(x, size=(self.size, self.size), mode="bilinear", antialias=shrinks)


def check_forward(net: nn.Module, input_shape: tuple[int, ...], num_outputs: int, *, name: str) -> None:
    """Send one sample through `net`, whose state stays as it is.

    Raises ConfigError where that fails, naming the smallest size of images that works, and for other outputs than
    one row of raw numbers.
    """
    outputs = _outputs(net, input_shape)
    if isinstance(outputs, Exception):
        raise _refusal(net, input_shape, outputs, name=name)
    found = tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
    if found != (1, num_outputs):
        rule = f"is no classifier: it gives {found} for one sample, not (1, {num_outputs})"
        raise ConfigError("model.name", name, rule=rule, fix="choose another name")


def _refusal(net: nn.Module, input_shape: tuple[int, ...], error: Exception, *, name: str) -> ConfigError:
    resized = next((hook.size for hook in net._forward_pre_hooks.values() if isinstance(hook, Resize)), None)  # noqa: SLF001
    net._forward_pre_hooks.clear()  # noqa: SLF001 - the sizes are those that the network itself sees
    key, value = ("model.name", name) if resized is None else ("model.resize", resized)
    size = smallest_size(net, input_shape[0])
    if size is None:
        line = str(error).partition("\n")[0]
        return ConfigError(key, value, rule=f"cannot take samples of {shown(input_shape)}: {line}")
    seen = f"samples here are {shown(input_shape)}" if resized is None else "does not fit"
    rule = f"{seen}, the smallest size of images for {name} is {size}x{size}"
    return ConfigError(key, value, rule=rule, fix=f"set model.resize={size}")


def smallest_size(net: nn.Module, num_channels: int) -> int | None:
    """The height and width of the smallest square images that `net` takes; None when it takes none up to 512."""
    works = next((i for i, size in enumerate(SIZES) if _takes(net, num_channels, size)), None)
    if works is None:
        return None
    low, high = (0, *SIZES)[works], SIZES[works]
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _takes(net, num_channels, middle) else (middle, high)
    return high


def _takes(net: nn.Module, num_channels: int, size: int) -> bool:
    return not isinstance(_outputs(net, (num_channels, size, size)), Exception)


@torch.no_grad()
def _outputs(net: nn.Module, input_shape: tuple[int, ...]) -> Any:
    """What one sample gives, or the error that it raises."""
    trains = net.training
    try:
        return net.eval()(torch.zeros(1, *input_shape))
    except _TOO_SMALL as error:
        return error
    finally:
        net.train(trains)


def _replace_first(net: nn.Module, num_channels: int) -> Tensor:
    """Exchange the first convolution; returns the weights that it had."""
    name, old = _first_layer(net)
    new = nn.Conv2d(
        num_channels,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]  # torch keeps pairs
        stride=old.stride,  # type: ignore[arg-type]
        padding=old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    if old.bias is not None and new.bias is not None:
        new.bias.data.copy_(old.bias.data)
    net.set_submodule(name, new)
    return old.weight.data


def _first_layer(net: nn.Module) -> tuple[str, nn.Conv2d]:
    return next((name, layer) for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d))
