"""What is refused once data and network are known, threads, and the length of training."""

from __future__ import annotations

import functools
import math
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from hpo_cli.engine import checkpoints, preflight
from hpo_cli.engine.assembly import build_system
from hpo_cli.engine.preflight import check_change, check_fit, choose_threads, horizon, layer_flops
from hpo_cli.engine.progress import Position
from hpo_cli.engine.states import system_state
from hpo_cli.engine.stop import StopFlag
from hpo_cli.engine.system import Settings
from hpo_cli.errors import ConfigError
from tests.engine.plans import arrays, new_loop, plan, splits_of, trained, varied

if TYPE_CHECKING:
    from pathlib import Path

    from hpo_cli.engine.system import System
    from hpo_cli.plan import RunPlan

SMALL = ("data.subset=0.1", "model.width=16")
N = 126
CNN = ("model=cnn", "model.channels=4", "data.subset=0.1")


def problems(plan: RunPlan) -> list[str]:
    splits = splits_of(plan)
    try:
        check_fit(plan, build_system(plan, splits), splits)
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


def test_a_plan_that_fits_has_no_problem() -> None:
    assert len(splits_of(plan(*SMALL)).train.x) == N
    assert problems(plan(*SMALL)) == []
    assert problems(varied(plan(*SMALL), "", batch_size=N)) == []


def test_all_problems_come_at_once_with_key_value_rule_and_fix() -> None:
    made = varied(varied(plan(*SMALL), "", batch_size=N + 1, epochs=2), "schedule", warmup_steps=3)
    assert problems(made) == [
        f"batch_size={N + 1}: must not exceed the {N} training samples; lower it",
        "schedule.warmup_steps=3: must not exceed the 2 steps of this run; lower it or raise epochs",
    ]


def test_warm_up_may_take_all_steps_and_max_steps_counts() -> None:
    made = varied(plan(*SMALL), "schedule", warmup_steps=4)
    assert problems(varied(made, "", epochs=1)) == []
    assert "must not exceed the 3 steps" in problems(varied(made, "trainer", max_steps=3))[0]


@pytest.mark.parametrize("batch_size", [25, 5, 125])
def test_batch_norm_with_a_lonely_last_sample_is_refused_where_torch_would_fail(batch_size: int) -> None:
    made = varied(varied(plan(*SMALL), "model", norm="batch"), "", batch_size=batch_size, epochs=1)
    (problem,) = problems(made)
    assert f"batch_size={batch_size}: leaves a last batch of 1 of {N} samples" in problem
    assert fails(made)
    assert not fails(varied(made, "model", norm="layer"))
    assert problems(varied(made, "model", norm="layer")) == []
    assert problems(varied(made, "", batch_size=batch_size - 1)) == []
    assert not fails(varied(made, "", batch_size=batch_size - 1))


def fails(plan: RunPlan) -> bool:
    try:
        trained(plan)
    except ValueError as error:
        return "more than 1 value per channel" in str(error)
    return False


@pytest.mark.parametrize(("depth", "refused"), [(3, False), (4, True)])
def test_batch_norm_of_images_is_refused_where_they_have_shrunk_to_one_position(depth: int, refused: bool) -> None:
    made = varied(varied(plan(*CNN), "model", depth=depth), "", batch_size=25, epochs=1)
    assert bool(problems(made)) == refused
    assert fails(made) == refused


def test_batch_norm_of_sequences_takes_a_single_one() -> None:
    made = varied(plan("data=mnist1d", "model=cnn", "model.channels=4", "model.depth=2", "epochs=1"), "", batch_size=99)
    num_samples = len(splits_of(made).train.x)
    size = next(size for size in range(50, 2000) if num_samples % size == 1)
    made = varied(made, "", batch_size=size)
    assert problems(made) == []
    assert not fails(varied(made, "trainer", max_steps=None))


def test_batch_norm_over_two_processes_needs_two_samples_for_each() -> None:
    made = varied(plan("model.norm=batch", *SMALL), "", batch_size=41)
    assert problems(made) == []  # a last batch of three
    assert "leaves a last batch of 3" in problems(varied(made, "trainer", devices=2))[0]
    assert problems(varied(varied(made, "trainer", devices=2), "", batch_size=61)) == []  # a last batch of four


@pytest.mark.parametrize(
    ("gpus", "trainer", "wanted"),
    [
        (0, {"accelerator": "gpu"}, "trainer.accelerator=gpu: torch sees no GPU here; use trainer=cpu"),
        (1, {"accelerator": "gpu"}, None),
        (1, {"accelerator": "gpu", "devices": 2}, "trainer.devices=2: torch sees 1 GPU here"),
        (2, {"accelerator": "auto", "devices": 3}, "trainer.devices=3: torch sees 2 GPUs here"),
        (0, {"accelerator": "auto", "devices": 3}, None),
        (1, {"accelerator": "cpu", "devices": 3}, None),
        (1, {"accelerator": "cpu", "devices": 5}, "trainer.devices=5: starts as many processes"),
        (0, {"accelerator": "auto", "devices": 5}, "trainer.devices=5: starts as many processes"),
    ],
)
def test_devices_that_are_not_there_are_refused(
    gpus: int, trainer: dict[str, object], wanted: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    found = problems(varied(plan(*SMALL), "trainer", **trainer))
    assert [problem.startswith(wanted or "?") for problem in found] == ([True] if wanted else [])


def test_apples_gpu_is_refused_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert "no Apple GPU" in problems(varied(plan(*SMALL), "trainer", accelerator="mps"))[0]


def system_of(plan: RunPlan) -> System:
    return build_system(plan, splits_of(plan))


@pytest.mark.parametrize(("threads", "devices", "small", "wanted"), [
    (3, 1, True, 3), (3, 2, False, 3), (None, 1, True, 1), (None, 4, True, 1),
    (None, 1, False, 8), (None, 2, False, 4), (None, 3, False, 2), (None, 16, False, 1),
])  # fmt: skip
def test_threads_are_as_asked_or_one_for_a_small_step_or_a_share_of_the_cores(
    threads: int | None, devices: int, small: bool, wanted: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = varied(plan(*SMALL), "trainer", threads=threads, devices=devices)
    system = system_of(made)
    flops = layer_flops(system, made.batch_size)
    monkeypatch.setattr(preflight, "SMALL_STEP_FLOPS", sum(flops) * (1.1 if small else 0.9))
    monkeypatch.setattr(preflight, "SMALL_LAYER_FLOPS", 0.0)
    assert choose_threads(made, system, cores=8) == wanted
    monkeypatch.setattr(preflight, "SMALL_LAYER_FLOPS", 1.1 * sum(flops) / len(flops))
    assert choose_threads(made, system, cores=8) == (threads or 1)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("model.width=16", "model.depth=1"),
        ("model.depth=0",),
        CNN,
        ("data=mnist1d", "model=cnn", "model.norm=none"),
        ("model=resnet", "model.depth=8"),
    ],
    ids=["mlp", "narrow", "linear", "cnn", "cnn1d", "resnet"],
)
def test_flops_agree_with_torchs_counter(words: tuple[str, ...]) -> None:
    """Torch does not count the gradient of the input, which the first layer does not need; we do."""
    made = plan(*words)
    loop = new_loop(made)
    x, y = (part[:32] for part in arrays(made, "train"))
    with FlopCounterMode(display=False) as counter:
        loop.stepper.loss_of(x, y).backward()
    found = sum(layer_flops(loop.system, 32))
    assert 1.0 <= found / counter.get_total_flops() <= 1.5
    assert sum(layer_flops(loop.system, 64)) == 2 * found


def test_counting_leaves_the_model_as_it_was() -> None:
    system = system_of(plan("model.norm=batch", *SMALL))
    before = {name: value.clone() for name, value in system.model.state_dict().items()}
    system.model.train()
    layer_flops(system, 1)
    assert all(module.training and not module._forward_hooks for module in system.model.modules())
    assert all(torch.equal(value, before[name]) for name, value in system.model.state_dict().items())


@functools.cache
def planned_settings() -> Settings:
    return new_loop(plan(*SMALL)).system.settings


def settings(batch_size: int, accumulate: int, epochs: int) -> Settings:
    return replace(planned_settings(), batch_size=batch_size, accumulate=accumulate, epochs=epochs)


def counted(num_samples: int, now: Settings, position: Position) -> list[Position]:
    """The positions after each further update, by walking."""
    step, found = position.step, []
    for epoch in range(position.epoch, now.epochs):
        sample = position.sample if epoch == position.epoch else 0
        while sample < num_samples:
            for _ in range(now.accumulate):
                sample = min(num_samples, sample + now.batch_size)
            step += 1
            found.append(Position(step, epoch + (sample == num_samples), sample % num_samples))
    return found


@given(
    num_samples=st.integers(1, 60),
    batch_size=st.integers(1, 60),
    accumulate=st.integers(1, 5),
    epochs=st.integers(1, 4),
)
def test_the_horizon_is_what_walking_there_counts(
    num_samples: int, batch_size: int, accumulate: int, epochs: int
) -> None:
    now = settings(batch_size, accumulate, epochs)
    places = counted(num_samples, now, Position())
    until = horizon(now, num_samples, max_steps=None)
    assert until.total_steps == len(places) == until.steps_per_epoch * epochs
    assert {horizon(now, num_samples, max_steps=None, position=place).total_steps for place in places} == {len(places)}
    assert horizon(now, num_samples, max_steps=2).total_steps == min(2, len(places))


@given(
    sample=st.integers(0, 59),
    epoch=st.integers(0, 3),
    batch_size=st.integers(1, 60),
    accumulate=st.integers(1, 5),
)
def test_the_horizon_from_a_place_that_other_settings_led_to(
    sample: int, epoch: int, batch_size: int, accumulate: int
) -> None:
    now, place = settings(batch_size, accumulate, 4), Position(17, epoch, sample)
    assert horizon(now, 60, max_steps=None, position=place).total_steps == counted(60, now, place)[-1].step
    assert math.isfinite(horizon(now, 60, max_steps=None, position=place).steps_per_epoch)


def change_problems(words: tuple[str, ...], changes: dict[str, dict[str, object]], position: Position) -> list[str]:
    """What is wrong with going on from `position` by a plan with these values. {section: {key: value}}"""
    made = plan(*words)
    system = new_loop(made).system
    revised = made
    for section, values in changes.items():
        revised = varied(revised, section, **values)
    try:
        check_change(revised, system, splits=splits_of(made), position=position)
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []


WORDS = ("epochs=4", *SMALL)
HALFWAY = Position(10, 2, 64)
"""Four steps an epoch; two whole epochs and two steps of the third are done."""


def test_a_change_that_fits_has_no_problem() -> None:
    assert change_problems(WORDS, {}, HALFWAY) == []
    changes = {"": {"lr": 0.1, "epochs": 3, "batch_size": 8}, "trainer": {"max_steps": 11}}
    assert change_problems(WORDS, changes, HALFWAY) == []


@pytest.mark.parametrize(
    ("changes", "position", "wanted"),
    [
        (
            {"": {"epochs": 2}},
            HALFWAY,
            "epochs=2: leaves nothing to train at step 10, after 2 epochs and a part of the",
        ),
        ({"": {"epochs": 1}}, HALFWAY, "epochs=1: leaves nothing to train"),
        (
            {"": {"epochs": 2}},
            Position(8, 2, 0),
            "epochs=2: leaves nothing to train at step 8, after 2 epochs; raise it",
        ),
        ({"trainer": {"max_steps": 10}}, HALFWAY, "trainer.max_steps=10: leaves nothing to train at step 10"),
        ({"": {"batch_size": N + 1}}, HALFWAY, f"batch_size={N + 1}: must not exceed the {N} training samples"),
        ({"schedule": {"warmup_steps": 17}}, HALFWAY, "schedule.warmup_steps=17: must not exceed the 16 steps"),
        ({"": {"epochs": 3}, "schedule": {"warmup_steps": 13}}, HALFWAY, "must not exceed the 12 steps"),
        ({"regularization": {"cutmix": 1.0}}, HALFWAY, None),
    ],
)
def test_a_change_that_a_live_run_cannot_take(
    changes: dict[str, dict[str, object]], position: Position, wanted: str | None
) -> None:
    found = change_problems(WORDS, changes, position)
    assert [wanted in problem for problem in found] == [True] if wanted else not found
    assert all("; raise it" in problem for problem in found if "nothing to train" in problem)


@pytest.mark.parametrize(
    ("words", "changes", "wanted"),
    [
        (("model.norm=batch", *WORDS), {"": {"batch_size": 25}}, "leaves a last batch of 1"),
        (("model.depth=0", *WORDS[:-1]), {"regularization": {"dropout": 0.2}}, "has no place for it"),
        (("data=iris",), {"regularization": {"cutmix": 1.0}}, "regularization.cutmix=1.0"),
        (("loss=cross_entropy_center", *WORDS), {"regularization": {"mixup": 0.2}}, "draws samples to the center"),
        (WORDS, {"schedule": {"floor": 0.5, "unknown": 1}}, "schedule.unknown: not an option of cosine"),
        (
            ("schedule=torch", "schedule.name=OneCycleLR", "schedule.per=step", *WORDS,
             "schedule.arguments={max_lr:1.0,total_steps:20}"),
            {"": {"epochs": 9}}, "ends after 20 steps, the run has 36",
        ),
    ],
)  # fmt: skip
def test_what_the_network_the_data_and_the_schedule_refuse(
    words: tuple[str, ...], changes: dict[str, dict[str, object]], wanted: str
) -> None:
    assert change_problems(words, {}, Position(1, 0, 32)) == []
    (problem,) = change_problems(words, changes, Position(1, 0, 32))
    assert wanted in problem


def test_all_problems_of_a_change_come_at_once() -> None:
    changes = {"": {"epochs": 1, "batch_size": 500}, "trainer": {"max_steps": 3}}
    assert len(change_problems(WORDS, changes, HALFWAY)) == 3


@pytest.mark.parametrize(
    "words", [("model.norm=batch", "finetune.freeze=1", *WORDS), ("data=text", "data.path={file}", "model=lstm")]
)
def test_a_check_leaves_no_trace_in_a_live_run(words: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text("to be or not to be " * 200)
    made = plan(*(word.format(file=file) if "{file}" in word else word for word in words))
    loop = new_loop(made)
    loop.begin()
    loop.advance(2, StopFlag())
    system = loop.system
    modes = {module: module.training for module in system.model.modules()}
    before, drawn = checkpoints.snapshot(system_state(system)), torch.get_rng_state()
    check_change(varied(made, "", batch_size=16), system, splits=splits_of(made), position=loop.position)
    assert {module: module.training for module in system.model.modules()} == modes
    assert all(modes.values()) != bool(system.frozen_norms)
    assert len(tensors_of(before)) > 10
    assert all(map(torch.equal, tensors_of(before), tensors_of(system_state(system))))
    assert torch.equal(torch.get_rng_state(), drawn)


@pytest.mark.parametrize(("words", "wanted"), [
    (("model.depth=0", "schedule.nudges=[{at:0.5,regularization.dropout:0.2}]"), ["regularization.dropout"]),
    (("schedule.nudges=[{at:0.5,batch_size:500}]",), ["batch_size=500"]),
    (("schedule.nudges=[{at:0.2,epochs:1},{at:0.5,trainer.max_steps:2}]", "schedule.warmup_steps=5"),
     ["schedule.warmup_steps=5", "schedule.warmup_steps=5"]),
    (("schedule.nudges=[{at:0.5,lr:0.1,schedule:linear,regularization.dropout:0.2}]",), []),
    (("schedule.nudges=[{at:0.5,schedule:{option:own,_target_:os.system}}]",), ["schedule._target_=os.system"]),
])  # fmt: skip
def test_planned_nudges_that_this_run_could_not_take_are_refused_at_its_start(
    words: tuple[str, ...], wanted: list[str]
) -> None:
    found = problems(plan(*words, "epochs=4", *SMALL[: 1 if "model.depth=0" in words else 2]))
    assert len(found) == len(wanted), found
    for line, key in zip(found, wanted, strict=True):
        assert line.startswith("schedule.nudges[")
        assert line.split("].", 1)[1].startswith(f"{key}:"), line


def tensors_of(value: Any) -> list[torch.Tensor]:
    """All tensors in a state, in order."""
    if isinstance(value, torch.Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [tensor for item in items for tensor in tensors_of(item)]


def test_who_would_rather_end_a_live_run_is_told_how() -> None:
    made = plan(*WORDS)
    system, revised = new_loop(made).system, varied(made, "", epochs=1)
    with pytest.raises(ConfigError, match="raise it, or end the run: hpo-run stop panda"):
        check_change(revised, system, splits=splits_of(made), position=HALFWAY, run="panda")
