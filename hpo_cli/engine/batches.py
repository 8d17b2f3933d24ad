"""Where training batches come from: tensors on the device, or a DataLoader with workers. Both give the same batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from hpo_cli.components.data.arrays import Split
from hpo_cli.components.data.streams import stream_order
from hpo_cli.engine.randomness import epoch_order
from hpo_cli.plan import RunPlan

Pair = tuple[torch.Tensor, torch.Tensor]

GATHER_BYTES = 4 << 20
"""Samples are copied into epoch order in pieces of at most this size; a batch is then a view."""


@dataclass(frozen=True)
class Shard:
    """Which rows of each batch this process computes: `rank`, `rank + world`, ..."""

    rank: int = 0
    world: int = 1

    @property
    def is_several(self) -> bool:
        """Whether there are other processes."""
        return self.world > 1

    def count(self, size: int) -> int:
        """How many rows of a batch of `size` are this process's."""
        return len(range(self.rank, size, self.world))

    def rows(self, size: int) -> slice:
        """Those rows; a process without any computes the first one, with weight 0, to stay in step with the others."""
        return slice(self.rank, None, self.world) if self.rank < size else slice(0, 1)


class Order(Protocol):
    """In which order an epoch visits the samples."""

    def __call__(self, num_samples: int, *, epoch: int, batch_size: int) -> torch.Tensor:
        """int64 indices on the CPU, each sample once; the same for equal arguments."""


def shuffled(seed: int) -> Order:
    """Another random order each epoch, a function of the seed."""
    return lambda num_samples, *, epoch, batch_size: epoch_order(num_samples, seed=seed, epoch=epoch)  # noqa: ARG005


def streamed() -> Order:
    """A text's own order, read in as many places at once as a batch has samples."""
    return lambda num_samples, *, epoch, batch_size: torch.from_numpy(  # noqa: ARG005
        stream_order(num_samples, batch_size=batch_size)
    )


def order_of(plan: RunPlan, *, carries: bool) -> Order:
    """A text's own order for a model that carries its hidden state on, else a random one."""
    return streamed() if carries else shuffled(plan.seed)


class BatchSource(Protocol):
    """A training split that can be walked from any place."""

    num_samples: int

    def batches(self, epoch: int, *, start: int, batch_size: int) -> Iterator[Pair]:
        """This process's share (x, y) of each batch of the epoch from sample `start` on, on the device."""


class DeviceBatches:
    """The whole split on the device."""

    def __init__(self, split: Pair, *, order: Order, shard: Shard) -> None:
        self._x, self._y = split
        self._order, self._shard = order, shard
        self.num_samples = len(self._x)

    def batches(self, epoch: int, *, start: int, batch_size: int) -> Iterator[Pair]:
        """See BatchSource."""
        order = self._order(self.num_samples, epoch=epoch, batch_size=batch_size)[start:].to(self._x.device)
        sample_bytes = max(1, self._x[0].numel() * self._x.element_size())
        rows = max(1, GATHER_BYTES // sample_bytes // batch_size) * batch_size
        for piece in order.split(rows):
            xs = self._x.index_select(0, piece).split(batch_size)
            ys = self._y.index_select(0, piece).split(batch_size)
            yield from zip(xs, ys, strict=True) if self._shard.world == 1 else self._shared(xs, ys)

    def _shared(self, xs: Sequence[torch.Tensor], ys: Sequence[torch.Tensor]) -> Iterator[Pair]:
        for x, y in zip(xs, ys, strict=True):
            rows = self._shard.rows(len(x))
            yield x[rows], y[rows]


class WorkerBatches:
    """The split stays in host memory; worker processes gather the batches ahead of the device."""

    def __init__(self, split: Pair, *, order: Order, shard: Shard, device: torch.device, num_workers: int) -> None:
        self._order, self._shard, self._device = order, shard, device
        self.num_samples = len(split[0])
        self._pieces = _Pieces()
        self._loader = DataLoader(
            _Rows(*split),
            sampler=self._pieces,
            batch_size=None,
            num_workers=num_workers,
            pin_memory=device.type == "cuda",
            persistent_workers=num_workers > 0,
            generator=torch.Generator(),
        )

    def batches(self, epoch: int, *, start: int, batch_size: int) -> Iterator[Pair]:
        """See BatchSource."""
        order = self._order(self.num_samples, epoch=epoch, batch_size=batch_size)[start:]
        self._pieces.batches = [batch[self._shard.rows(len(batch))] for batch in order.split(batch_size)]
        for x, y in self._loader:
            yield x.to(self._device, non_blocking=True), y.to(self._device, non_blocking=True)


class _Rows(Dataset[Pair]):
    def __init__(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self._x, self._y = x, y

    def __getitem__(self, rows: torch.Tensor) -> Pair:
        return self._x.index_select(0, rows), self._y.index_select(0, rows)

    def __len__(self) -> int:
        return len(self._x)


class _Pieces(Sampler[torch.Tensor]):
    """The index batches of the epoch at hand."""

    def __init__(self) -> None:
        self.batches: list[torch.Tensor] = []

    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def dtype_of(plan: RunPlan) -> torch.dtype:
    """The type of samples and weights: float64 under `trainer.precision=64-true`, else float32."""
    return torch.float64 if plan.trainer.precision == "64-true" else torch.float32


def tensors(split: Split, *, device: torch.device, dtype: torch.dtype) -> Pair:
    """A split's arrays as tensors on `device`; numbers in `dtype`, classes and tokens as they are."""
    x, y = torch.from_numpy(split.x), torch.from_numpy(split.y)
    x, y = (t.to(device, dtype) if t.is_floating_point() else t.to(device) for t in (x, y))
    return x, y


def source(
    split: Split,
    *,
    order: Order,
    shard: Shard,
    device: torch.device,
    dtype: torch.dtype,
    placement: str,
    num_workers: int,
) -> BatchSource:
    """The batch source for `data.placement`: device, workers, or auto (device when the split fits)."""
    if placement == "device" or (placement == "auto" and _fits(split, device)):
        return DeviceBatches(tensors(split, device=device, dtype=dtype), order=order, shard=shard)
    host = tensors(split, device=torch.device("cpu"), dtype=dtype)
    return WorkerBatches(host, order=order, shard=shard, device=device, num_workers=num_workers)


def _fits(split: Split, device: torch.device) -> bool:
    """On the CPU the arrays are in memory already; a GPU gives at most a third of its free memory to training data."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return split.x.nbytes + split.y.nbytes <= free // 3
