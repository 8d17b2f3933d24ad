"""Where two states differ: the same bits, or the first places that do not have them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Any

import torch

VOLATILE = ("recorded_bytes", "line")
"""What a state says of the record, not of training."""


def differences(a: Any, b: Any, *, ignore: Collection[str] = VOLATILE, most: int = 5) -> list[str]:
    """The first `most` places where two states differ by a bit, with the largest difference; empty for equal ones.

    ignore: keys of the outermost mapping that do not count.
    """
    return list(islice(_differences(a, b, "", frozenset(ignore)), most))


def _differences(a: Any, b: Any, path: str, ignore: frozenset[str]) -> Iterator[str]:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        yield from _tensor_differences(a, b, path)
    elif isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in dict.fromkeys((*a, *b)):
            if key not in ignore:
                yield from _differences(a.get(key, _NONE), b.get(key, _NONE), _below(path, key), frozenset())
    elif isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        for index, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from _differences(one, other, _below(path, index), frozenset())
    elif type(a) is not type(b) or not (a == b or (a != a and b != b)):  # noqa: PLR0124 - NaN
        yield f"{path}: {_brief(a)} and {_brief(b)}"


def _tensor_differences(a: torch.Tensor, b: torch.Tensor, path: str) -> Iterator[str]:
    if a.dtype != b.dtype or a.shape != b.shape:
        yield f"{path}: {_brief(a)} and {_brief(b)}"
    elif not torch.equal(_bits(a), _bits(b)):
        wide = torch.complex128 if a.is_complex() else torch.float64
        apart = (a.detach().cpu().to(wide) - b.detach().cpu().to(wide)).abs()
        different = int((apart != 0).sum()) or 1  # the zeros -0.0 and 0.0 are no number apart
        yield f"{path}: {different} of {a.numel()} numbers differ, by at most {float(apart.max()):.3g}"


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


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
