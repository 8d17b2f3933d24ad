"""Sweeps in which everything goes wrong, in any order: they end, nobody is forgotten, and the rules hold."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from hpo_cli.sweep.orders import New
from hpo_cli.sweep.schedulers.hyperband import hyperband_table
from tests.sweep.schedulers.desk import Desk, replayed, scheduler, wrong_promotions

CHANGES = {"asha": {}, "hyperband": {}, "pbt": {"population": 10, "interval": 2}}


def rough(name: str, *, seed: int, trials: int = 40, slots: int = 5) -> Desk:
    """Losses are random; one in ten fails, is lost and tried again, has no value, or is stopped while it waits."""
    rng = random.Random(seed)
    desk = Desk(scheduler(name, epochs=9, **CHANGES[name]), epochs=9, settings=[{"lr": 0.01}] * trials)
    for _ in range(20_000):
        running = [trial.number for trial, _ in ((desk.state.trial(n), r) for n, r in desk.state.running)]
        desk.may_begin = len(desk.state.trials) < trials
        if len(running) < slots and desk.state.ready:
            number, index = next(iter(desk.state.ready))
            desk.tell({"event": "started", "trial": number, "run": index})
            continue
        if len(running) < slots and desk.fill() is not None:
            continue
        if not running:
            return desk
        go_wrong(desk, rng.choice(running), rng)
    raise AssertionError("it never ends")


def go_wrong(desk: Desk, number: int, rng: random.Random) -> None:
    chance = rng.random()
    if chance < 0.1:
        desk.end(number, None, status="failed", epoch=desk.state.trial(number).epoch)
    elif chance < 0.2:
        desk.end(number, None, status="lost", epoch=desk.state.trial(number).epoch)
    else:
        desk.end(number, None if chance < 0.3 else rng.random())
    waiting = [trial.number for trial in desk.state.trials if trial.status == "paused"]
    if waiting and rng.random() < 0.1:
        stopped = rng.choice(waiting)
        desk.tell({"event": "stopping", "trial": stopped, "why": "somebody said so"})


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("seed", range(8))
def test_a_rough_sweep_ends_with_nobody_running_or_forgotten(name: str, seed: int) -> None:
    desk = rough(name, seed=seed)
    assert not desk.state.running
    assert not desk.state.ready
    kinds = Counter(trial.status for trial in desk.state.trials)
    assert len(desk.state.trials) == (10 if name == "pbt" else 40)
    assert kinds["finished"] > 0
    assert kinds["failed"] > 0
    if name == "pbt":
        assert kinds["paused"] == 0  # whoever waits goes on, in the end


@pytest.mark.parametrize("seed", range(8))
def test_the_rule_of_asha_holds_in_a_rough_sweep(seed: int) -> None:
    desk = rough("asha", seed=seed)
    # one that was stopped while it waited had come to that rung with its value: the rule counts it there
    assert wrong_promotions(desk.events, (1, 3, 9), 3) == []


@pytest.mark.parametrize("seed", range(8))
def test_no_round_of_a_rough_hyperband_is_larger_than_the_table(seed: int) -> None:
    desk = rough("hyperband", seed=seed, trials=60)
    table = hyperband_table(9, min_epochs=1, eta=3)
    promoted = Counter(
        (desk.state.trial(e["trial"]).notes["bracket"], e["until"]) for e in desk.events if e["event"] == "ordered"
    )
    for (bracket, until), num in promoted.items():
        level = next(level for level in table[bracket % 3] if level.epochs == (until or 9))
        assert num <= level.trials
    assert len({bracket for bracket, _ in promoted}) >= 4


@pytest.mark.parametrize("name", CHANGES)
def test_a_rough_sweep_is_resumed_as_it_was(name: str) -> None:
    desk = rough(name, seed=11)
    assert replayed(lambda: scheduler(name, epochs=9, **CHANGES[name]), desk.events) == []


def test_new_trials_keep_coming_while_others_fail() -> None:
    desk = Desk(scheduler("asha", epochs=9), epochs=9)
    for number in range(1, 20):
        assert isinstance(desk.fill(), New)
        desk.end(number, None, status="failed", epoch=0)
