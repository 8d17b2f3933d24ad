"""From the command to the first training step, over the bare imports of hydra, torch and Lightning plus one step.

Each round starts one process of each kind, in turn; times are of whole processes. Ours, `trainer.max_steps=1`, also
composes, checks, reads the data, makes the run's folder, validates, and writes a checkpoint and a result.

    python scripts/bench_start.py [--rounds 7]
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

BARE = """
import hydra, torch, pytorch_lightning
model = torch.nn.Linear(64, 10)
optimizer = torch.optim.Adam(model.parameters(), fused=True)
torch.nn.functional.cross_entropy(model(torch.ones(32, 64)), torch.zeros(32, dtype=torch.long)).backward()
optimizer.step()
"""
COMMANDS = {
    "bare imports and a step": [sys.executable, "-W", "ignore", "-c", BARE],
    "hpo-run, one step": [sys.executable, "-m", "hpo_cli.cli", "epochs=1", "trainer.max_steps=1"],
    "hpo-run --help": [sys.executable, "-m", "hpo_cli.cli", "--help"],
    "hpo-run lrr=1 (refused)": [sys.executable, "-m", "hpo_cli.cli", "lrr=1"],
    "hpo-run show last": [sys.executable, "-m", "hpo_cli.cli", "show", "last"],
}


def seconds(command: list[str], folder: str) -> float:
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, capture_output=True, check=False)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        for command in COMMANDS.values():  # once for the file cache
            seconds(command, folder)
        for _ in range(args.rounds):
            for name, command in COMMANDS.items():
                times[name].append(seconds(command, folder))
    today = dt.datetime.now(tz=dt.UTC).date()
    print(f"{today}  {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{args.rounds} rounds, medians of whole processes\n")
    print(f"{'':26}{'seconds':>9}{'over bare':>11}")
    for name, found in times.items():
        ratios = [one / bare for one, bare in zip(found, times["bare imports and a step"], strict=True)]
        print(f"{name:26}{statistics.median(found):9.2f}{statistics.median(ratios):11.2f}")


if __name__ == "__main__":
    main()
