"""The layers of a network from its input to its output, as freezing and learning rates by layer count them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch.nn.parameter import Parameter

Named = tuple[str, "Parameter"]

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def layer_groups(model: nn.Module) -> list[list[Named]]:
    """The parameters, input first, as [(name, parameter), ...] a layer.

    Containers (`Sequential`, `ModuleList`, `ModuleDict`) are opened, so that each block of theirs is a layer, and so is
    what the network holds directly and has containers inside (an encoder). Parameters that an opened module holds
    itself (a class token) belong to the layer that follows. A module whose parameters are all one-dimensional (a norm,
    a learnt slope) belongs to the layer before it.
    """
    groups: list[list[Named]] = []
    waiting: list[Named] = []
    for found, is_layer in _pieces("", model, is_root=True):
        if not is_layer:
            waiting += found
        elif groups and not waiting and all(parameter.ndim <= 1 for _, parameter in found):
            groups[-1] += found
        else:
            groups.append(waiting + found)
            waiting = []
    if waiting:
        groups = [*groups[:-1], [*(groups[-1] if groups else []), *waiting]]
    return groups


def last_linear(model: nn.Module) -> nn.Linear | None:
    """The linear layer that comes last in the network, None when there is none."""
    found = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return found[-1] if found else None


def _pieces(prefix: str, module: nn.Module, *, is_root: bool) -> Iterator[tuple[list[Named], bool]]:
    """The parameters of each child, or of its children where it is opened; and whether they are a layer's."""
    own = [(f"{prefix}{name}", parameter) for name, parameter in module.named_parameters(recurse=False)]
    if own:
        yield own, not any(True for _ in module.children())
    for name, child in module.named_children():
        path = f"{prefix}{name}."
        opened = isinstance(child, CONTAINERS) or (
            is_root and any(isinstance(grandchild, CONTAINERS) for grandchild in child.children())
        )
        if opened:
            yield from _pieces(path, child, is_root=False)
        elif found := [(f"{path}{rest}", parameter) for rest, parameter in child.named_parameters()]:
            yield found, True
