"""Twenty trainings from one command, from the command to the end: hpo-run and what else is there, side by side.

All do the same trainings: digits with one split, the mlp 64-128-128-10, batch 32, 5 epochs, Adam with a cosine
schedule, lr from a log range, two processes of one thread; all validate after every epoch and keep metrics and a
checkpoint. Lightning is used as it comes; `lean` is without its bar, its summary and its check before training. The
peers' scripts are in scripts/peers. Each peer has an environment of its own (some pin an older Optuna), made once under
--cache; one that cannot be made is left out. Rounds are interleaved: each round runs all of them in turn. Accuracies
are of the last epoch: that they agree shows that the work was the same.

    python scripts/bench_sweep.py --cache ~/.cache/bench_sweep [--rounds 3] [--trials 20] [--only hpo-run,ray]

Exit code 1 when hpo-run is not at least 4 times as fast as hydra-optuna-sweeper and Ray Tune.
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
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).parent.parent
PEERS = Path(__file__).with_name("peers")
WORKERS, EPOCHS, BOUND = 2, 5, 4.0
LEARNERS = ("torch", "pytorch-lightning", "numpy")
ENVIRONMENTS: Mapping[str, tuple[str, ...]] = {
    "hydra": ("hydra-core==1.3.8", "hydra-optuna-sweeper", "hydra-joblib-launcher", *LEARNERS),
    "ray": ("ray[tune]", "optuna>=4", *LEARNERS),
}
Command = list[str]


@dataclass(frozen=True)
class Peer:
    """One way to do the trainings.

    commands: (python, trials) -> the processes that are started together.   environment: a key of ENVIRONMENTS.
    trainer: `default`, Lightning as it comes, or `lean`.
    """

    commands: Callable[[str, int], list[Command]]
    environment: str | None = None
    trainer: str = "default"


@dataclass
class Measured:
    """Of each round: trials a minute. accuracies: of all trainings of all rounds."""

    per_minute: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)


def hpo_run(python: str, trials: int) -> list[Command]:
    words = ["lr=tag(log,interval(1e-4,1e-2))", f"sweep.trials={trials}", f"sweep.workers={WORKERS}"]
    return [[python, "-m", "hpo_cli.cli", "-m", *words, f"epochs={EPOCHS}", "trainer=cpu"]]


def optuna_sweeper(python: str, trials: int) -> list[Command]:
    words = [
        "hydra/sweeper=optuna", "hydra/launcher=joblib", "lr=tag(log,interval(1e-4,1e-2))",
        "hydra.sweeper.direction=maximize", f"hydra.sweeper.n_trials={trials}",
        f"hydra.sweeper.n_jobs={WORKERS}", f"hydra.launcher.n_jobs={WORKERS}",
    ]  # fmt: skip
    return [[python, str(PEERS / "hydra_app.py"), "-m", *words]]


def basic_sweeper(python: str, trials: int) -> list[Command]:
    rates = ",".join(f"{rate:.6g}" for rate in np.geomspace(1e-4, 1e-2, trials))
    words = ["hydra/launcher=joblib", f"lr={rates}", f"hydra.launcher.n_jobs={WORKERS}"]
    return [[python, str(PEERS / "hydra_app.py"), "-m", *words]]


def ray_tune(python: str, trials: int) -> list[Command]:
    return [[python, str(PEERS / "ray_app.py"), str(trials), str(WORKERS)]]


def optuna_processes(python: str, trials: int) -> list[Command]:
    share = [len(range(index, trials, WORKERS)) for index in range(WORKERS)]
    return [[python, str(PEERS / "optuna_app.py"), str(count), "journal.log"] for count in share]


KINDS: Mapping[str, Peer] = {
    "hpo-run -m": Peer(hpo_run),
    "hydra-optuna-sweeper, joblib": Peer(optuna_sweeper, "hydra"),
    "hydra basic sweeper, joblib": Peer(basic_sweeper, "hydra"),
    "Ray Tune": Peer(ray_tune, "ray"),
    "Optuna, two processes": Peer(optuna_processes, "ray"),
    "hydra-optuna-sweeper, lean": Peer(optuna_sweeper, "hydra", "lean"),
    "Optuna, two processes, lean": Peer(optuna_processes, "ray", "lean"),
}
TO_BEAT = ("hydra-optuna-sweeper, joblib", "Ray Tune")


def python_of(environment: str, cache: Path) -> str | None:
    """The interpreter of a peer's environment, which is made first where it is missing; None when that fails."""
    folder = cache / environment
    ready = folder / "ready.json"
    python = str(folder / "bin" / "python")
    wanted = list(ENVIRONMENTS[environment])
    if ready.exists() and json.loads(ready.read_text()) == wanted:
        return python
    print(f"making {folder}: {' '.join(wanted)}", flush=True)
    steps = [
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [python, "-m", "pip", "install", "--quiet", *wanted],
        [python, "-m", "compileall", "-q", str(folder / "lib")],  # as an installation has it that was used once
    ]
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode and "compileall" not in step:
            print(f"left out: {' '.join(step[:4])} ... failed: {done.stderr.strip().splitlines()[-1:]}")
            return None
    ready.write_text(json.dumps(wanted))
    return python


def write_data(path: Path) -> None:
    """The split that hpo-run trains on, standardised, for everybody else."""
    from hpo_cli.compose import compose
    from hpo_cli.engine.assembly import load_splits
    from hpo_cli.validate import plan_from_config

    found = compose([f"epochs={EPOCHS}"])
    splits = load_splits(plan_from_config(found.job, choices=found.choices).data)
    np.savez(path, x_train=splits.train.x, y_train=splits.train.y, x_val=splits.val.x, y_val=splits.val.y)


def run_once(commands: list[Command], folder: Path, data: Path, *, trainer: str) -> tuple[float, list[float]]:
    """Seconds from the command to the end, and the accuracies. Raises SystemExit where a process fails."""
    results = folder / "results.txt"
    own = {
        "BENCH_DATA": str(data), "BENCH_RESULTS": str(results), "BENCH_EPOCHS": str(EPOCHS), "BENCH_TRAINER": trainer,
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    environment = {**os.environ, **own, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{PEERS}"}
    began = time.perf_counter()
    log = (folder / "log.txt").open("w")
    processes = [
        subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
        for command in commands
    ]
    codes = [process.wait() for process in processes]
    seconds = time.perf_counter() - began
    if any(codes):
        raise SystemExit(f"{commands[0]} failed:\n{(folder / 'log.txt').read_text()[-3000:]}")
    if results.exists():
        return seconds, [float(line.split()[1]) for line in results.read_text().splitlines()]
    return seconds, [accuracy_of(path) for path in folder.glob("outputs/*/*/*/result.json")]


def accuracy_of(result: Path) -> float:
    """Of a run of hpo-run: the validation accuracy at the end."""
    found: float = json.loads(result.read_text())["metrics"]["val/accuracy"]
    return found


def chosen(only: str | None, cache: Path) -> dict[str, tuple[Peer, str]]:
    """What can be run here: name -> peer and interpreter."""
    found = {}
    for name, peer in KINDS.items():
        if only and not any(word.lower() in name.lower() for word in only.split(",")):
            continue
        python = sys.executable if peer.environment is None else python_of(peer.environment, cache)
        if python is not None:
            found[name] = (peer, python)
    return found


def measure(peers: Mapping[str, tuple[Peer, str]], *, rounds: int, trials: int) -> dict[str, Measured]:
    measured = {name: Measured() for name in peers}
    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "digits.npz"
        write_data(data)
        for number in range(rounds + 1):  # the first one is for the file cache
            for name, (peer, python) in peers.items():
                folder = Path(place) / f"{number}-{list(peers).index(name)}"
                folder.mkdir()
                count = trials if number else WORKERS
                seconds, accuracies = run_once(peer.commands(python, count), folder, data, trainer=peer.trainer)
                if len(accuracies) != count:
                    raise SystemExit(f"{name}: {len(accuracies)} trainings, not {count}")
                if number:
                    measured[name].per_minute.append(60 * count / seconds)
                    measured[name].accuracies += accuracies
                    print(f"round {number}: {name}: {seconds:.1f} s", flush=True)
    return measured


def show(measured: Mapping[str, Measured], *, rounds: int, trials: int) -> float:
    """Prints the table; the smallest ratio of hpo-run to what it has to beat."""
    today = dt.datetime.now(tz=dt.UTC).date()
    print(f"\n{today}  {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{rounds} rounds of {trials} trainings of {EPOCHS} epochs, {WORKERS} processes; medians\n")
    print(f"{'':32}{'trials/min':>11}{'hpo-run is':>12}{'accuracy: median':>18}{'best':>8}")
    ours = measured.get("hpo-run -m")
    worst = float("inf")
    for name, found in measured.items():
        pairs = zip(ours.per_minute, found.per_minute, strict=True) if ours else ()
        ratio = statistics.median([one / other for one, other in pairs]) if ours else float("nan")
        worst = min(worst, ratio) if name in TO_BEAT else worst
        accuracies = f"{statistics.median(found.accuracies):18.3f}{max(found.accuracies):8.3f}"
        print(f"{name:32}{statistics.median(found.per_minute):11.1f}{ratio:11.1f}x{accuracies}")
    return worst


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="folder of the peers' environments")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--only", help="parts of names, with commas")
    args = parser.parse_args()
    peers = chosen(args.only, args.cache.expanduser().resolve())
    measured = measure(peers, rounds=args.rounds, trials=args.trials)
    return int(show(measured, rounds=args.rounds, trials=args.trials) < BOUND)


if __name__ == "__main__":
    sys.exit(main())
