"""A system brought back to a state, a blank one or one that has trained on: every optimizer, every kind of nudge."""

from __future__ import annotations

import copy
import io
from typing import TYPE_CHECKING, Any

import pytest
import torch

from hpo_cli.components.build import build
from hpo_cli.engine import assembly, checkpoints
from hpo_cli.engine.assembly import build_system, resumable_system
from hpo_cli.engine.knobs import read_knobs, set_knobs
from hpo_cli.engine.stop import StopFlag
from hpo_cli.errors import ConfigError
from hpo_cli.options import list_options
from tests.engine.plans import new_loop, plan, splits_of, varied, weights_of

if TYPE_CHECKING:
    from hpo_cli.engine.loop import TrainingLoop
    from hpo_cli.plan import Component, RunPlan

SMALL = ("data.subset=0.1", "epochs=3", "model.width=16", "model.norm=batch", "regularization.dropout=0.2")
"""Twelve steps in three epochs of four batches."""
OPTIMIZERS = list_options("optimizer")
Script = dict[int, dict[str, Any]]


def described(name: str) -> dict[str, Any]:
    """The default schedule of this name as a knob's value."""
    section = plan(f"schedule={name}").config["schedule"]
    return {"option": name, **{key: value for key, value in section.items() if key not in ("warmup_steps", "nudges")}}


MOMENTUM: Script = {2: {"optimizer.momentum": 0.9}, 5: {"optimizer.momentum": 0.0}, 8: {"optimizer.momentum": 0.5}}
SCHEDULES: Script = {
    2: {"schedule": described("one_cycle")}, 4: {"schedule": {**described("plateau"), "patience": 0}},
    7: {"schedule": {**described("plateau"), "factor": 0.5, "patience": 0}}, 9: {"schedule": described("cosine")},
}  # fmt: skip
AVERAGE: Script = {2: {"regularization.ema": 0.99}, 5: {"regularization.ema": None}, 8: {"regularization.ema": 0.9}}
EVERYTHING: Script = {
    3: {"lr": 1e-3, "regularization.ema": 0.9, "regularization.mixup": 0.2, "batch_size": 20, "augment.flip": 0.5,
        "regularization.dropout": 0.4},
    6: {"schedule": described("one_cycle"), "epochs": 4, "batch.accumulate": 2, "regularization.clip_norm": 0.1},
    9: {"regularization.ema": None, "trainer.max_steps": 13, "regularization.label_smoothing": 0.1},
}  # fmt: skip


def turned(loop: TrainingLoop, script: Script) -> None:
    if loop.position.step in script:
        set_knobs(loop.system, script[loop.position.step])
        loop.retune()


def walk(loop: TrainingLoop, script: Script, states: dict[int, bytes]) -> TrainingLoop:
    """Train to the end by a script of nudges, keeping the state of each boundary after what took force there."""
    while not loop.finished:
        turned(loop, script)
        kept = io.BytesIO()
        torch.save(loop.state(), kept)
        states[loop.position.step] = kept.getvalue()
        loop.advance(1, StopFlag())
    return loop


def follow(loop: TrainingLoop, script: Script, state: bytes) -> TrainingLoop:
    """Restore a boundary's state, and train to the end by what the script has beyond it."""
    loop.restore(torch.load(io.BytesIO(state), weights_only=True))
    here = loop.position.step
    loop.begin()
    return walk(loop, {step: knobs for step, knobs in script.items() if step > here}, {})


def ends(loop: TrainingLoop) -> tuple[str, int, str, dict[str, Any]]:
    """Where training ended: weights, steps, everything in the optimizer and the average, knobs."""
    kept = {"optimizer": loop.system.optimizer.state_dict(), "average": loop.state()["average"]}
    flat = {f"{i}": tensor for i, tensor in enumerate(tensors_of(kept))}
    return weights_of(loop), loop.position.step, checkpoints.weights_sha256(flat.items()), read_knobs(loop.system)


def tensors_of(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [tensor for item in items for tensor in tensors_of(item)]


def blank_loop(made: RunPlan) -> TrainingLoop:
    """A loop over a system whose weights nobody cared for."""
    torch.manual_seed(4711)
    return new_loop(made, system=resumable_system(made, splits_of(made).spec))


def check(words: tuple[str, ...], script: Script, *, cuts: tuple[int, ...]) -> None:
    """Resumed in a blank system from each cut, and rolled back to it in the live one, training ends alike."""
    made = plan(*words, *SMALL)
    states: dict[int, bytes] = {}
    loop = new_loop(made)
    loop.begin()
    wanted = ends(walk(loop, script, states))
    assert wanted[1] >= 12
    for cut in cuts:
        assert ends(follow(blank_loop(made), script, states[cut])) == wanted
        assert ends(follow(loop, script, states[cut])) == wanted


@pytest.mark.parametrize("words", [
    (), ("finetune.freeze=1", "regularization.decay=weights"), ("finetune.layer_decay=0.5",),
    ("finetune.freeze_norm=true",),
], ids=["all", "freeze", "layer_decay", "freeze_norm"])  # fmt: skip
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_blank_system_goes_on_exactly(optimizer: str, words: tuple[str, ...]) -> None:
    check((f"optimizer={optimizer}", *words), {}, cuts=(5,))


def test_a_system_that_froze_nothing_would_not(monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan("optimizer=sgd", "finetune.freeze=1", *SMALL)
    states: dict[int, bytes] = {}
    loop = new_loop(made)
    loop.begin()
    walk(loop, {}, states)
    monkeypatch.setattr(assembly.finetuning, "freeze", lambda *_: None)
    with pytest.raises(ValueError, match="parameter group"):
        follow(blank_loop(made), {}, states[5])


def test_groups_and_frozen_layers_are_those_of_the_run() -> None:
    words = ("finetune.freeze=1", "finetune.layer_decay=0.5", "regularization.decay=weights", "optimizer=adamw")
    made = plan(*words, *SMALL)
    first, second = build_system(made, splits_of(made)), resumable_system(made, splits_of(made).spec)

    def layout(system: Any) -> list[Any]:
        names = {parameter: name for name, parameter in system.model.named_parameters()}
        groups = system.optimizer.param_groups
        return [
            [{**group, "params": [names[p] for p in group["params"]]} for group in groups],
            [parameter.requires_grad for parameter in system.model.parameters()],
            [name for name, module in system.model.named_modules() if module in system.frozen_norms],
        ]

    assert layout(first) == layout(second)
    assert len(first.optimizer.param_groups) == 4
    assert first.frozen_norms


def test_nothing_is_initialised_and_no_weights_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def watched(component: Component, **given: Any) -> Any:
        assert component.group != "init", "initialised"
        return build(component, **given)

    made = varied(plan("init=lsuv", *SMALL), "finetune", weights="/nowhere/best.pt")
    with pytest.raises(ConfigError, match="is no checkpoint file"):
        build_system(made, splits_of(made))
    monkeypatch.setattr(assembly, "build", watched)
    resumable_system(made, splits_of(made).spec)
    with pytest.raises(AssertionError, match="initialised"):
        build_system(made, splits_of(made))


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "rmsprop", "lars", "muon"])
def test_a_momentum_that_comes_and_goes_is_exact_from_every_boundary(optimizer: str) -> None:
    changes = copy.deepcopy(MOMENTUM)
    if optimizer == "nesterov":
        changes[5]["optimizer.momentum"] = 0.1  # torch refuses a look ahead without any
    check((f"optimizer={optimizer}",), changes, cuts=(2, 3, 5, 8))


@pytest.mark.parametrize("optimizer", ["sgd", "nesterov", "rmsprop", "adam", "muon", "schedule_free"])
def test_schedules_that_follow_each_other_are_exact(optimizer: str) -> None:
    check((f"optimizer={optimizer}", "schedule=linear"), SCHEDULES, cuts=(1, 2, 3, 4, 8, 9))


def test_an_average_that_comes_and_goes_is_exact_from_every_boundary() -> None:
    check(("optimizer=adam",), AVERAGE, cuts=(1, 2, 3, 4, 5, 6, 8))


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "schedule_free"])
def test_many_nudges_at_once_are_exact_from_every_boundary(optimizer: str) -> None:
    check((f"optimizer={optimizer}", "augment=light"), EVERYTHING, cuts=(2, 3, 5, 6, 8, 9, 11))


def test_a_nudge_that_is_left_out_is_noticed() -> None:
    made = plan("optimizer=sgd", *SMALL)
    states: dict[int, bytes] = {}
    loop = new_loop(made)
    loop.begin()
    wanted = ends(walk(loop, MOMENTUM, states))
    without = {step: knobs for step, knobs in MOMENTUM.items() if step != 5}
    assert ends(follow(blank_loop(made), MOMENTUM, states[3])) == wanted
    assert ends(follow(blank_loop(made), without, states[3]))[0] != wanted[0]
