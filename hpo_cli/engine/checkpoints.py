"""Checkpoints on disk: plain types and tensors, replaced atomically, loaded with `weights_only=True`."""

from __future__ import annotations

import hashlib
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from hpo_cli.errors import UserError
from hpo_cli.record.atomic import replace_file

State = dict[str, Any]

_DAMAGE = (
    *(OSError, RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError, AssertionError, MemoryError),
    *(pickle.UnpicklingError, struct.error, zipfile.BadZipFile, zlib.error),
)
"""What zipfile, pickle and torch raise for bytes that are no checkpoint, or no longer one."""


def last_name(step: int) -> str:
    """File name of a checkpoint from which training goes on."""
    return f"step-{step:08d}.pt"


def best_name(step: int) -> str:
    """File name of the weights that had one of the best objectives."""
    return f"best-{step:08d}.pt"


def save(path: Path, state: State) -> None:
    """Write `state`, durable and whole or not at all."""
    with replace_file(path) as file:
        torch.save(state, file)


def load(path: Path, *, device: str | torch.device = "cpu") -> State:
    """Read a checkpoint without running any code from it. Raises UserError for a file that is missing or damaged."""
    try:
        _check_sums(path)
        state: State = torch.load(path, map_location=device, weights_only=True)
        if not isinstance(state, dict):
            raise TypeError(f"it holds a {type(state).__name__}")
    except _DAMAGE as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: no readable checkpoint ({line})") from error
    return state


def _check_sums(path: Path) -> None:
    """Compare each record with its CRC-32, which torch writes but never reads: it misses a flipped bit."""
    with zipfile.ZipFile(path) as file:
        if (record := file.testzip()) is not None:
            raise zipfile.BadZipFile(f"{record} is damaged")


def prune(folder: Path, *, prefix: str, keep: int) -> None:
    """Remove all but the newest `keep` files that start with `prefix`."""
    for path in sorted(folder.glob(f"{prefix}*.pt"))[: -keep or None]:
        path.unlink(missing_ok=True)


def snapshot(state: Any) -> Any:
    """A copy that later steps do not change, in host memory unless it is there already."""
    if isinstance(state, torch.Tensor):
        return state.detach().clone() if state.device.type == "cpu" else state.detach().cpu()
    if isinstance(state, dict):
        return {key: snapshot(value) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(snapshot(value) for value in state)
    return state


def weights_sha256(tensors: Iterable[tuple[str, torch.Tensor]]) -> str:
    """Hash over names, types, shapes and bytes of tensors; equal only for equal bits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors, key=lambda pair: pair[0]):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name}|{array.dtype}|{tuple(array.shape)}|".encode())
        digest.update(array.flatten().view(torch.uint8).numpy().tobytes() if array.ndim else str(array.item()).encode())
    return digest.hexdigest()
