"""Spaces, trials and functions that the tests of all searches share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hpo_cli.sweep.fold import settings_from
from hpo_cli.sweep.search.contract import Aim, Search
from hpo_cli.sweep.search.make import make_search
from hpo_cli.sweep.settings import SweepSettings
from hpo_cli.sweep.space import Condition, Dimension, Space
from hpo_cli.sweep.state import Run, Trial
from tests.sweep.settings import sweep_settings_json

LOSS = (Aim("val/loss", "min"),)
Function = Callable[[Mapping[str, Any]], float | None]

MIXED = Space(
    (
        Dimension("optimizer", ("optimizer",), choices=("sgd", "adam")),
        Dimension(
            "sgd.lr", ("optimizer.lr",), low=1e-3, high=1.0, scale="log", when=(Condition("optimizer", ("sgd",)),)
        ),
        Dimension(
            "adam.lr", ("optimizer.lr",), low=1e-5, high=1e-2, scale="log", when=(Condition("optimizer", ("adam",)),)
        ),
        Dimension("momentum", ("optimizer.momentum",), low=0.0, high=0.99, when=(Condition("optimizer", ("sgd",)),)),
        Dimension("depth", ("model.depth",), low=1, high=6, kind="int"),
        Dimension("width", ("model.width",), low=32, high=512, kind="int", scale="log"),
        Dimension("dropout", ("dropout",), low=0.0, high=0.5, step=0.1),
        Dimension("pair", ("batch_size", "epochs"), choices=((16, 1), (32, 2), (64, 4))),
    )
)
"""Everything at once: conditions, scales, steps, whole numbers, zipped lists."""
BASE = {"optimizer": "sgd", "optimizer.lr": 0.1, "optimizer.momentum": 0.9, "model.depth": 2, "model.width": 128}
SQUARE = Space((Dimension("x", ("x",), low=-5.0, high=10.0), Dimension("y", ("y",), low=0.0, high=15.0)))
CUBE = Space(tuple(Dimension(f"x{i}", (f"x{i}",), low=0.0, high=1.0) for i in range(6)))
FOUR = Space(
    (
        Dimension("optimizer", ("optimizer",), choices=("sgd", "adam")),
        Dimension("batch_size", ("batch_size",), choices=(16, 32)),
    )
)


def sweep_settings(search: str, **changes: Any) -> SweepSettings:
    return settings_from(sweep_settings_json(search=search, **changes))


def search_of(name: str, space: Space, *, aims: Sequence[Aim] = LOSS, base: Any = None, **changes: Any) -> Search:
    return make_search(sweep_settings(name, **changes), space, aims, base=BASE if base is None else base)


def trial(
    number: int, setting: Mapping[str, Any], value: Any = None, *, status: Any = "finished", epoch: int = 1
) -> Trial:
    """A trial of one run. value: a number, or one an aim; it was the same in all epochs."""
    run = Run(0, f"run-{number}", status=status, epoch=epoch, attempts=1)
    if value is not None:
        values = tuple(value) if isinstance(value, tuple) else (value,)
        run.reports = dict.fromkeys(range(1, epoch + 1), values)
        run.values = None if status == "running" else values
    return Trial(number, setting, f"plan-{number}", [run])


def sweep(search: Search, function: Function, num_trials: int, trials: Sequence[Trial] = ()) -> list[Trial]:
    """Trials one after the other, as a driver that skips known settings proposes them; ends where the search does."""
    done = list(trials)
    for number in range(len(done) + 1, num_trials + 1):
        setting = new_setting(search, done, number)
        if setting is None:
            break
        done.append(trial(number, setting, function(setting)))
    return done


def new_setting(search: Search, trials: Sequence[Trial], number: int) -> Mapping[str, Any] | None:
    known = [dict(one.setting) for one in trials]
    for attempt in range(100):
        setting = search.propose(trials, number, attempt=attempt)
        if setting is None or dict(setting) not in known:
            return setting
    return None


def bowl(setting: Mapping[str, Any]) -> float:
    """Lowest at sgd with lr 0.1, dropout 0.2; not all dimensions matter."""
    best = 0.1 if setting.get("optimizer", "sgd") == "sgd" else 1e-3
    lr = math.log10(setting.get("optimizer.lr", best) / best)
    other = 0.0 if setting.get("optimizer", "sgd") == "sgd" else 0.5
    return lr**2 + other + (setting.get("dropout", 0.2) - 0.2) ** 2


def branin(setting: Mapping[str, Any]) -> float:
    """Three minima of 0.397887 in -5 .. 10 by 0 .. 15 (Dixon & Szego 1978)."""
    x, y = setting["x"], setting["y"]
    hill = (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
    return hill + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


_ALPHA = (1.0, 1.2, 3.0, 3.2)
_A = ((10, 3, 17, 3.5, 1.7, 8), (0.05, 10, 17, 0.1, 8, 14), (3, 3.5, 1.7, 10, 17, 8), (17, 8, 0.05, 10, 0.1, 14))
_P = (
    (0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886),
    (0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991),
    (0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650),
    (0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381),
)


def hartmann(setting: Mapping[str, Any]) -> float:
    """Minimum -3.32237 at (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573) (Dixon & Szego 1978)."""
    point = [setting[f"x{i}"] for i in range(6)]
    return -sum(
        alpha * math.exp(-sum(a * (x - p) ** 2 for a, x, p in zip(row, point, place, strict=True)))
        for alpha, row, place in zip(_ALPHA, _A, _P, strict=True)
    )
