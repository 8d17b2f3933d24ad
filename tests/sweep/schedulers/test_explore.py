"""What population based training does to copied knobs: inside the space, hot ones alone, and never nothing."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_cli.errors import ConfigError
from hpo_cli.sweep.schedulers.explore import Explorer, is_hot_dimension, refuse_cold
from hpo_cli.sweep.space import Condition, Dimension, Space

LR = Dimension("lr", ("lr",), low=1e-4, high=1e-1, scale="log")
BATCH = Dimension("batch_size", ("batch_size",), low=16, high=256, kind="int", step=16)
CLIP = Dimension("clip", ("regularization.clip_norm",), low=0.0, high=1.0)
SMOOTH = Dimension("smooth", ("regularization.label_smoothing",), choices=(0.0, 0.05, 0.1, 0.2))
PAIR = Dimension("pair", ("optimizer.eps", "optimizer.betas"), choices=((1e-8, 0.9), (1e-7, 0.95)))
KIND = Dimension("optimizer", ("optimizer",), choices=("adam", "sgd"))
MOMENTUM = Dimension("momentum", ("optimizer.momentum",), low=0.0, high=0.99, when=(Condition("optimizer", ("sgd",)),))
GAIN = Dimension("gain", ("init.gain",), low=0.1, high=2.0)
SPACE = Space((LR, BATCH, CLIP, SMOOTH, PAIR, KIND, MOMENTUM, GAIN))


def explorer(space: Space = SPACE, *, resample: float = 0.25, factors: tuple[float, ...] = (0.8, 1.25)) -> Explorer:
    return Explorer(space, {}, factors, resample)


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.25, 1.0]))
def test_what_is_explored_stays_in_the_space_and_cold_knobs_stay_as_they_are(seed: int, resample: float) -> None:
    rng = random.Random(seed)
    own = SPACE.draw(rng)
    source = {**SPACE.draw(rng), "optimizer": own["optimizer"]}
    changes = explorer(resample=resample).changes(own, source, rng)
    assert not {"optimizer", "init.gain"} & set(changes)
    assert SPACE.contains({**{key: value for key, value in own.items() if key not in changes}, **changes})
    assert ("optimizer.momentum" in changes) == (own["optimizer"] == "sgd")


@given(st.integers(0, 10**6))
def test_without_resampling_a_number_is_multiplied_and_a_choice_moves_one_place(seed: int) -> None:
    rng = random.Random(seed)
    source = {**SPACE.draw(rng), "optimizer": "adam"}
    source = SPACE.setting(SPACE.point(source)) | {"lr": 1e-2, "batch_size": 64}
    changes = explorer(resample=0.0).changes(source, source, rng)
    assert changes["lr"] == pytest.approx(8e-3) or changes["lr"] == pytest.approx(1.25e-2)
    assert changes["batch_size"] in (48, 80)
    places = SMOOTH.choices or ()
    now, before = (places.index(one["regularization.label_smoothing"]) for one in (changes, source))
    assert abs(now - before) == 1
    assert (changes["optimizer.eps"], changes["optimizer.betas"]) != (
        source["optimizer.eps"],
        source["optimizer.betas"],
    )


def test_steps_move_by_one_at_least_and_ends_hold() -> None:
    small = Space((Dimension("n", ("batch.accumulate",), low=1, high=4, kind="int"),))
    rng = random.Random(0)
    seen = {
        explorer(small, resample=0.0).changes({}, {"batch.accumulate": 2}, rng)["batch.accumulate"] for _ in range(50)
    }
    assert seen == {1, 3}
    high = {
        explorer(small, resample=0.0).changes({}, {"batch.accumulate": 4}, rng)["batch.accumulate"] for _ in range(50)
    }
    assert high == {3, 4}
    only = Space((Dimension("lr", ("lr",), low=0.1, high=0.2),))
    ends = {explorer(only, resample=0.0, factors=(0.1, 10.0)).changes({}, {"lr": 0.15}, rng)["lr"] for _ in range(50)}
    assert ends == {0.1, 0.2}


def test_a_zero_is_not_a_trap() -> None:
    only = Space((CLIP,))
    rng = random.Random(0)
    key = "regularization.clip_norm"
    assert len({explorer(only, resample=0.0).changes({}, {key: 0.0}, rng)[key] for _ in range(5)}) == 5


def test_resampling_happens_as_often_as_asked() -> None:
    only, rng = Space((LR,)), random.Random(0)
    found = [explorer(only, resample=0.25).changes({}, {"lr": 1e-2}, rng)["lr"] for _ in range(4000)]
    drawn = sum(not any(value == pytest.approx(1e-2 * factor) for factor in (0.8, 1.25)) for value in found)
    assert 0.22 < drawn / 4000 < 0.28


def test_a_knob_that_a_changed_choice_lets_in_is_drawn() -> None:
    kind = Dimension("schedule", ("schedule",), choices=("constant", "cosine"))
    floor = Dimension("floor", ("schedule.floor",), low=0.0, high=0.5, when=(Condition("schedule", ("cosine",)),))
    changes = explorer(Space((kind, floor)), resample=0.0).changes({}, {"schedule": "constant"}, random.Random(0))
    assert changes["schedule"] == "cosine"
    assert 0.0 <= changes["schedule.floor"] <= 0.5


def test_kin_share_all_that_shapes_a_state() -> None:
    kin = explorer().kin
    one: dict[str, Any] = {"optimizer": "adam", "lr": 0.1, "init.gain": 1.0}
    assert kin(one) == kin({**one, "lr": 0.2, "init.gain": 0.5})
    assert kin(one) != kin({**one, "optimizer": "sgd"})


def test_a_space_without_a_hot_knob_is_refused() -> None:
    width = Dimension("width", ("model.width",), choices=(16, 32))
    length = Dimension("epochs", ("epochs",), choices=(10, 20))
    assert not is_hot_dimension(length)
    with pytest.raises(ConfigError, match=r"sweep.scheduler=pbt.*\(width, epochs\).*search a hot one"):
        refuse_cold(Space((width, length)))
    refuse_cold(Space((width, length, LR)))
