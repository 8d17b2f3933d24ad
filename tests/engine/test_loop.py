"""Resume from any step, failures named by their step, early stopping, when checkpoints are due."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpo_cli.engine import checkpoints, tally
from hpo_cli.engine import loop as loop_room
from hpo_cli.engine import step as step_room
from hpo_cli.engine.progress import Best
from hpo_cli.engine.step import Rates
from hpo_cli.engine.stop import StopFlag, StoppedError
from hpo_cli.errors import RunFailedError
from hpo_cli.options import list_options
from tests.engine.bare import Recipe, bare_loop, mlp
from tests.engine.plans import (
    SMALL,
    MemoryRecorder,
    arrays,
    finish,
    new_loop,
    plan,
    rows_of,
    trained,
    varied,
    weights_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hpo_cli.engine.loop import TrainingLoop
    from hpo_cli.plan import RunPlan

RICH = (
    *("data.subset=0.1", "epochs=3", "model.width=16", "model.norm=batch", "batch_size=30", "batch.accumulate=2"),
    *("regularization.dropout=0.3", "regularization.clip_norm=0.5", "regularization.early_stopping=3"),
    *("schedule.warmup_steps=2", "trainer.log_every_steps=2"),
)
"""Nine steps in three epochs of five batches, with all that has a memory."""

OPTIMIZERS = {name: (f"optimizer={name}",) for name in list_options("optimizer")}
MEMORIES = {
    **OPTIMIZERS,
    "adamw": ("optimizer=adamw", "optimizer.amsgrad=true"),
    "rmsprop": ("optimizer=rmsprop", "optimizer.momentum=0.5", "optimizer.centered=true"),
    "decay": ("optimizer=sgd", "optimizer.decay=0.1"),
    "average": ("regularization.ema=0.9",),
    "mixup": ("regularization.mixup=0.4",),
    "cutmix": ("regularization.cutmix=1.0",),
    "augment": ("augment=standard",),
    "plateau": ("schedule=plateau", "schedule.patience=0", "schedule.factor=0.5"),
    "one cycle": ("schedule=one_cycle", "optimizer=momentum"),
    "torch scheduler": ("schedule=torch", "schedule.name=StepLR", "schedule.arguments={step_size: 2}"),
    "centers": ("loss=cross_entropy_center",),
    "layer rates": ("finetune.layer_decay=0.5", "regularization.decay=weights", "optimizer=adamw"),
    "scaled rate": ("batch.scale_lr=sqrt", "batch.base_size=16"),
}
"""What of a run's past its future depends on, each in a run of its own."""

Story = tuple[str, list[dict[str, Any]], dict[str, float], dict[str, Best]]


def story(loop: TrainingLoop, *, rows: list[dict[str, Any]]) -> Story:
    return weights_of(loop), rows, loop.metrics, loop.best


def straight(plan: RunPlan) -> Story:
    loop = trained(plan)
    return story(loop, rows=rows_of(loop))


def stopped_and_resumed(
    plan: RunPlan, path: Path, *, at: int, spoil: Callable[[dict[str, Any]], object] = lambda _: None
) -> Story:
    """Train `at` steps, save, and let a new system go on from the file."""
    first = new_loop(plan)
    first.begin()
    first.advance(at, StopFlag())
    first.save()
    assert isinstance(first._recorder, MemoryRecorder)
    checkpoints.save(path, first._recorder.states[at])
    state = checkpoints.load(path)
    spoil(state)
    torch.manual_seed(99)
    second = new_loop(plan)
    second.restore(state)
    finish(second)
    return story(second, rows=rows_of(first) + rows_of(second))


@pytest.mark.parametrize("words", MEMORIES.values(), ids=MEMORIES)
def test_a_run_stopped_at_any_step_ends_as_if_it_had_not(words: tuple[str, ...], tmp_path: Path) -> None:
    made = plan(*words, *RICH)
    wanted = straight(made)
    assert len([row for row in wanted[1] if "val/loss" in row]) == 3
    for at in range(10):
        assert stopped_and_resumed(made, tmp_path / "state.pt", at=at) == wanted, at


TEXT = (
    *("data=text", "data.subset=0.006", "data.val_fraction=0.01", "data.test_fraction=0.3", "data.window=16"),
    *("model.width=8", "model.embedding=4", "batch_size=25", "epochs=2", "regularization.dropout=0.2"),
)
"""About a hundred windows of a text: two epochs of five batches, the last one smaller."""


@pytest.mark.parametrize("model", ["lstm", "gru", "transformer"])
def test_a_text_stopped_at_any_step_goes_on_with_its_hidden_state(model: str, tmp_path: Path) -> None:
    words = [word for word in TEXT if model != "transformer" or "embedding" not in word]
    made = plan(*words, f"model={model}")
    wanted = straight(made)
    total = new_loop(made).horizon.total_steps
    assert 6 <= total <= 14
    for at in range(total):
        assert stopped_and_resumed(made, tmp_path / "state.pt", at=at) == wanted, at


def test_without_the_hidden_state_a_text_would_go_on_differently(tmp_path: Path) -> None:
    made = plan(*TEXT)

    def forget(state: dict[str, Any]) -> None:
        state["carried"] = {key: {} for key in state["carried"]}

    assert stopped_and_resumed(made, tmp_path / "state.pt", at=3, spoil=forget) != straight(made)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_resume_is_exact_for_any_batching(data: st.DataObject, tmp_path: Path) -> None:
    draw = data.draw
    made = plan(*RICH, "model.norm=layer")
    made = varied(
        made, "", batch_size=draw(st.integers(7, 125)), seed=draw(st.integers(0, 99)), epochs=draw(st.integers(1, 3))
    )
    made = varied(made, "batch", accumulate=draw(st.integers(1, 4)))
    made = varied(
        made,
        "trainer",
        log_every_steps=draw(st.integers(1, 9)),
        max_steps=draw(st.none() | st.integers(2, 9)),
    )
    total = new_loop(made).horizon.total_steps
    at = draw(st.integers(0, total))
    assert stopped_and_resumed(made, tmp_path / "state.pt", at=at) == straight(made)


@pytest.mark.parametrize(
    ("at", "spoil"),
    [
        (5, lambda state: state["optimizer"]["state"].clear()),
        (5, lambda state: state["position"].update(sample=0)),
        (5, lambda state: state["knobs"].update({"regularization.dropout": 0.0})),
        (1, lambda state: state["window"].update(samples=1)),
        (5, lambda state: state["epoch_sums"].update(samples=1)),
        (5, lambda state: state["best"].update({"val/accuracy": [0.99, 1]})),
        (5, lambda state: state["average"]["average"]["head.bias"].add_(1.0)),
        (5, lambda state: state["average"].update(num_updates=1)),
        (5, lambda state: state["criterion"]["centers"].add_(1.0)),
    ],
    ids=["optimizer", "position", "knobs", "window", "epoch", "best", "average", "updates", "criterion"],
)
def test_each_part_of_the_state_is_needed(at: int, spoil: Callable[[dict[str, Any]], object], tmp_path: Path) -> None:
    made = plan(*RICH, "regularization.ema=0.9", "loss=cross_entropy_center")
    assert stopped_and_resumed(made, tmp_path / "state.pt", at=at, spoil=spoil) != straight(made)


def test_randomness_from_history_would_not_resume(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(step_room, "seed_everywhere", lambda _: None)
    made = plan(*RICH)
    assert stopped_and_resumed(made, tmp_path / "state.pt", at=4) != straight(made)


def test_a_step_draws_its_own_noise() -> None:
    """The same batch elsewhere in the epoch, in another epoch or under another seed is dropped out differently."""
    loop = new_loop(plan("regularization.dropout=0.5", "lr=1e-30", *SMALL))
    loop.system.model.train()
    batch = next(loop.train_source.batches(0, start=0, batch_size=32))
    losses = []
    for seed, *place in ((0, 0, 0), (0, 0, 32), (0, 1, 0), (1, 0, 0), (0, 0, 0)):
        loop.stepper._seed = seed
        loop.stepper.update([batch], rates=Rates(0.0), place=(place[0], place[1]), sizes=[32])
        losses.append(loop.stepper.losses[-1].item())
    assert len(set(losses)) == 4
    assert losses[0] == losses[-1]


def test_a_signal_saves_the_step_and_stops() -> None:
    made = plan(*RICH)
    loop, stop = new_loop(made), StopFlag()
    loop.begin()
    loop.advance(2, stop)
    stop._note(15, None)
    with pytest.raises(StoppedError) as caught:
        loop.advance(100, stop)
    assert (caught.value.exit_code, str(caught.value)) == (143, "SIGTERM")
    assert list(loop._recorder.states) == [3]
    second = new_loop(made)
    second.restore(loop._recorder.states[3])
    assert story(finish(second), rows=rows_of(loop) + rows_of(second)) == straight(made)


def test_flushing_early_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    made = varied(plan(*RICH), "trainer", log_every_steps=50)
    wanted = straight(made)
    monkeypatch.setattr(tally, "FLUSH_ELEMENTS", 1)
    collected = []
    original = tally.Tally.collect
    monkeypatch.setattr(tally.Tally, "collect", lambda own: (collected.append(own._steps[-1:]), original(own)))
    assert straight(made) == wanted
    assert [step for steps in collected for step in steps] == list(range(1, 10))


@pytest.mark.parametrize("log_every_steps", [1, 3, 50])
@pytest.mark.parametrize(("optimizer", "lr"), [("sgd", 1e30), ("sgd", 30.0), ("adam", 1e30), ("adam", 1e18)])
def test_a_bad_loss_is_named_with_its_step(optimizer: str, lr: float, log_every_steps: int) -> None:
    words = ("data=diabetes", "loss=mse", "schedule=constant", "batch_size=32", "epochs=30", "model.width=16")
    made = plan(*words, f"optimizer={optimizer}", f"lr={lr}")
    loop = new_loop(varied(made, "trainer", log_every_steps=log_every_steps))
    with pytest.raises(RunFailedError) as caught:
        finish(loop)
    step = _first_bad_step(made)
    epoch = (step - 1) // 10 + 1
    assert str(caught.value).split("(")[0].split(" is ")[1].endswith(f" at step {step} ")
    assert f"(epoch {epoch}, lr {lr:.3g})" in str(caught.value)
    assert "\n" not in str(caught.value)


def _first_bad_step(made: RunPlan) -> int:
    keys = {"momentum": 0.9} if made.choices["optimizer"] == "sgd" else {}
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[made.choices["optimizer"]]
    recipe = Recipe(
        lambda weights: kind(weights, fused=True, **keys),
        lambda outputs, y: ((outputs - y) ** 2).mean(),
        model=lambda: mlp(10, 16, 1)[1:],
        lr_at=lambda _: made.lr,
        epochs=3,
    )
    return bare_loop(*arrays(made, "train"), recipe).first_bad_step()


def test_a_bad_validation_loss_fails_too() -> None:
    loop = new_loop(plan("trainer.max_steps=1", "optimizer=sgd", "lr=1e38", *SMALL))
    with pytest.raises(RunFailedError, match=r"val/loss is (nan|inf) at step 1 \(epoch 1, lr 1e\+38\)"):
        finish(loop)
    assert not math.isfinite(rows_of(loop)[-1]["val/loss"])


def scripted(monkeypatch: pytest.MonkeyPatch, values: list[float]) -> None:
    """Let validation find these accuracies, one an epoch."""
    script = iter(values)
    monkeypatch.setattr(loop_room, "evaluate", lambda *_, **__: {"loss": 1.0, "accuracy": next(script)})


@pytest.mark.parametrize(
    ("patience", "values", "epochs"),
    [
        (1, [0.5, 0.6, 0.6, 0.9], 3),
        (2, [0.5, 0.6, 0.55, 0.61, 0.6, 0.61, 0.9], 6),
        (3, [0.5, 0.4, 0.4, 0.4, 0.9], 4),
        (2, [math.nan, math.nan, 0.9], 2),
        (2, [math.nan, 0.1, math.nan, 0.2, 0.3, 0.4, 0.5, 0.6], 8),
        (None, [0.5, 0.4, 0.3, 0.2, 0.1, 0.0, 0.0, 0.0], 8),
    ],
)
def test_early_stopping_counts_epochs_without_a_better_value(
    patience: int | None, values: list[float], epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(monkeypatch, values)
    loop = trained(varied(varied(plan(*SMALL), "", epochs=8), "regularization", early_stopping=patience))
    assert loop.position.epoch == epochs
    finite = [(value, -i) for i, value in enumerate(values[:epochs]) if math.isfinite(value)]
    best = Best(max(finite)[0], 4 * (1 - max(finite)[1])) if finite else None
    assert loop.best.get("val/accuracy") == best


def test_early_stopping_survives_a_stop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = varied(varied(plan(*SMALL), "", epochs=8), "regularization", early_stopping=2)
    values = [0.5, 0.4, 0.3, 0.9, *[0.1] * 4]
    scripted(monkeypatch, values)
    wanted = straight(made)
    scripted(monkeypatch, values)
    assert stopped_and_resumed(made, tmp_path / "state.pt", at=9) == wanted
    scripted(monkeypatch, values)
    forgotten = stopped_and_resumed(made, tmp_path / "state.pt", at=9, spoil=lambda state: state.update(stale_epochs=0))
    assert forgotten != wanted


def test_a_minimised_objective_is_judged_by_its_least(monkeypatch: pytest.MonkeyPatch) -> None:
    script = iter([3.0, 1.0, 2.0])
    monkeypatch.setattr(loop_room, "evaluate", lambda *_, **__: {"loss": next(script), "accuracy": 0.5})
    loop = trained(varied(plan(*SMALL), "", epochs=3, objective="val/loss"))
    assert loop.best["val/loss"] == Best(1.0, 8)
    assert list(loop._recorder.best) == [4, 8]


def test_checkpoints_every_so_many_steps() -> None:
    loop = trained(varied(plan(*SMALL), "checkpoint", every_steps=3))
    assert list(loop._recorder.states) == [3, 6]
    assert loop._recorder.states[6]["position"] == {"step": 6, "epoch": 1, "sample": 64}


def test_checkpoints_every_so_many_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    made = varied(plan(*SMALL), "checkpoint", every_minutes=1.0)
    clock = itertools.count(0, 25)  # each look at the clock is 25 seconds later
    monkeypatch.setattr(loop_room.time, "monotonic", lambda: next(clock))
    saved = list(trained(made)._recorder.states)
    assert 2 <= len(saved) <= 4
    assert set(saved) <= set(range(1, 9))


def test_a_checkpoint_at_an_epochs_end_comes_after_its_validation() -> None:
    loop = trained(varied(plan(*SMALL), "checkpoint", every_steps=4))
    state = loop._recorder.states[4]
    assert state["metrics"]["val/loss"] == rows_of(loop)[3]["val/loss"]
    assert state["position"] == {"step": 4, "epoch": 1, "sample": 0}
