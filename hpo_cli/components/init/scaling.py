"""Layer-sequential unit variance: weights scaled by what training samples do in the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from hpo_cli.components.init.draws import DRAWS
from hpo_cli.components.init.kinds import Kinds, takes_kinds
from hpo_cli.components.init.layers import WEIGHTED, fill
from hpo_cli.errors import ConfigError


@takes_kinds
def lsuv(model: nn.Module, *, samples: Callable[[], Tensor], kinds: Kinds, num_samples: int = 512) -> None:
    """Orthogonal weights, scaled layer by layer until each linear layer and convolution gives variance 1.

    samples: gives the training inputs [n, ...]; `num_samples` of them, drawn at random, pass through once.
    The paper repeats the division until the variance is near 1; biases are zero here and outputs so proportional to the
    weights that one division is exact. A layer that is used twice is scaled by its first use.
    Source: Mishkin & Matas 2016 (arXiv:1511.06422), algorithm 1.
    Raises ConfigError for a layer that gives one number for all samples, which no scale mends.
    """
    fill(model, own="orthogonal", draws=DRAWS, kinds=kinds)
    every = samples()
    batch = every[torch.randperm(len(every))[:num_samples]]
    scaled: set[nn.Module] = set()

    def scale(layer: nn.Module, _inputs: Any, outputs: Tensor) -> Tensor:
        if layer in scaled:
            return outputs
        scaled.add(layer)
        return _with_unit_variance(layer, outputs, name=names[layer])

    names: dict[nn.Module, str] = {layer: name for name, layer in model.named_modules() if isinstance(layer, WEIGHTED)}
    handles = [layer.register_forward_hook(scale) for layer in names]
    try:
        with _measuring(model), torch.no_grad():
            model(batch)
    finally:
        for handle in handles:
            handle.remove()


def _with_unit_variance(layer: nn.Module, outputs: Tensor, *, name: str) -> Tensor:
    """Divide a layer's parameters by the deviation of its outputs; the outputs that it gives now."""
    deviation = outputs.std(correction=0)
    if not deviation > 0 or not deviation.isfinite():
        rule = f"layer {name} gives {'one number for' if deviation == 0 else 'no finite outputs on'} all samples"
        raise ConfigError("init", "lsuv", rule=rule, fix="choose another init")
    for parameter in layer.parameters(recurse=False):
        parameter.div_(deviation)
    return outputs / deviation


@contextmanager
def _measuring(model: nn.Module) -> Iterator[None]:
    """Norms by the statistics of the batch, dropout off; modes and running statistics come back afterwards."""
    modes = {module: module.training for module in model.modules()}
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    for module in modes:
        module.training = isinstance(module, _NormBase)
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
        for buffer, before in buffers:
            buffer.copy_(before)
