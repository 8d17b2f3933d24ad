"""What a trial of a sweep costs beyond its own training: warm workers, fresh forks, over plain loops in one process.

Three ways to do the same trainings (digits, an MLP), one slot, in turn, block by block:

- bare: the training loop alone, in memory: steps and validations, no folder, no checkpoint, no Lightning;
- plain: run after run in one process that has everything imported, as a script of one's own would: folder, training,
  checkpoints, result, as `hpo-run` leaves them;
- warm and fork: the same through the executor of sweeps.

    python scripts/bench_trial.py [--rounds 8] [--trials 5] [--words epochs=1]
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hpo_cli.sweep.executors.contract import Job
from hpo_cli.sweep.executors.local import LocalExecutor
from hpo_cli.verbs.composing import Composed, ComposeWords, composed

BASE = ("trainer=cpu", "trainer.threads=1")


def job(found: Composed, folder: Path, number: int) -> Job:
    plan = {**found.plan.to_dict(), "seed": number}
    begin = {"command": ["hpo-run", "-m"], "overrides": [], "hydra_files": found.composition.hydra_files}
    return Job(number, 0, folder / str(number), plan, begin)


def through(executor: LocalExecutor, jobs: list[Job]) -> None:
    for one in jobs:
        executor.start(one)
        while not (ended := executor.wait(60)):
            pass
        if ended[0].status != "finished":
            raise SystemExit(f"{ended[0].status}: {ended[0].reason}")


def plainly(jobs: list[Job]) -> None:
    from hpo_cli.engine.progress import SilentReporter
    from hpo_cli.engine.run import run
    from hpo_cli.engine.stop import StopFlag
    from hpo_cli.engine.train import Training
    from hpo_cli.plan import plan_from_dict
    from hpo_cli.record.start import start_run

    for one in jobs:
        plan = plan_from_dict(one.plan)
        training = Training(plan, reporter=SilentReporter(), stop=StopFlag())
        run(training, start_run(plan, at=str(one.folder), **one.begin))


def bare(jobs: list[Job]) -> float:
    """Seconds of the loops alone."""
    import torch

    from hpo_cli.engine.assembly import build_system, load_splits
    from hpo_cli.engine.backend import Backend
    from hpo_cli.engine.batches import DeviceBatches, dtype_of, order_of, tensors
    from hpo_cli.engine.loop import TrainingLoop
    from hpo_cli.engine.partners import NullRecorder
    from hpo_cli.engine.progress import SilentReporter
    from hpo_cli.engine.step import Stepper
    from hpo_cli.engine.stop import StopFlag
    from hpo_cli.plan import plan_from_dict

    seconds, cpu = 0.0, torch.device("cpu")
    for one in jobs:
        plan = plan_from_dict(one.plan)
        splits = load_splits(plan.data)
        system, backend = build_system(plan, splits), Backend()
        train, val = (tensors(part, device=cpu, dtype=dtype_of(plan)) for part in (splits.train, splits.val))
        source = DeviceBatches(train, order=order_of(plan, carries=False), shard=backend.shard)
        stepper = Stepper(system, backend, seed=plan.seed)
        loop = TrainingLoop(plan, stepper, train=source, val=val, recorder=NullRecorder(), reporter=SilentReporter())
        began = time.perf_counter()
        loop.begin()
        while not loop.finished:
            loop.advance(100, StopFlag())
        seconds += time.perf_counter() - began
    return seconds


def timed(action: Callable[[list[Job]], float | None], jobs: list[Job]) -> float:
    """Milliseconds a trial."""
    began = time.perf_counter()
    seconds = action(jobs)
    return 1000 * (seconds if seconds is not None else time.perf_counter() - began) / len(jobs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--trials", type=int, default=5, help="of each kind in a round")
    parser.add_argument("--words", default="epochs=1", help="of the run, separated by blanks")
    args = parser.parse_args()
    executors = {kind: LocalExecutor(1, worker=kind, gpus=(), cores=1) for kind in ("warm", "fork")}
    found = composed(ComposeWords((*BASE, *args.words.split()), None, "config"))
    kinds: dict[str, Callable[[list[Job]], float | None]] = {
        "bare": bare,
        "plain": plainly,
        **{kind: lambda jobs, one=one: through(one, jobs) for kind, one in executors.items()},
    }
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    number = 0
    with tempfile.TemporaryDirectory() as home:
        for turn in range(args.rounds + 1):  # the first one warms everything up
            for kind, action in kinds.items():
                number += args.trials
                jobs = [job(found, Path(home) / kind, number + i) for i in range(args.trials)]
                took = timed(action, [replace(one, trial=one.trial) for one in jobs])
                if turn:
                    times[kind].append(took)
        for executor in executors.values():
            executor.close()
    report(times, rounds=args.rounds, trials=args.trials, words=args.words)


def report(times: dict[str, list[float]], *, rounds: int, trials: int, words: str) -> None:
    today = dt.datetime.now(tz=dt.UTC).date()
    load = os.getloadavg()[0]
    print(
        f"{today}  {platform.machine()}, {os.cpu_count()} cores (load {load:.1f}), Python {platform.python_version()}"
    )
    print(f"{words}: {rounds} rounds of {trials} trials of each kind, medians\n")
    print(f"{'':8}{'ms a trial':>12}{'beyond bare':>14}{'least':>9}{'over plain':>13}")
    for kind, found in times.items():
        beyond = [one - own for one, own in zip(found, times["bare"], strict=True)]
        ratios = [one / own for one, own in zip(found, times["plain"], strict=True)]
        median, least = statistics.median, min(found) - min(times["bare"])
        print(f"{kind:8}{median(found):12.1f}{median(beyond):14.1f}{least:9.1f}{median(ratios):13.2f}")


if __name__ == "__main__":
    main()
