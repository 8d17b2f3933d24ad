"""What a step costs: our engine with metrics, ledger and checkpoints on, and stock Lightning, over a bare loop.

All three train the same mlp 64-128-128-10 on digits, batch 32, one thread, the same optimizer with the same arguments
on the same data in memory. Each round times each of them once, in turn; the ratios are medians over rounds. Our column
includes validation, metrics and the run's files; the bare loop trains and does nothing else.

    python scripts/bench_step.py [--rounds 7] [--epochs 40]
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import logging
import os
import platform
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import torch
from torch import nn

from hpo_cli.compose import compose
from hpo_cli.engine.assembly import load_splits
from hpo_cli.engine.batches import epoch_order
from hpo_cli.engine.lightning import pl
from hpo_cli.engine.progress import SilentReporter
from hpo_cli.engine.run import run
from hpo_cli.engine.stop import StopFlag
from hpo_cli.engine.train import Training
from hpo_cli.plan import RunPlan
from hpo_cli.record.start import start_run
from hpo_cli.validate import plan_from_config

BATCH, OPTIMIZER = 32, {"lr": 1e-3, "fused": True}


def plan_for(epochs: int, outputs: str) -> RunPlan:
    words = ["schedule=constant", f"epochs={epochs}", f"outputs={outputs}", "trainer=cpu", "trainer.threads=1"]
    found = compose(words)
    return plan_from_config(found.job, choices=found.choices)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
    )


def bare(x: torch.Tensor, y: torch.Tensor, epochs: int) -> float:
    """Seconds a step of a loop that does only what training needs."""
    model, criterion = network(), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), **OPTIMIZER)
    steps, began = 0, time.perf_counter()
    for epoch in range(epochs):
        for rows in epoch_order(len(x), seed=0, epoch=epoch).split(BATCH):
            loss = criterion(model(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            steps += 1
    return (time.perf_counter() - began) / steps


def ours(plan: RunPlan) -> float:
    """Seconds a step from the first step to the result on disk."""
    training = Training(plan, reporter=_Clock(), stop=StopFlag())
    folder = start_run(plan, command=["bench"], overrides=[], hydra_files={})
    outcome = run(training, folder)
    return (time.perf_counter() - _Clock.began) / outcome.step


class _Clock(SilentReporter):
    """Starts when training does."""

    began = 0.0

    def started(self, _horizon: object) -> None:
        _Clock.began = time.perf_counter()


class Stock(pl.LightningModule):
    """The same training as Lightning's documentation has it."""

    def __init__(self) -> None:
        super().__init__()
        self.model, self.criterion = network(), nn.CrossEntropyLoss()

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        loss = self.criterion(self.model(batch[0]), batch[1])
        self.log("train/loss", loss)
        return loss

    def on_train_start(self) -> None:
        self.began = time.perf_counter()

    def on_train_end(self) -> None:
        self.seconds = time.perf_counter() - self.began

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), **OPTIMIZER)


def stock(x: torch.Tensor, y: torch.Tensor, epochs: int, folder: str) -> float:
    """Seconds a step of Lightning with its defaults."""
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=BATCH, shuffle=True)
    module = Stock()
    with Path(os.devnull).open("w") as null, contextlib.redirect_stdout(null):
        pl.Trainer(max_epochs=epochs, default_root_dir=folder, accelerator="cpu").fit(module, loader)
    return module.seconds / module.global_step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=40)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    times: dict[str, list[float]] = {"bare loop": [], "hpo-run": [], "stock Lightning": []}
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_for(args.epochs, folder)
        torch.set_num_threads(1)
        train = load_splits(plan.data).train
        x, y = torch.from_numpy(train.x), torch.from_numpy(train.y)
        for _ in range(args.rounds):
            times["bare loop"].append(bare(x, y, args.epochs))
            times["hpo-run"].append(ours(plan))
            times["stock Lightning"].append(stock(x, y, max(1, args.epochs // 8), folder))
    today = dt.datetime.now(tz=dt.UTC).date()
    print(f"{today}  {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}")
    print(f"{args.rounds} rounds of {args.epochs} epochs, one thread, medians\n")
    print(f"{'':18}{'us a step':>10}{'over bare':>11}")
    for name, found in times.items():
        ratios = [one / base for one, base in zip(found, times["bare loop"], strict=True)]
        print(f"{name:18}{1e6 * statistics.median(found):10.0f}{statistics.median(ratios):11.2f}")


if __name__ == "__main__":
    main()
