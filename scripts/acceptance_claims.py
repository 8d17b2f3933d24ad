"""What the literature promises of the catalogue, as comparisons between runs of the console script."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from trigram_baseline import perplexity

from hpo_cli.components.data.arrays import Split
from hpo_cli.engine.assembly import load_splits
from hpo_cli.plan import plan_from_dict

Figures = Mapping[str, list[float]]
EACH = "{pretrained}"
"""Stands for the folder of the run that the claim trains first, with the same seed."""


@dataclass(frozen=True)
class Trained:
    """A run that ended, and what it says of itself."""

    folder: Path
    result: dict[str, Any]


@dataclass(frozen=True)
class Claim:
    """A comparison. runs: {name: words}; shared: words of all of them; first: words of a run that they start from."""

    about: str
    metric: str
    rule: str
    runs: Mapping[str, tuple[str, ...]]
    holds: Callable[[Figures, float | None], bool]
    shared: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    compared_with: Callable[[str], float] | None = None
    compared_about: str = ""

    def words_of(self, name: str, seed: int, folder: str) -> tuple[str, ...]:
        """The words of a run, with the run before it trained where one is asked for."""
        words = (*self.shared, *self.runs[name])
        if not any(EACH in word for word in words):
            return words
        pretrained = train((*self.first, "name=first"), seed, folder).folder
        return tuple(word.replace(EACH, str(pretrained)) for word in words)


def train(words: tuple[str, ...], seed: int, folder: str) -> Trained:
    """One run of the console script. A run that fails has the metrics that it had by then."""
    command = [str(Path(sys.executable).with_name("hpo-run")), *words, f"seed={seed}", f"outputs={folder}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    newest = max(Path(folder).glob("*/*/result.json"), key=lambda path: path.stat().st_mtime_ns)
    return Trained(newest.parent, json.loads(newest.read_text()))


def trigram(folder: str) -> float:
    """The perplexity of the trigram baseline on the text and the split of the runs in `folder`."""
    newest = max(Path(folder).glob("*/*/plan.yaml"), key=lambda path: path.stat().st_mtime_ns)
    splits = load_splits(plan_from_dict(yaml.safe_load(newest.read_text())).data)
    return perplexity(tokens_of(splits.train), tokens_of(splits.val), splits.spec.num_tokens)


def tokens_of(part: Split) -> np.ndarray:
    """The text of a part: its first token, and those that follow each one."""
    return np.concatenate((part.x[:1, 0], part.y.reshape(-1)))


def below(figures: Figures, low: str, high: str) -> bool:
    """Whether each seed of `low` is below the same seed of `high`."""
    return all(a < b for a, b in zip(figures[low], figures[high], strict=True))


RESNET = (
    *("model=resnet", "model.channels=8", "data=mnist1d", "lr=0.003", "batch_size=100", "init=he_normal"),
    *("epochs=10", "trainer.threads=1"),
)
DEEP = ("model.depth=30", "optimizer=sgd", "lr=0.05")
NORMS = ("model=cnn", "model.depth=3", "optimizer=momentum", "epochs=8", "batch.scale_lr=linear", "trainer.threads=1")
FEW = (
    *("model=cnn", "model.channels=32", "data=mnist1d", "data.num_samples=10000", "data.classes=[5,6,7,8,9]"),
    *("data.subset=0.01", "batch_size=16", "epochs=60", "lr=0.003", "trainer.threads=1"),
)
HALF = (
    *("model=cnn", "model.channels=32", "data=mnist1d", "data.num_samples=10000", "data.classes=[0,1,2,3,4]"),
    *("regularization.dropout=0.2", "epochs=15", "trainer.threads=1"),
)

CLAIMS = (
    Claim(
        about="Depth without shortcuts hurts training itself (He et al. 2016)",
        metric="train/loss",
        rule="for each seed plain 56 is above plain 20, and the mean of residual 56 is not above that of residual 20",
        shared=RESNET,
        runs={
            f"{kind} {depth}": (f"model.depth={depth}", f"model.shortcut={str(kind == 'residual').lower()}")
            for kind in ("plain", "residual")
            for depth in (20, 56)
        },
        holds=lambda found, _: (
            below(found, "plain 20", "plain 56")
            and statistics.mean(found["residual 56"]) <= statistics.mean(found["residual 20"])
        ),
    ),
    Claim(
        about="A relu network of 30 layers trains from He's initialisation alone (He et al. 2015)",
        metric="val/accuracy",
        rule="He above 0.8, the others below 0.2, each seed",
        shared=DEEP,
        runs={
            "He, normal": ("init=he_normal",),
            "Xavier, normal": ("init=xavier_normal",),
            "N(0, 0.01)": ("init=normal", "init.std=0.01"),
        },
        holds=lambda found, _: (
            min(found["He, normal"]) > 0.8 and max(found["Xavier, normal"] + found["N(0, 0.01)"]) < 0.2
        ),
    ),
    Claim(
        about="Group norm stands batches of two, batch norm does not (Wu & He 2018)",
        metric="train/loss",
        rule="for each seed batch norm's loss at 2 is over twice that at 32, group norm's is not",
        shared=NORMS,
        runs={
            f"{norm} norm, batch {size}": (f"model.norm={norm}", f"batch_size={size}")
            for norm in ("batch", "group")
            for size in (32, 2)
        },
        holds=lambda found, _: (
            all(
                two > 2 * many
                for two, many in zip(found["batch norm, batch 2"], found["batch norm, batch 32"], strict=True)
            )
            and all(
                two <= 2 * many
                for two, many in zip(found["group norm, batch 2"], found["group norm, batch 32"], strict=True)
            )
        ),
    ),
    Claim(
        about="The weights of one half of the classes help with few samples of the other half",
        metric="val/accuracy",
        rule="for each seed fine-tuning is above training from scratch",
        shared=FEW,
        first=HALF,
        runs={"from scratch": (), "fine-tuned": (f"finetune.weights={EACH}",)},
        holds=lambda found, _: below(found, "from scratch", "fine-tuned"),
    ),
    Claim(
        about="A character lstm beats a trigram on the same text",
        metric="val/perplexity",
        rule="each seed is below the trigram's",
        runs={"char_lstm": ("experiment=char_lstm",)},
        holds=lambda found, trigrams: trigrams is not None and max(found["char_lstm"]) < trigrams,
        compared_with=trigram,
        compared_about="interpolated Kneser-Ney trigram (scripts/trigram_baseline.py), validation perplexity",
    ),
)
