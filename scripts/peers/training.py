"""The training that every peer does: what `hpo-run epochs=5` does, in ordinary Lightning code.

Runs in the peers' own environments, with nothing of the project. $BENCH_DATA: an npz with x_train, y_train, x_val,
y_val, split and standardised. $BENCH_RESULTS: a file that gets one line a training, `lr accuracy`. $BENCH_TRAINER:
`default`, Lightning as it comes, or `lean`, without its bar, its summary and its validation before the first step.
"""

from __future__ import annotations

import logging
import math
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

EPOCHS, BATCH = int(os.environ.get("BENCH_EPOCHS", "5")), 32
LEAN = {"enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
EXTRA = LEAN if os.environ.get("BENCH_TRAINER") == "lean" else {}


class Digits(pl.LightningModule):
    def __init__(self, lr: float, num_steps: int) -> None:
        super().__init__()
        self.lr, self.num_steps = lr, num_steps
        self.model = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
        )
        self.criterion = nn.CrossEntropyLoss()

    def training_step(self, batch: list[torch.Tensor]) -> torch.Tensor:
        loss = self.criterion(self.model(batch[0]), batch[1])
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: list[torch.Tensor]) -> None:
        logits = self.model(batch[0])
        self.log("val/loss", self.criterion(logits, batch[1]))
        self.log("val/accuracy", (logits.argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> dict:
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr, fused=True)
        cosine = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / self.num_steps))
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cosine, "interval": "step"}}


def train(lr: float, *, callbacks: tuple = ()) -> float:
    """The validation accuracy after the last epoch, with Lightning's own log of metrics and checkpoint."""
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    pl.seed_everything(0, verbose=False)
    data = {name: torch.from_numpy(array) for name, array in np.load(os.environ["BENCH_DATA"]).items()}
    loader = DataLoader(TensorDataset(data["x_train"], data["y_train"]), batch_size=BATCH, shuffle=True)
    check = DataLoader(TensorDataset(data["x_val"], data["y_val"]), batch_size=256)
    with tempfile.TemporaryDirectory() as folder:
        trainer = pl.Trainer(
            max_epochs=EPOCHS, accelerator="cpu", default_root_dir=folder, callbacks=list(callbacks), **EXTRA
        )
        trainer.fit(Digits(lr, EPOCHS * len(loader)), loader, check)
        accuracy = float(trainer.callback_metrics["val/accuracy"])
    with Path(os.environ["BENCH_RESULTS"]).open("a") as file:
        file.write(f"{lr} {accuracy}\n")
    return accuracy
