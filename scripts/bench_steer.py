"""What it costs that a run can be steered: looks for commands between two steps, and the heartbeat of its lease.

One run of the default mlp on digits, batch 32, one thread, in a folder, with validation, metrics and checkpoints, as
hpo-run trains it. Of each two neighbouring units of five epochs one is trained as it ships and one with nobody looking;
which comes first takes turns. Times are of the processor, in the training thread, so that work of others on the same
machine hardly counts; what the heartbeat's own thread takes is measured beside it and added.

    python scripts/bench_steer.py [--pairs 400]

Exit code 1 when the ratio of a steered step to one alone is above 1.01.
"""

from __future__ import annotations

import argparse
import datetime as dt
import logging
import math
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from unittest import mock

import torch

from hpo_cli.compose import compose
from hpo_cli.engine.loop import TrainingLoop
from hpo_cli.engine.module import STRETCH
from hpo_cli.engine.orders import POLL_SECONDS
from hpo_cli.engine.progress import SilentReporter
from hpo_cli.engine.run import run
from hpo_cli.engine.steering import FolderSteering
from hpo_cli.engine.stop import StopFlag
from hpo_cli.engine.train import Training
from hpo_cli.plan import RunPlan
from hpo_cli.record.lease import BEAT_S, Lease
from hpo_cli.record.start import start_run
from hpo_cli.validate import plan_from_config

BOUND = 1.01
UNIT = 2  # stretches of 100 steps: five whole epochs of forty steps, so that units have the same validations


@dataclass
class Clock:
    """Processor seconds: of units, steered and alone; of single looks for commands and heartbeats."""

    steered: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    looks: list[float] = field(default_factory=list)
    beats: list[float] = field(default_factory=list)


def plan_for(num_stretches: int, outputs: str) -> RunPlan:
    steps = num_stretches * STRETCH
    words = ["schedule=constant", f"epochs={steps // 40}", f"outputs={outputs}", "trainer=cpu", "trainer.threads=1"]
    found = compose(words)
    return plan_from_config(found.job, choices=found.choices)


def measured(plan: RunPlan) -> Clock:
    clock, count = Clock(), 0
    live: list[FolderSteering] = []  # that of the run, from its first look on
    advance, attend, beat = TrainingLoop.advance, FolderSteering.attend, Lease.beat

    def timed_advance(loop: TrainingLoop, num_steps: int, stop: StopFlag) -> None:
        nonlocal count
        is_alone = count // UNIT % 4 in (1, 2)  # steered, alone, alone, steered
        began = time.monotonic()
        if is_alone:
            steering = live[0]
            due = steering.attend_step, steering.attend_at
            steering.attend_step = steering.attend_at = math.inf
        before = time.thread_time()
        advance(loop, num_steps, stop)
        seconds = time.thread_time() - before
        if is_alone:  # the next look is as far away as it was
            steering.attend_step, steering.attend_at = due[0], due[1] + time.monotonic() - began
        side = clock.alone if is_alone else clock.steered
        if count % UNIT:
            side[-1] += seconds
        else:
            side.append(seconds)
        count += 1

    def timed_attend(steering: FolderSteering, loop: TrainingLoop) -> None:
        live[:] = [steering]
        before = time.thread_time()
        attend(steering, loop)
        clock.looks.append(time.thread_time() - before)

    def timed_beat(lease: Lease, *words: object, **fields: object) -> object:
        before = time.thread_time()
        try:
            return beat(lease, *words, **fields)
        finally:
            clock.beats.append(time.thread_time() - before)

    folder = start_run(plan, command=["bench"], overrides=[], hydra_files={})
    training = Training(plan, reporter=SilentReporter(), stop=StopFlag(), check=plan_from_config)
    with (
        mock.patch.object(TrainingLoop, "advance", timed_advance),
        mock.patch.object(FolderSteering, "attend", timed_attend),
        mock.patch.object(Lease, "beat", timed_beat),
    ):
        run(training, folder)
    return clock


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=400)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        clock = measured(plan_for(2 * UNIT * (args.pairs + 2), folder))
    pairs = list(zip(clock.steered, clock.alone, strict=False))[2 : 2 + args.pairs]  # the first warm up
    ratios = [one / other for one, other in pairs]
    quarters = statistics.quantiles(ratios, n=4)
    step = 1e6 / (UNIT * STRETCH)
    look, beat = statistics.mean(clock.looks[2:]), statistics.mean(clock.beats)
    ratio = statistics.median(ratios) + beat / BEAT_S
    print(
        f"{dt.datetime.now(tz=dt.UTC).date()}  {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    )
    print(f"{len(pairs)} pairs of {UNIT * STRETCH} steps in one run, one thread, processor time, medians\n")
    print(f"alone    {step * statistics.median(other for _, other in pairs):8.1f} us a step")
    print(f"steered  {step * statistics.median(one for one, _ in pairs):8.1f} us a step")
    print(f"ratio    {ratio:8.4f}  (middle half of the pairs: {quarters[0]:.4f} .. {quarters[2]:.4f})")
    print(f"a look for commands takes {1e6 * look:.0f} us, {1 / POLL_SECONDS:.0f} a second: {look / POLL_SECONDS:.3%}")
    print(f"a heartbeat takes {1e6 * beat:.0f} us, one in {BEAT_S:.0f} s: {beat / BEAT_S:.3%}")
    return int(ratio > BOUND)


if __name__ == "__main__":
    sys.exit(main())
