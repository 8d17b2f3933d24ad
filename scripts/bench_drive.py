"""What it costs to decide and record one trial, from the first thousand trials to the tenth: it must not grow.

A sweep in virtual time: nothing is trained and the log is in memory, so what is left is the driver itself: propose,
order, replay, find the best. Processor time of one core.

    python scripts/bench_drive.py [--trials 10000] [--every 2000] [--only random,asha]
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import time
from collections.abc import Mapping, Sequence
from typing import Any

from hpo_cli.grammar import sweep_settings
from hpo_cli.sweep.schedulers.make import make_scheduler
from hpo_cli.sweep.search.contract import Aim
from hpo_cli.sweep.search.make import make_search
from hpo_cli.sweep.settings import decide
from hpo_cli.sweep.simulate import simulate
from hpo_cli.sweep.space import Dimension, Space

SPACE = Space(
    (
        Dimension("lr", ("lr",), low=1e-4, high=1.0, scale="log"),
        Dimension("optimizer.momentum", ("optimizer.momentum",), low=0.0, high=0.99),
        Dimension("batch_size", ("batch_size",), choices=(16, 32, 64, 128)),
    )
)
AIMS, EPOCHS, WORKERS = (Aim("loss", "min"),), 9, 8
KINDS: Mapping[str, tuple[str, ...]] = {"random": ("sweep=random",), "asha": ("sweep=asha",), "tpe": ("sweep=tpe",)}


def marks_of(kind: str, trials: int) -> list[float]:
    """Processor time at which each trial began."""
    settings = decide(sweep_settings([*KINDS[kind], f"sweep.trials={trials}"]), SPACE)
    marks: list[float] = []

    def curve(setting: Mapping[str, Any], seed: int) -> Sequence[float]:  # noqa: ARG001
        marks.append(time.process_time())
        return [setting["lr"] + 1.0 / epoch for epoch in range(1, EPOCHS + 1)]

    scheduler = make_scheduler(settings, epochs=EPOCHS, aims=AIMS, space=SPACE, base={})
    search = make_search(settings, SPACE, AIMS, base={})
    simulate(scheduler, search, curve, settings=settings, epochs=EPOCHS, aims=AIMS, workers=WORKERS)
    return marks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=2_000)
    parser.add_argument("--only", default="random,asha")
    args = parser.parse_args()
    today = dt.datetime.now().astimezone().date()
    print(f"{today}  {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{'trials':>14}" + "".join(f"{kind:>12}" for kind in args.only.split(",")))
    found = [marks_of(kind, args.trials) for kind in args.only.split(",")]
    for end in range(args.every, args.trials + 1, args.every):
        spans = [marks[end - 1] - marks[end - args.every] for marks in found]
        print(f"{end - args.every:6} - {end:5}" + "".join(f"{1000 * span / args.every:9.2f} ms" for span in spans))


if __name__ == "__main__":
    main()
