"""Synthetic sweeps, written as logs: a response surface that is known, conditions, seeds, rungs, failures, two aims."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from hpo_cli.record import jsonl
from hpo_cli.sweep.fold import SweepState, read_sweep
from hpo_cli.sweep.space import Condition, Dimension, Space

DEFAULTS = Path(__file__).parents[2] / "conf" / "sweep" / "default.yaml"
BEGAN = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
SGD, ADAM = Condition("optimizer", ("sgd",)), Condition("optimizer", ("adam",))
SPACE = Space(
    (
        Dimension("optimizer", ("optimizer",), choices=("sgd", "adam")),
        Dimension("lr (sgd)", ("lr",), low=1e-3, high=1.0, scale="log", when=(SGD,)),
        Dimension("lr (adam)", ("lr",), low=1e-5, high=1e-1, scale="log", when=(ADAM,)),
        Dimension("optimizer.momentum", ("optimizer.momentum",), low=0.0, high=0.99, when=(SGD,)),
        Dimension("batch_size", ("batch_size",), choices=(16, 32, 64, 128, 256)),
        Dimension("model.width", ("model.width",), low=16, high=256, scale="log", kind="int"),
        Dimension("regularization.dropout", ("regularization.dropout",), low=0.0, high=0.5),
        Dimension("model.activation", ("model.activation",), choices=("relu", "gelu", "tanh")),
    )
)
FAILURE = "RunFailedError: train/loss was nan at step 40; lower lr, or clip the gradients"
ASHA = (1, 3, 9)


@dataclass(frozen=True)
class Sweep:
    """What a test wants to say about a sweep; the rest has defaults. running: trials at the end that still train."""

    trials: int = 40
    seeds: int = 1
    epochs: int = 9
    rungs: tuple[int, ...] = ()
    aims: tuple[tuple[str, str], ...] = (("val/accuracy", "max"),)
    fail_above: float = 0.6  # lr of sgd
    noise: float = 0.002
    running: int = 0
    end: str | None = "all trials are done"
    name: str = "digits"
    space: Space = SPACE
    seed: int = 0


def surface(setting: Mapping[str, Any]) -> float:
    """How good a setting is: lr decides, then batch size and momentum, then width and dropout; activation nothing."""
    best = -1.0 if setting.get("optimizer") == "sgd" else -2.7
    off = math.log10(setting.get("lr", 0.01)) - best
    batch = math.log2(setting.get("batch_size", 64) / 64)
    momentum = setting.get("optimizer.momentum", 0.9) - 0.9
    width = math.log2(setting.get("model.width", 128) / 128)
    dropout = setting.get("regularization.dropout", 0.2) - 0.2
    return 0.985 - 0.06 * off**2 - 0.002 * batch**2 - 0.02 * momentum**2 - 0.001 * width**2 - 0.03 * dropout**2


def write_sweep(folder: Path, sweep: Sweep | None = None) -> Path:
    """The folder of a sweep with its log alone."""
    folder.mkdir(parents=True)
    lines = [jsonl.encode(event) for event in _dated(_events(sweep or Sweep(), folder.name))]
    (folder / "sweep.jsonl").write_bytes(b"".join(lines))
    return folder


def read(folder: Path, sweep: Sweep | None = None) -> SweepState:
    return read_sweep(write_sweep(folder / "3f9c12", sweep))


def _dated(events: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for place, event in enumerate(events):
        yield {"at": (BEGAN + timedelta(seconds=3 * place)).isoformat(timespec="microseconds"), **event}


def began(sweep: Sweep) -> dict[str, Any]:
    settings = yaml.safe_load(DEFAULTS.read_text())
    settings.pop("rules")
    settings |= {"option": "random", "search": "random", "trials": sweep.trials, "seeds": sweep.seeds}
    settings["scheduler"] = "asha" if sweep.rungs else "none"
    return {
        "event": "began", "id": "3f9c12", "name": sweep.name, "cwd": "/home/ada/work", "epochs": sweep.epochs,
        "words": ["data=digits", f"epochs={sweep.epochs}", "optimizer=sgd,adam", "sweep=random"],
        "base": ["data=digits", f"epochs={sweep.epochs}"], "size": None, "settings": settings,
        "space": sweep.space.to_json(), "aims": [{"name": name, "mode": mode} for name, mode in sweep.aims],
        "inner": [{"seed": seed} for seed in range(sweep.seeds)] if sweep.seeds > 1 else [{}],
    }  # fmt: skip


def _events(sweep: Sweep, name: str) -> Iterator[dict[str, Any]]:
    rng = random.Random(sweep.seed)
    yield began(sweep)
    process = {"host": "bench", "pid": 4711, "boot": "b", "namespace": "n", "start": "1"}
    yield {"event": "joined", "who": "ada@bench:4711", "process": process, "workers": 2}
    for number in range(1, sweep.trials + 1):
        setting = sweep.space.draw(rng)
        words = ["data=digits", f"epochs={sweep.epochs}", *(f"{key}={value}" for key, value in setting.items())]
        until = sweep.rungs[0] if sweep.rungs else None
        yield {
            "event": "proposed", "trial": number, "setting": setting, "plan_id": f"{number:08x}", "notes": {},
            "until": until, "words": words,
        }  # fmt: skip
        for run in range(sweep.seeds):
            yield from _training(sweep, name, number, run, setting, rng)
    if sweep.end:
        yield {"event": "left", "who": "ada@bench:4711", "why": "done"}
        yield {"event": "ended_sweep", "why": sweep.end}


def _training(
    sweep: Sweep, name: str, number: int, run: int, setting: Mapping[str, Any], rng: random.Random
) -> Iterator[dict[str, Any]]:
    suffix = "" if sweep.seeds == 1 else f"-{run + 1}"
    yield {"event": "started", "trial": number, "run": run, "folder": f"{name}-{number}{suffix}", "attempt": 1}
    if number > sweep.trials - sweep.running:
        return
    ended = {"event": "ended", "trial": number, "run": run}
    if setting.get("optimizer") == "sgd" and setting.get("lr", 0) > sweep.fail_above:
        reports = [[1, [0.1] * len(sweep.aims)]]
        yield {**ended, "status": "failed", "epoch": 1, "reports": reports, "seconds": 2.0, "reason": FAILURE}
        return
    reached = surface(setting) + rng.gauss(0, sweep.noise)
    last = _last(sweep, reached)
    rate = 0.5 + 0.3 * rng.random()
    reports = []
    for epoch in range(1, last + 1):
        value = reached - 0.6 * math.exp(-rate * epoch) + rng.gauss(0, sweep.noise) / epoch
        reports.append([epoch, [min(1.0, max(0.0, value)), *_others(sweep, setting)]])
    status = "finished" if last == sweep.epochs else "paused"
    yield {
        **ended, "status": status, "epoch": last, "reports": reports, "values": reports[-1][1],
        "seconds": 4.0 * last + rng.random(), "reason": "",
    }  # fmt: skip


def _last(sweep: Sweep, reached: float) -> int:
    if not sweep.rungs:
        return sweep.epochs
    bars = (0.94, 0.975, 2.0)
    return next(rung for rung, bar in zip(sweep.rungs, bars, strict=False) if reached < bar)


def _others(sweep: Sweep, setting: Mapping[str, Any]) -> list[float]:
    return [float(setting.get("model.width", 128) * 74 + 10)] if len(sweep.aims) > 1 else []
