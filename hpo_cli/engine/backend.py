"""How a step's arithmetic is done: plain, in mixed precision, or shared by several processes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist

from hpo_cli.engine.batches import Shard


@dataclass
class Backend:
    """The machine side of a step.

    autocast: context of the forward pass, None for plain precision.   scaler: gradient scaler of float16.
    backward: runs the backward pass where a strategy must see it (ddp), None for `loss.backward()`.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    shard: Shard = field(default_factory=Shard)
    autocast: Callable[[], AbstractContextManager[Any]] | None = None
    scaler: Any = None
    backward: Callable[[torch.Tensor], None] | None = None

    def forward_context(self) -> AbstractContextManager[Any]:
        """The context in which outputs and loss are computed."""
        return self.autocast() if self.autocast else contextlib.nullcontext()

    def sum_over_processes(self, values: torch.Tensor) -> torch.Tensor:
        """Elementwise sum of `values` over all processes of this run, in place."""
        if self.shard.world > 1:
            dist.all_reduce(values)
        return values

    def share_buffers(self, model: torch.nn.Module) -> None:
        """Give every process the running statistics of the first."""
        self.share(model.buffers())

    def share(self, tensors: Iterable[torch.Tensor]) -> None:
        """Give every process the first one's values, in place."""
        if self.shard.world > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def gathered(self, value: Any) -> Any:
        """`value` itself, or with several processes the list of what each of them has, by rank, in all of them."""
        if self.shard.world == 1:
            return value
        found: list[Any] = [None] * self.shard.world
        dist.all_gather_object(found, value)
        return found

    def told(self, value: Any) -> Any:
        """What the first process says."""
        if self.shard.world == 1:
            return value
        said = [value]
        dist.broadcast_object_list(said, src=0)
        return said[0]

    def any_process(self, value: int) -> int:
        """The largest `value` of all processes."""
        if self.shard.world == 1:
            return value
        shared = torch.tensor([value], device=self.device)
        dist.all_reduce(shared, op=dist.ReduceOp.MAX)
        return int(shared.item())
