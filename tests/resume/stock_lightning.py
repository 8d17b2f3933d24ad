"""The same proof asked of stock Lightning: a small network with dropout, a shuffled loader, checkpoints every 5 steps.

`main` trains it straight, then killed by SIGKILL and resumed from `fit(ckpt_path=...)`, and compares as we do.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from hpo_cli.engine.lightning import pl
from hpo_cli.engine.verify_attempt import adopting_orphans, attempt
from hpo_cli.engine.verify_compare import first_difference

KILLED_AT = 13  # of 24 steps, 8 an epoch


class Net(pl.LightningModule):
    def __init__(self, *, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3))

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.layers(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.01)


class Killer(pl.Callback):
    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        if trainer.global_step == KILLED_AT:
            os.kill(os.getpid(), signal.SIGKILL)


def _train(folder: Path, *, dropout: float, shuffle: bool, killer: bool = False) -> int:
    from pytorch_lightning.callbacks import ModelCheckpoint

    pl.seed_everything(0)
    generator = torch.Generator().manual_seed(1)
    data = TensorDataset(torch.randn(64, 8, generator=generator), torch.randint(3, (64,), generator=generator))
    saving = ModelCheckpoint(dirpath=folder, filename="{step}", every_n_train_steps=5, save_top_k=-1)
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=3, callbacks=[saving, *([Killer()] if killer else [])], logger=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
    )  # fmt: skip
    net = Net(dropout=dropout)
    saved = sorted(folder.glob("*.ckpt"), key=lambda path: path.stat().st_mtime)
    trainer.fit(net, DataLoader(data, batch_size=8, shuffle=shuffle), ckpt_path=str(saved[-1]) if saved else None)
    torch.save({"model": net.state_dict(), "optimizer": net.optimizers().optimizer.state_dict()}, folder / "end.pt")  # type: ignore[union-attr]
    return 0


def main(words: list[str]) -> int:
    """Print what differs first; exit code 1 when something does."""
    dropout, shuffle, kills = float(words[0]), words[1] == "shuffled", (True, False)
    if "unkilled" in words:
        kills = (False,)
    torch.set_num_threads(1)
    ends = []
    with adopting_orphans():
        for name, killers in (("straight", (False,)), ("killed", kills)):
            folder = Path(name)
            folder.mkdir()
            for killer in killers:
                ended = attempt(
                    lambda f=folder, k=killer: _train(f, dropout=dropout, shuffle=shuffle, killer=k),  # type: ignore[misc]
                    output=Path(f"{name}.out"),
                )
                assert ended.killed == killer, Path(f"{name}.out").read_text()
            ends.append(torch.load(folder / "end.pt", weights_only=True))
    found = next(iter(first_difference(*ends)), None)
    sys.stdout.write(f"{found or 'identical'}\n")
    return int(found is not None)
