"""The layers of a model by kind, and how each is filled with its draw."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from torch import nn

from hpo_cli.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch import Tensor

    from hpo_cli.components.init.kinds import Kinds

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
WEIGHTED = (nn.Linear, *CONVOLUTIONS)
"""Layers that multiply by one weight and add one bias."""

_CUSTOMARY: Mapping[str, str] = MappingProxyType({"recurrent": "orthogonal", "embedding": "uniform"})
"""The draw of kinds that an initialisation for linear layers is not made for."""
_LAYERS: Mapping[str, str] = MappingProxyType(
    {
        "linear": "linear layer",
        "convolution": "convolution",
        "recurrent": "recurrent layer",
        "embedding": "embedding",
    }
)


@dataclass(frozen=True)
class Part:
    """What is drawn together: matrices of one kind, each drawn for itself, and what is zero beside them."""

    kind: str
    weights: tuple[Tensor, ...]
    zeros: tuple[Tensor, ...] = ()


def fill(model: nn.Module, *, own: str, draws: Mapping[str, Callable[..., None]], kinds: Kinds) -> None:
    """Draw the weights of every layer of `model`, each by the draw of its kind; biases become zero.

    own: name of the draw for kinds of which `kinds` says nothing. If it is `default` they stay as torch drew them,
    else matrices between hidden states are orthogonal and embeddings uniform.
    draws: name -> function of one weight.
    Raises ConfigError for unknown names, and for kinds of layers that the model does not have.
    """
    parts = [part for layer in model.modules() for part in _parts(layer)]
    for kind in _LAYERS:
        if getattr(kinds, kind) is not None:
            _check(kind, getattr(kinds, kind), known=draws, present={part.kind for part in parts})
    for part in parts:
        name = getattr(kinds, part.kind) or (own if own == "default" else _CUSTOMARY.get(part.kind, own))
        if name != "default":
            _draw(part, draws[name])
    if kinds.zero_residual:
        _silence_blocks(model)


def _draw(part: Part, draw: Callable[..., None]) -> None:
    for weight in part.weights:
        draw(weight)
    for zero in part.zeros:
        nn.init.zeros_(zero)


def _parts(layer: nn.Module) -> Iterator[Part]:
    if isinstance(layer, WEIGHTED):
        kind = "linear" if isinstance(layer, nn.Linear) else "convolution"
        yield Part(kind, (layer.weight,), () if layer.bias is None else (layer.bias,))
    elif isinstance(layer, (nn.Embedding, nn.EmbeddingBag)):
        padding = layer.padding_idx
        yield Part("embedding", (layer.weight,), () if padding is None else (layer.weight.detach()[padding],))
    elif isinstance(layer, (nn.RNNBase, nn.RNNCellBase)):
        yield from _recurrent_parts(layer)


def _recurrent_parts(layer: nn.RNNBase | nn.RNNCellBase) -> Iterator[Part]:
    """The matrices of each gate: torch stacks those of an LSTM or GRU on top of each other."""
    for name, stacked in layer.named_parameters(recurse=False):
        if name.startswith("bias"):
            yield Part("recurrent", (), (stacked,))
        elif name.startswith("weight_hr"):  # the projection of an LSTM's hidden state
            yield Part("linear", (stacked,))
        else:
            kind = "recurrent" if name.startswith("weight_hh") else "linear"
            yield Part(kind, stacked.detach().split(layer.hidden_size))


def _check(kind: str, name: str, *, known: Mapping[str, object], present: set[str]) -> None:
    if name not in known:
        rule = f"must be one of {', '.join(known)}"
        raise ConfigError(f"init.{kind}", name, rule=rule, fix=did_you_mean(name, known))
    if kind not in present:
        rule = f"the model has no {_LAYERS[kind]}"
        raise ConfigError(f"init.{kind}", name, rule=rule, fix=f"set init.{kind}=null")


def _silence_blocks(model: nn.Module) -> None:
    """Let each residual block begin as the identity: zero scale in the norms that are marked `closes_block`.

    Source: Goyal et al. 2017 (arXiv:1706.02677), section 5.1.
    """
    scales = [getattr(layer, "weight", None) for layer in model.modules() if getattr(layer, "closes_block", False)]
    found = [scale for scale in scales if isinstance(scale, nn.Parameter)]
    if not found:
        rule = "the model has no residual block that a norm with a scale closes"
        raise ConfigError("init.zero_residual", value=True, rule=rule, fix="set init.zero_residual=false")
    for scale in found:
        nn.init.zeros_(scale)
