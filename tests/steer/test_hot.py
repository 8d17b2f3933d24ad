"""The table of hot keys: it is the engine's own, and it knows which keys name one quantity."""

from __future__ import annotations

import pytest

from hpo_cli.engine import knobs
from hpo_cli.options import GROUPS, list_options, main_config
from hpo_cli.steer.hot import HOT, TWINS, WHOLE, canonical, is_hot, knob_of, schedule_key, term_of, twins_of


def test_the_engine_has_the_same_knobs() -> None:
    assert set(knobs.HOT) == set(HOT)
    assert all(HOT.values())


@pytest.mark.parametrize("key", HOT)
def test_every_hot_key_stands_in_some_config(key: str) -> None:
    group, _, name = key.rpartition(".")
    shared = main_config().defaults.get(group) if group else main_config().defaults
    options = list_options(group).values() if group in GROUPS else ()
    assert key in GROUPS or name in (shared or {}) or any(name in option.keys for option in options)


def test_twins_are_the_interpolations_of_the_option_files() -> None:
    found = {}
    for group in GROUPS:
        for option in list_options(group).values():
            for key, value in option.defaults.items():
                if isinstance(value, str) and "${regularization." in value:
                    found[f"{group}.{key}"] = value.strip("${}")
    assert found == {copy: origin for copy, origin in TWINS.items() if origin.startswith("regularization.")}
    assert len(found) == 3


@pytest.mark.parametrize(
    ("key", "knob"),
    [
        ("optimizer.lr", "lr"), ("lr", "lr"), ("optimizer.weight_decay", "regularization.weight_decay"),
        ("model.dropout", "regularization.dropout"), ("model.stochastic_depth", "regularization.stochastic_depth"),
        ("loss.label_smoothing", "regularization.label_smoothing"), ("epochs", "epochs"),
        ("model.depth", "model.depth"),
    ],
)  # fmt: skip
def test_a_key_is_known_by_the_name_of_its_knob(key: str, knob: str) -> None:
    assert canonical(key) == knob
    assert key in twins_of(knob)
    assert canonical(canonical(key)) == canonical(key)


@pytest.mark.parametrize(
    "key", ["lr", "optimizer.lr", "schedule", "schedule.floor", "schedule.warmup_steps", "loss.terms.a.b.weight"]
)
def test_hot_keys(key: str) -> None:
    assert is_hot(key)


@pytest.mark.parametrize(
    "key", ["model.depth", "schedule._target_", "schedule.nudges", "schedule.a.b", "schedule.", "loss.terms.weight",
            "loss.terms..weight", "loss.terms", "", "optimizer", "seed"],
)  # fmt: skip
def test_cold_keys(key: str) -> None:
    assert not is_hot(key)


def test_parts_of_keys() -> None:
    assert term_of("loss.terms.tight.weight") == "tight"
    assert term_of("loss.gamma") is None
    assert schedule_key("schedule.floor") == "floor"
    assert schedule_key("schedule.warmup_steps") is None
    assert knob_of("schedule.floor") == "schedule"
    assert knob_of("schedule.warmup_steps") == "schedule.warmup_steps"
    assert knob_of("optimizer.lr") == "lr"
    assert set(HOT) >= WHOLE
