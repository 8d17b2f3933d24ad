"""Where two states differ: the same bits, or the first places that do not have them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Any

import torch

VOLATILE = ("recorded_bytes", "line")
"""What a state says of the record, not of training."""


def differences(
    a: Any, b: Any, *, ignore: Collection[str] = VOLATILE, most: int = 5, names: tuple[str, str] = ("", "")
) -> list[str]:
    """The first `most` places where two states differ by a bit, with both values; empty for equal ones.

    ignore: keys of the outermost mapping that do not count.   names: what the two are called.
    """
    return list(islice(_differences(a, b, "", frozenset(ignore), names), most))


def _differences(a: Any, b: Any, path: str, ignore: frozenset[str], names: tuple[str, str]) -> Iterator[str]:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        yield from _tensor_differences(a, b, path, names)
    elif isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in dict.fromkeys((*a, *b)):
            if key not in ignore:
                yield from _differences(a.get(key, _NONE), b.get(key, _NONE), _below(path, key), frozenset(), names)
    elif isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        for index, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from _differences(one, other, _below(path, index), frozenset(), names)
    elif type(a) is not type(b) or not (a == b or (a != a and b != b)):  # noqa: PLR0124 - NaN
        yield f"{path}: {_both(_brief(a), _brief(b), names)}"


def _tensor_differences(a: torch.Tensor, b: torch.Tensor, path: str, names: tuple[str, str]) -> Iterator[str]:
    if a.dtype != b.dtype or a.shape != b.shape:
        yield f"{path}: {_both(_brief(a), _brief(b), names)}"
        return
    other = _other_bits(a, b)
    if not other.any():
        return
    index = int(other.nonzero()[0])
    where = [int(number) for number in torch.unravel_index(torch.tensor(index), a.shape)]
    one, another = (repr(tensor.detach().flatten()[index].item()) for tensor in (a, b))
    yield f"{path}: {int(other.sum())} of {a.numel()} numbers differ; at {where} {_both(one, another, names)}"


def _other_bits(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Which numbers have other bits, as a flat mask. The zeros 0.0 and -0.0 do; a NaN is the same NaN."""
    raw = [one.detach().cpu().contiguous().flatten().view(torch.uint8).view(one.numel(), -1) for one in (a, b)]
    return (raw[0] != raw[1]).any(dim=1)


def _both(a: str, b: str, names: tuple[str, str]) -> str:
    return f"{a} {names[0]}, {b} {names[1]}" if any(names) else f"{a} and {b}"


class _Absent:
    def __repr__(self) -> str:
        return "nothing"


_NONE = _Absent()


def _brief(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} of shape {list(value.shape)}"
    return f"{value!r:.80}"


def _below(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)
