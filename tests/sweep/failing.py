"""Parts of a run that go wrong on purpose. A sweep over their keys has trials that fail, each in its own way.

    hpo-run -m --config-dir tests/sweep/failing_options loss=failing loss.what=none,raise,nans,kill loss.at=5 \
        allow_targets=[tests.sweep.failing]

`words` gives the fixed ones. Of `loss=failing`, each key can be swept:
    what   none, raise, nans, hang, kill (SIGKILL of the own process), exit (code 3), memory (of the device),
           python_memory, leak (so many MB a step that nobody frees)
    at     the batch at which it happens, counted over all epochs and over a resume
    least_batch   only where the batches are at least so large: a setting that does not fit in memory
    once   a file: it happens only where that is missing, and makes it first: a machine that lets a run down once
    slow   seconds that each batch takes longer
Of `data=failing`: what (none, raise, hang, kill) while the data are read. Of `model=failing`: what (none, raise,
memory) while the network is built, from `width` units on.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import torch
from torch import nn

from hpo_cli.components.data.arrays import RawData
from hpo_cli.components.data.bundled import digits

OPTIONS = Path(__file__).with_name("failing_options")
MODULE = "tests.sweep.failing"
SMALL = (
    *("trainer=cpu", "trainer.threads=1", "data.subset=0.1", "model.width=8", "epochs=3", "batch_size=32"),
    *("checkpoint.every_steps=2", "optimizer.lr=0.01"),
)
"""126 digits: four batches an epoch, twelve in all."""
LEAKED: list[bytearray] = []
"""What `leak` leaves in its process."""


def words(*more: str) -> tuple[str, ...]:
    """A small run with a loss that can fail, and further words."""
    return ("--config-dir", str(OPTIONS), "loss=failing", f"allow_targets=[{MODULE}]", *SMALL, *more)


def go_wrong(what: str, *, leak_mb: float = 0.0) -> None:
    """Do it. `none` and `nans` are nothing that can be done here."""
    match what:
        case "raise":
            raise RuntimeError("went wrong on purpose")
        case "memory":
            raise torch.OutOfMemoryError("CUDA out of memory, on purpose")
        case "python_memory":
            raise MemoryError("on purpose")
        case "exit":
            raise SystemExit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            while True:
                time.sleep(0.05)
        case "leak":
            LEAKED.append(bytearray(os.urandom(1)) * int(leak_mb * 1e6))


class FailingLoss(nn.Module):
    """Cross entropy that counts its batches and goes wrong at one of them."""

    def __init__(
        self, *, what: str = "none", at: int = 5, least_batch: int = 0, once: str | None = None, slow: float = 0.0,
        leak_mb: float = 10.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.what, self.at, self.least_batch, self.once = what, at, least_batch, once
        self.slow, self.leak_mb = slow, leak_mb
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        loss = nn.functional.cross_entropy(outputs, targets)
        if not self.training:
            return loss
        time.sleep(self.slow)
        self.seen: torch.Tensor = self.seen + 1
        due = int(self.seen) >= self.at if self.what == "leak" else int(self.seen) == self.at
        if not due or len(targets) < self.least_batch or not self._is_first():
            return loss
        go_wrong(self.what, leak_mb=self.leak_mb)
        return loss * torch.nan if self.what == "nans" else loss

    def _is_first(self) -> bool:
        if self.once is None:
            return True
        try:
            Path(self.once).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def failing_data(*, what: str = "none") -> RawData:
    """The digits, if they can be had."""
    go_wrong(what)
    return digits()


def failing_model(
    *, input_shape: tuple[int, ...], num_outputs: int, what: str = "none", width: int = 8, least_width: int = 0
) -> nn.Module:
    """One hidden layer, if it can be built."""
    if width >= least_width:
        go_wrong(what)
    features = 1
    for size in input_shape:
        features *= size
    return nn.Sequential(nn.Flatten(), nn.Linear(features, width), nn.ReLU(), nn.Linear(width, num_outputs))
