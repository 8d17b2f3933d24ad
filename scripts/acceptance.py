"""Trains through the console script what the catalogue promises, and prints how it went, the unflattering included.

    python scripts/acceptance.py [--seeds 3] [--fashion DIR] [--only WORD]

Exit code 1 when a row misses its bar or a claim does not hold. Fashion-MNIST is trained when its files are found
(Debian has them in `dataset-fashion-mnist`). The claims are in `acceptance_claims.py`.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from acceptance_claims import CLAIMS, Claim, train

from hpo_cli.options import list_options

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
    digits = [
        Row(f"digits mlp, {name}", (f"optimizer={name}",), "val/accuracy", 0.9) for name in list_options("optimizer")
    ]
    tables = [
        Row("breast cancer mlp, bce", ("data=breast_cancer",), "val/accuracy", 0.93),
        Row("diabetes mlp, mse: better than the mean", ("data=diabetes",), "val/r2", 0.0, "metrics"),
    ]
    words = ("experiment=fashion_cnn", f"data.folder={fashion}")
    images = [Row("Fashion-MNIST, CNN of 98,682 parameters, 3 epochs", words, "val/accuracy", 0.89, "metrics")]
    return digits + tables + (images if fashion.is_dir() else [])


def value(result: dict[str, object], row: Row) -> float:
    if row.reduction == "best":
        return result["best"][row.metric]["value"]
    return result["metrics"][row.metric]


def reaches(row: Row, num_seeds: int) -> bool:
    """Train a row and print it; whether the lowest of the seeds exceeds the bar."""
    with tempfile.TemporaryDirectory() as folder:
        results = [train(row.words, seed, folder).result for seed in range(num_seeds)]
    values = [value(result, row) for result in results]
    seconds = statistics.mean(result["seconds"] for result in results)
    words = " ".join(word for word in row.words if not word.startswith("data.folder="))
    metric = row.metric if row.reduction == "metrics" else f"best {row.metric}"
    figures = f"{statistics.mean(values):.4f} | {min(values):.4f} | {row.bar} | {seconds:.1f}"
    print(f"| {row.about} | `{words}` | {metric} | {figures} |", flush=True)
    return min(values) > row.bar


def holds(claim: Claim, num_seeds: int) -> bool:
    """Train a claim's runs and print them; whether it holds."""
    print(f"\n## {claim.about}\n\n`{claim.metric}` at the end of training.")
    if claim.shared:
        print(f"All runs: `{' '.join(claim.shared)}`.")
    if claim.first:
        print(f"First, with the same seed: `{' '.join(claim.first)}`.")
    print(flush=True)
    heads = " | ".join(f"seed {seed}" for seed in range(num_seeds))
    print(f"| run | words | {heads} | mean |\n| --- | --- |{' --- |' * (num_seeds + 1)}")
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for name, words in claim.runs.items():
            results = [train(claim.words_of(name, seed, folder), seed, folder).result for seed in range(num_seeds)]
            found[name] = [result["metrics"].get(claim.metric, float("nan")) for result in results]
            each = " | ".join(f"{figure:.4f}" for figure in found[name])
            shown = f"`{' '.join(words)}`" if words else ""
            print(f"| {name} | {shown} | {each} | {statistics.mean(found[name]):.4f} |", flush=True)
        extra = claim.compared_with(folder) if claim.compared_with else None
    if extra is not None:
        print(f"\n{claim.compared_about}: {extra:.4f}")
    verdict = claim.holds(found, extra)
    print(f"\n{claim.rule}: **{'holds' if verdict else 'DOES NOT HOLD'}**", flush=True)
    return verdict


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--fashion", type=Path, default=FASHION)
    parser.add_argument("--only", default="", help="rows and claims whose text has this word")
    args = parser.parse_args()
    print(f"{dt.datetime.now(tz=dt.UTC).date()}, {platform.machine()}, {os.cpu_count()} cores, {args.seeds} seeds\n")
    chosen = [row for row in rows(args.fashion) if args.only in row.about]
    good = []
    if chosen:
        print("| run | words | metric | mean | lowest | must exceed | seconds |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        good += [reaches(row, args.seeds) for row in chosen]
    good += [holds(claim, args.seeds) for claim in CLAIMS if args.only in claim.about]
    if not args.fashion.is_dir():
        print(f"\nFashion-MNIST was left out: no folder {args.fashion}")
    return int(not all(good))


if __name__ == "__main__":
    sys.exit(main())
