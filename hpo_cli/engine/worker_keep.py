"""What a worker keeps from one run to the next, and what it puts back so that no run sees another's traces."""

from __future__ import annotations

import copy
import gc
import json
import logging
import mmap
import os
import random
import secrets
import signal
import tempfile
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hpo_cli.components.data.arrays import Split, Splits
from hpo_cli.engine.assembly import load_splits
from hpo_cli.plan import DataPlan
from hpo_cli.record.jsonl import write_whole

KEPT_BYTES = 1 << 30
"""Data sets beyond this total are read again; the last one is always kept."""


class KeptSplits:
    """Gives a plan's data, read once for equal plans. What a run writes into them, it alone sees."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Master] = OrderedDict()

    def __call__(self, data: DataPlan, *, allow: tuple[str, ...] = ()) -> Splits:
        """See assembly.load_splits."""
        key = json.dumps([vars(data) | {"source": vars(data.source)}, list(allow)], default=repr, sort_keys=True)
        if key not in self._kept:
            self._kept[key] = _Master(load_splits(data, allow=allow))
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and sum(master.num_bytes for master in self._kept.values()) > KEPT_BYTES:
            self._kept.popitem(last=False)
        return self._kept[key].lent()


class _Master:
    """Splits in files without a name, in memory, that are lent as private mappings: copies are made by writing."""

    def __init__(self, splits: Splits) -> None:
        self._spec = splits.spec
        self._parts = [[_Shared(part.x), _Shared(part.y)] for part in (splits.train, splits.val, splits.test)]
        self.num_bytes = sum(array.num_bytes for pair in self._parts for array in pair)

    def lent(self) -> Splits:
        train, val, test = (Split(x.lent(), y.lent()) for x, y in self._parts)
        return Splits(train, val, test, copy.deepcopy(self._spec))


class _Shared:
    """One array, kept."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self._dtype, self._shape, self.num_bytes = array.dtype, array.shape, array.nbytes
        self._descriptor = _nameless()
        weakref.finalize(self, os.close, self._descriptor)
        if self.num_bytes:
            write_whole(self._descriptor, np.ascontiguousarray(array).tobytes())

    def lent(self) -> np.ndarray[Any, Any]:
        if not self.num_bytes:
            return np.empty(self._shape, self._dtype)
        view = mmap.mmap(self._descriptor, self.num_bytes, access=mmap.ACCESS_COPY)
        return np.frombuffer(view, self._dtype).reshape(self._shape)


def _nameless() -> int:
    """A descriptor of a file that nobody else can open."""
    made = getattr(os, "memfd_create", None)
    if made is not None:
        descriptor: int = made("splits")
        return descriptor
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def remember_entry_points() -> None:
    """Let Lightning look once, not for every trainer, for callbacks that packages have registered: 6 ms each."""
    from functools import cache

    from lightning_fabric.utilities import registry

    registry.entry_points = cache(registry.entry_points)  # type: ignore[assignment]


class Surface:
    """The state of a process that a run can change. `restore` puts it back as it was when this was made."""

    def __init__(self) -> None:
        self._restore: list[Callable[[], object]] = [
            _kept(torch.get_default_dtype, torch.set_default_dtype),
            _kept(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
            _kept(torch.is_grad_enabled, torch.set_grad_enabled),
            _kept(torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
            _kept(lambda: list(warnings.filters), _set_filters),
            _kept(lambda: dict(os.environ), _set_environment),
            _kept(Path.cwd, os.chdir),
            _kept(lambda: signal.getsignal(signal.SIGTERM), lambda handler: signal.signal(signal.SIGTERM, handler)),
            _kept(_logging_state, _set_logging),
            _kept(lambda: torch.backends.cudnn.benchmark, _set_benchmark),
        ]  # fmt: skip

    def restore(self) -> None:
        """Put everything back, and give the random generators seeds that no run has had."""
        for restore in self._restore:
            restore()
        torch.set_num_threads(1)
        torch.manual_seed(secrets.randbits(60))
        random.seed(secrets.randbits(60))
        np.random.seed(secrets.randbits(32))  # noqa: NPY002 - the generator that libraries share
        gc.collect()
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()


def resident_bytes() -> int:
    """Memory that this process has now; 0 where the system does not tell."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _kept(get: Callable[[], Any], put: Callable[[Any], object]) -> Callable[[], object]:
    value = get()
    return lambda: put(value)


def _set_filters(filters: list[Any]) -> None:
    if warnings.filters != filters:
        warnings.filters[:] = filters  # type: ignore[index]
        warnings._filters_mutated()  # type: ignore[attr-defined]  # noqa: SLF001 - as catch_warnings does it


def _set_environment(values: dict[str, str]) -> None:
    if dict(os.environ) != values:
        os.environ.clear()
        os.environ.update(values)


def _set_benchmark(value: bool) -> None:  # noqa: FBT001 - the library's attribute
    torch.backends.cudnn.benchmark = value


def _logging_state() -> tuple[list[logging.Handler], int]:
    root = logging.getLogger()
    return list(root.handlers), root.level


def _set_logging(state: tuple[list[logging.Handler], int]) -> None:
    root = logging.getLogger()
    handlers, level = state
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    if root.level != level:
        root.setLevel(level)
    logging.captureWarnings(False)  # noqa: FBT003 - the library's signature
