"""What it costs that a run can be steered: polling for commands, lease with heartbeat, over the same loop without.

Both train the default mlp on digits, batch 32, one thread, in a run's folder, with validation, metrics and checkpoints.
"steered" is hpo-run as it ships; in "alone" nobody looks for commands between two steps and no thread beats. The two
take turns in one process, and a round's ratio is that of two neighbours. `wall` is what a user waits and means little
on a machine that others use too; `processor` counts the time of all threads of the process and decides.

    python scripts/bench_steer.py [--rounds 41] [--epochs 100]

Exit code 1 when the median ratio of `processor` is above 1.01.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import logging
import math
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from typing import ClassVar
from unittest import mock

import torch

from hpo_cli.compose import compose
from hpo_cli.engine.loop import TrainingLoop
from hpo_cli.engine.orders import POLL_SECONDS
from hpo_cli.engine.progress import SilentReporter
from hpo_cli.engine.run import run
from hpo_cli.engine.steering import FolderSteering
from hpo_cli.engine.stop import StopFlag
from hpo_cli.engine.train import Training
from hpo_cli.plan import RunPlan
from hpo_cli.record.start import start_run
from hpo_cli.validate import plan_from_config

BOUND = 1.01


class Deaf(FolderSteering):
    """Steering that looks up once, at the start, and never again."""

    def attend(self, loop: TrainingLoop) -> None:
        super().attend(loop)
        self.attend_step = self.attend_at = math.inf


class Timed(FolderSteering):
    """Steering as it ships; notes how long each look for commands took."""

    looks: ClassVar[list[float]] = []

    def attend(self, loop: TrainingLoop) -> None:
        began = time.perf_counter()
        super().attend(loop)
        self.looks.append(time.perf_counter() - began)


@dataclass
class Clock(SilentReporter):
    """Seconds from the first step to the last row: of the clock on the wall, and of processors in all threads."""

    wall: float = 0.0
    processor: float = 0.0
    began: tuple[float, float] = (0.0, 0.0)

    def started(self, *_: object) -> None:
        self.began = time.perf_counter(), time.process_time()

    def measured(self, _row: object) -> None:
        self.wall, self.processor = time.perf_counter() - self.began[0], time.process_time() - self.began[1]


def plan_for(epochs: int, outputs: str) -> RunPlan:
    words = ["schedule=constant", f"epochs={epochs}", f"outputs={outputs}", "trainer=cpu", "trainer.threads=1"]
    found = compose(words)
    return plan_from_config(found.job, choices=found.choices)


def train(plan: RunPlan) -> Clock:
    """What a step costs, in microseconds."""
    clock = Clock()
    training = Training(plan, reporter=clock, stop=StopFlag(), check=plan_from_config)
    folder = start_run(plan, command=["bench"], overrides=[], hydra_files={})
    steps = run(training, folder).step
    shutil.rmtree(folder)
    return Clock(wall=1e6 * clock.wall / steps, processor=1e6 * clock.processor / steps)


def steered(plan: RunPlan) -> Clock:
    with mock.patch("hpo_cli.engine.train.FolderSteering", Timed):
        return train(plan)


def alone(plan: RunPlan) -> Clock:
    silence = mock.patch("hpo_cli.engine.run.Heartbeat", return_value=contextlib.nullcontext())
    with mock.patch("hpo_cli.engine.train.FolderSteering", Deaf), silence:
        return train(plan)


def one_round(plan: RunPlan, index: int) -> tuple[Clock, Clock]:
    """Steered and alone; which goes first takes turns."""
    if index % 2:
        first = steered(plan)
        return first, alone(plan)
    first = alone(plan)
    return steered(plan), first


def compare(pairs: list[tuple[Clock, Clock]], clock: str) -> float:
    """Print one line; the median ratio."""
    with_it, without = ([getattr(one, clock) for one in side] for side in zip(*pairs, strict=True))
    ratios = sorted(one / other for one, other in zip(with_it, without, strict=True))
    quarter, middle = len(ratios) // 4, statistics.median(ratios)
    figures = f"{statistics.median(without):9.1f}{statistics.median(with_it):9.1f}{middle:9.4f}"
    print(f"{clock:12}{figures}   {ratios[quarter]:.4f} .. {ratios[-1 - quarter]:.4f}")
    return middle


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--epochs", type=int, default=100)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_for(args.epochs, folder)
        one_round(plan, 0)  # warms up
        pairs = [one_round(plan, index) for index in range(args.rounds)]
    print(
        f"{dt.datetime.now(tz=dt.UTC).date()}  {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    )
    print(f"{args.rounds} rounds of {args.epochs} epochs, one thread, medians; us a step\n")
    print(f"{'':12}{'alone':>9}{'steered':>9}{'ratio':>9}   middle half of the ratios")
    compare(pairs, "wall")
    ratio = compare(pairs, "processor")
    look = statistics.median(Timed.looks)
    print(f"\none look for commands: {1e6 * look:.0f} us, {1 / POLL_SECONDS:.0f} a second: {look / POLL_SECONDS:.3%}")
    return int(ratio > BOUND)


if __name__ == "__main__":
    sys.exit(main())
