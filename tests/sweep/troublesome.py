"""A model of a user's own that gets a worker into trouble, for the executor's tests."""

from __future__ import annotations

import os
import signal
import sys
import time

import torch
from torch import nn


class Troublesome(nn.Module):
    """A linear model that does something once it has been trained for `after` forward passes.

    trouble: none, raise, exit, kill, segfault, hang, print, memory, mutate (its input), defaults (of torch).
    """

    def __init__(
        self,
        *,
        input_shape: tuple[int, ...],
        num_outputs: int,
        trouble: str = "none",
        after: int = 3,
        seconds: float = 0,
    ) -> None:
        super().__init__()
        self.trouble, self.after, self.seconds, self.count = trouble, after, seconds, 0
        self.layer = nn.Sequential(nn.Flatten(), nn.LazyLinear(num_outputs))
        self.layer(torch.zeros(1, *input_shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += self.training
        if self.seconds:
            time.sleep(self.seconds)
        if self.count >= self.after:
            self._act(x)
        return self.layer(x)

    def _act(self, x: torch.Tensor) -> None:
        match self.trouble:
            case "raise":
                raise KeyError("a mistake of the user's\nin two lines")
            case "exit":
                os._exit(3)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                time.sleep(1000)
            case "print":
                print("printed", flush=True)  # noqa: T201
                print("complained", file=sys.stderr, flush=True)  # noqa: T201
                os.write(2, b"from below\n")
            case "memory":
                raise MemoryError
            case "mutate":
                x.mul_(1.5)
            case "defaults":
                torch.set_default_dtype(torch.float64)
                torch.set_float32_matmul_precision("medium")
                os.environ["HPO_TEST_LEFT"] = "1"
                os.chdir("/")
