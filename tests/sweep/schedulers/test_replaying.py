"""A scheduler that is made anew and hears the log decides what the first one decided, at every point of a sweep."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hpo_cli.sweep.orders import New, Order
from hpo_cli.sweep.schedulers.none import NoScheduler
from hpo_cli.sweep.simulate import simulate
from tests.sweep.fake import Listed
from tests.sweep.schedulers.desk import replayed, scheduler, settings

SWEEPS: dict[str, dict[str, Any]] = {
    "none": {},
    "asha": {"eta": 2},
    "hyperband": {"eta": 2},
    "pbt": {"population": 12, "interval": 2},
}


def events(name: str, *, seed: int, seeds: int = 1) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    drawn = [
        {"lr": 10 ** rng.uniform(-4, 0), "slow": rng.choice((1.0, 2.7)), "bad": rng.random() < 0.1} for _ in range(40)
    ]

    def curve(setting: Any, seed: int) -> list[float]:
        noise = random.Random(f"{setting['lr']}/{seed}")
        return [float("nan") if setting["bad"] and e > 3 else setting["lr"] + noise.random() for e in range(16)]

    found = simulate(
        scheduler(name, epochs=16, **SWEEPS[name]), Listed(drawn), curve, epochs=16, workers=5,
        settings=settings(trials=40, seeds=seeds, reduce="last"),
        seconds_per_epoch=lambda setting, _trial: setting["slow"],
    )  # fmt: skip
    return [dict(event) for event in found.events]


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("name", SWEEPS)
def test_hearing_the_log_again_gives_the_same_orders(name: str, seeds: int) -> None:
    log = events(name, seed=seeds, seeds=seeds)
    kinds = {event["event"] for event in log}
    assert {"proposed"} | ({"ordered"} if name != "none" else set()) | (
        {"adopting"} if name == "pbt" else set()
    ) <= kinds
    assert replayed(lambda: scheduler(name, epochs=16, **SWEEPS[name]), log) == []


class Forgetful(NoScheduler):
    """Counts what it was asked, not what it heard."""

    def __init__(self) -> None:
        self.asked = 0

    def next(self, trials: Any, *, may_begin: bool) -> Order | None:
        self.asked += 1
        return New(notes={"number": self.asked}) if may_begin else None


def test_a_scheduler_that_counts_its_own_answers_is_found_out() -> None:
    found = simulate(
        Forgetful(), Listed([{"x": float(i)} for i in range(5)]), lambda _setting, _seed: [1.0] * 4,
        settings=settings(trials=5), epochs=4,
    )  # fmt: skip
    assert len(replayed(Forgetful, found.events)) == 4


def test_the_same_sweep_gives_the_same_log() -> None:
    assert events("pbt", seed=4) == events("pbt", seed=4)
    assert events("pbt", seed=4) != events("pbt", seed=5)
