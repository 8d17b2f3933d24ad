"""The layers of a network from its input to its output, as freezing and learning rates by layer count them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterator

Named = tuple[str, nn.Module]


def layer_groups(model: nn.Module) -> list[list[Named]]:
    """The modules with parameters, input first, as [(name, module), ...] a layer.

    Containers (`Sequential`, `ModuleList`) are opened, so that each block of theirs is a layer. A module whose
    parameters are all one-dimensional (a norm, a learnt slope) belongs to the layer before it.
    """
    groups: list[list[Named]] = []
    for name, module in _opened("", model):
        if groups and all(parameter.ndim <= 1 for parameter in module.parameters()):
            groups[-1].append((name, module))
        else:
            groups.append([(name, module)])
    return groups


def last_linear(model: nn.Module) -> nn.Linear | None:
    """The linear layer that comes last in the network, None when there is none."""
    found = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return found[-1] if found else None


def _opened(prefix: str, module: nn.Module) -> Iterator[Named]:
    for name, child in module.named_children():
        if not any(True for _ in child.parameters()):
            continue
        if isinstance(child, (nn.Sequential, nn.ModuleList)):
            yield from _opened(f"{prefix}{name}.", child)
        else:
            yield f"{prefix}{name}", child
