"""Trains through the console script what a first user would, and prints a table of how well it went.

    python scripts/acceptance.py [--seeds 3] [--fashion DIR]

Exit code 1 when a row misses its bar. Fashion-MNIST is trained when its files are found (Debian has them in
`dataset-fashion-mnist`).
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop")
FASHION = Path("/usr/share/datasets/fashion-mnist")


@dataclass(frozen=True)
class Row:
    """What to train, which of its figures counts, and what it must exceed."""

    about: str
    words: tuple[str, ...]
    metric: str
    bar: float
    reduction: str = "best"


def rows(fashion: Path) -> list[Row]:
    digits = [Row(f"digits mlp, {name}", (f"optimizer={name}",), "val/accuracy", 0.95) for name in OPTIMIZERS]
    tables = [
        Row("breast cancer mlp, bce", ("data=breast_cancer",), "val/accuracy", 0.93),
        Row("diabetes mlp, mse: better than the mean", ("data=diabetes",), "val/r2", 0.0, "metrics"),
    ]
    words = ("experiment=fashion_cnn", f"data.folder={fashion}")
    images = [Row("Fashion-MNIST, CNN of 98,682 parameters, 3 epochs", words, "val/accuracy", 0.89, "metrics")]
    return digits + tables + (images if fashion.is_dir() else [])


def train(words: tuple[str, ...], seed: int, folder: str) -> dict[str, object]:
    """The result.json of one run of the console script."""
    command = [str(Path(sys.executable).with_name("hpo-run")), *words, f"seed={seed}", f"outputs={folder}"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    newest = max(Path(folder).glob("*/*/result.json"), key=lambda path: path.stat().st_mtime_ns)
    return json.loads(newest.read_text())


def value(result: dict[str, object], row: Row) -> float:
    if row.reduction == "best":
        return result["best"][row.metric]["value"]
    return result["metrics"][row.metric]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--fashion", type=Path, default=FASHION)
    args = parser.parse_args()
    print(f"{dt.datetime.now(tz=dt.UTC).date()}, {platform.machine()}, {os.cpu_count()} cores, {args.seeds} seeds\n")
    print(
        "| run | words | metric | mean | lowest | must exceed | seconds |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    missed = 0
    for row in rows(args.fashion):
        with tempfile.TemporaryDirectory() as folder:
            results = [train(row.words, seed, folder) for seed in range(args.seeds)]
        values = [value(result, row) for result in results]
        seconds = statistics.mean(result["seconds"] for result in results)
        words = " ".join(word for word in row.words if not word.startswith("data.folder=")) or "(defaults)"
        metric = row.metric if row.reduction == "metrics" else f"best {row.metric}"
        figures = f"{statistics.mean(values):.4f} | {min(values):.4f} | {row.bar} | {seconds:.1f}"
        print(f"| {row.about} | `{words}` | {metric} | {figures} |", flush=True)
        missed += min(values) <= row.bar
    if not args.fashion.is_dir():
        print(f"\nFashion-MNIST was left out: no folder {args.fashion}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
