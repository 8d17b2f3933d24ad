"""Every knob of the table: read back, and felt by the next steps. A new knob needs no new code here."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from hpo_cli.engine.knobs import HOT, read_knobs, set_knobs
from hpo_cli.engine.loop import TrainingLoop
from hpo_cli.engine.stop import StopFlag
from tests.engine.plans import finish, new_loop, plan, rows_of, trained, weights_of

COMMON = ("data.subset=0.1", "epochs=3", "model.width=16", "schedule.warmup_steps=2", "trainer.log_every_steps=1")
SYSTEMS: dict[str, tuple[str, ...]] = {
    "adam": ("regularization.dropout=0.2", *COMMON),
    "adamw": ("optimizer=adamw", *COMMON),
    "sgd": ("optimizer=sgd", *COMMON),
    "rmsprop": ("optimizer=rmsprop", *COMMON),
    "bce": ("data=breast_cancer", "loss=bce", *COMMON[1:]),
    "mse": ("data=diabetes", "loss=mse", *COMMON[1:]),
    "momentum": ("optimizer=nesterov", "schedule=one_cycle", *COMMON),
    "resnet": ("model=resnet", "model.depth=8", "model.channels=4", *COMMON[:2], *COMMON[3:]),
    "focal": ("data=breast_cancer", "loss=focal_binary", *COMMON[1:]),
    "huber": ("data=diabetes", "loss=huber", *COMMON[1:]),
    "centers": ("loss=cross_entropy_center", *COMMON),
    "terms": ("loss=weighted", "loss.terms={cross_entropy:1.0,focal:0.5}", *COMMON),
    "augment": ("augment=strong", *COMMON),
    "cnn": ("model=cnn", "model.channels=4", "model.depth=2", *COMMON[:2], *COMMON[3:]),
}
PRESENT = [(name, key) for name, words in SYSTEMS.items() for key in read_knobs(new_loop(plan(*words)).system)]


def another(value: Any) -> Any:
    """A value that is allowed wherever `value` is, and different."""
    if isinstance(value, list):
        return [another(item) for item in value]
    if isinstance(value, int):
        return value + 3
    return 0.01 if value is None else 0.3 if value < 0.3 else value / 2


def after_two_steps(words: tuple[str, ...]) -> TrainingLoop:
    loop = new_loop(plan(*words))
    loop.begin()
    loop.advance(2, StopFlag())
    return loop


def footprint(loop: TrainingLoop) -> tuple[str, tuple[int, ...], int]:
    """What two steps leave: weights, places in the epoch, and how far training goes.

    One would not do: the first step of sgd with momentum is the one without.
    """
    places = []
    for _ in range(2):
        loop.advance(1, StopFlag())
        places.append(loop.position.sample)
    with loop.system.evaluating():
        judged = weights_of(loop)
    return judged, tuple(places), loop.horizon.total_steps


@functools.cache
def untouched(words: tuple[str, ...]) -> tuple[str, tuple[int, ...], int]:
    return footprint(after_two_steps(words))


def test_every_knob_is_on_some_system() -> None:
    assert len(HOT) >= 16
    of_colours = {"augment.saturation", "augment.hue"}  # no bundled data has any
    assert {key for _, key in PRESENT if not key.startswith("loss.terms.")} == set(HOT) - of_colours


@pytest.mark.parametrize(("name", "key"), PRESENT, ids=lambda value: value)
def test_a_knob_reads_back_and_changes_the_next_steps(name: str, key: str) -> None:
    loop = after_two_steps(SYSTEMS[name])
    before = read_knobs(loop.system)
    wanted = another(before[key])
    set_knobs(loop.system, {key: wanted})
    assert read_knobs(loop.system) == {**before, key: wanted}
    assert footprint(loop) != untouched(SYSTEMS[name])
    finish(loop)


def test_setting_a_knob_to_its_value_changes_nothing() -> None:
    loop = after_two_steps(SYSTEMS["adam"])
    set_knobs(loop.system, read_knobs(loop.system))
    assert footprint(loop) == untouched(SYSTEMS["adam"])


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_fresh_system_has_the_values_of_the_plan(name: str) -> None:
    made = plan(*SYSTEMS[name])
    for key, value in read_knobs(new_loop(made).system).items():
        wanted: Any = made.config
        for part in key.split("."):
            wanted = wanted[part] if isinstance(wanted, dict) else wanted
        assert value == wanted, key


def test_a_key_that_is_no_knob_here_is_refused() -> None:
    system = new_loop(plan(*SYSTEMS["mse"])).system
    for key in ("optimizer.momentum", "regularization.label_smoothing", "model.width"):
        with pytest.raises(KeyError):
            set_knobs(system, {key: 0.1})


@pytest.mark.parametrize("batch_size", [8, 50, 64])
@pytest.mark.parametrize("steps", [2, 4])
def test_a_new_batch_size_takes_the_samples_that_are_left(batch_size: int, steps: int) -> None:
    """126 samples in batches of 32: after 2 steps 62 of the first epoch are left, after 4 steps none."""
    loop = new_loop(plan(*SYSTEMS["adam"]))
    loop.begin()
    loop.advance(steps, StopFlag())
    set_knobs(loop.system, {"batch_size": batch_size})
    num_samples = loop.horizon.num_samples
    left = num_samples - 32 * steps if steps < 4 else 0
    seen: list[int] = []
    update = loop.stepper.update
    loop.stepper.update = lambda batches, **keys: (  # type: ignore[method-assign]
        seen.extend(len(x) for x, _ in batches),
        update(batches, **keys),
    )
    promised = loop.horizon.total_steps
    finish(loop)
    assert sum(seen) == left + 2 * num_samples
    assert max(seen) == min(batch_size, num_samples)
    assert loop.position.step == promised
    assert [row["epoch"] for row in rows_of(loop) if "val/loss" in row] == [1, 2, 3]


def test_more_epochs_are_trained_and_the_schedule_goes_on_from_where_it_is() -> None:
    loop = after_two_steps(SYSTEMS["adam"])
    set_knobs(loop.system, {"epochs": 5})
    finish(loop)
    assert (loop.position.epoch, loop.position.step) == (5, 20)
    five = trained(plan(*SYSTEMS["adam"], "epochs=5"))
    assert [row["lr"] for row in rows_of(loop)[2:]] == [row["lr"] for row in rows_of(five)[2:]]
