"""Every knob of the table: read back, and felt by the next steps. A new knob needs no new code here."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest

from hpo_cli.engine.assembly import build_system
from hpo_cli.engine.knobs import HOT, planned_knobs, read_knobs, set_knobs
from hpo_cli.engine.loop import TrainingLoop
from hpo_cli.engine.stop import StopFlag
from hpo_cli.errors import ConfigError
from hpo_cli.options import list_options
from hpo_cli.plan import plan_from_dict
from hpo_cli.steer import hot
from tests.engine.plans import finish, new_loop, plan, rows_of, splits_of, trained, varied, weights_of

if TYPE_CHECKING:
    from pathlib import Path

    from hpo_cli.plan import RunPlan

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


OTHERS = {
    "schedule": {"option": "linear", "_target_": "hpo_cli.components.schedules.linear", "rate": 2.0, "floor": 0.1},
    "trainer.max_steps": 7,
    "regularization.early_stopping": 2,
}
UNFELT = ("regularization.early_stopping",)
"""What two steps do not show."""


def another(value: Any, key: str = "") -> Any:
    """A value that is allowed wherever `value` is, and different."""
    if key in OTHERS:
        return OTHERS[key]
    if isinstance(value, list):
        return [another(item) for item in value]
    if isinstance(value, int):
        return value + 3
    return 0.01 if value is None else 0.3 if value < 0.3 else value / 2


def turn(loop: TrainingLoop, values: dict[str, Any]) -> None:
    """Set knobs as a nudge does."""
    set_knobs(loop.system, values)
    loop.retune()


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


def test_people_are_told_of_just_these_knobs() -> None:
    assert set(HOT) == set(hot.HOT)


def test_every_knob_is_on_some_system() -> None:
    assert len(HOT) >= 16
    of_colours = {"augment.saturation", "augment.hue"}  # no bundled data has any
    assert {key for _, key in PRESENT if not key.startswith("loss.terms.")} == set(HOT) - of_colours


@pytest.mark.parametrize(("name", "key"), PRESENT, ids=lambda value: value)
def test_a_knob_reads_back_and_changes_the_next_steps(name: str, key: str) -> None:
    loop = after_two_steps(SYSTEMS[name])
    before = read_knobs(loop.system)
    wanted = another(before[key], key)
    turn(loop, {key: wanted})
    assert read_knobs(loop.system) == {**before, key: wanted}
    assert (footprint(loop) != untouched(SYSTEMS[name])) == (key not in UNFELT)
    finish(loop)


def test_setting_a_knob_to_its_value_changes_nothing() -> None:
    loop = after_two_steps(SYSTEMS["adam"])
    turn(loop, read_knobs(loop.system))
    assert footprint(loop) == untouched(SYSTEMS["adam"])


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_fresh_system_has_the_values_of_the_plan(name: str) -> None:
    agrees(plan(*SYSTEMS[name]))


def agrees(made: RunPlan) -> None:
    """A new system of this plan has just the values that the plan names."""
    system = build_system(made, splits_of(made))
    found, planned = read_knobs(system), planned_knobs(made, system)
    assert found == planned
    assert list(found) == list(planned)
    set_knobs(system, planned)
    assert read_knobs(system) == planned


def composed(**options: str) -> dict[str, Any]:
    """The plan of digits with one option of each of these groups, as plan.yaml has it; each is composed once."""
    base = plan("data.subset=0.1", "model.width=16").to_dict()
    chosen = {group: _alone(group, name).to_dict() for group, name in options.items()}
    lr = {"lr": chosen["optimizer"]["lr"]} if "optimizer" in chosen else {}
    weight_decay = chosen.get("optimizer", base)["regularization"]["weight_decay"]
    return {
        **base,
        **{group: found[group] for group, found in chosen.items()},
        **lr,
        "regularization": {**base["regularization"], "weight_decay": weight_decay},
        "choices": {**base["choices"], **options},
    }


@functools.cache
def _alone(group: str, name: str) -> RunPlan:
    return plan("data.subset=0.1", "model.width=16", f"{group}={name}")


OPTIMIZERS, SCHEDULES = list_options("optimizer"), list_options("schedule")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_under_every_schedule_has_the_values_of_the_plan(optimizer: str) -> None:
    assert len(SCHEDULES) >= 14
    for schedule in SCHEDULES:
        agrees(plan_from_dict(composed(optimizer=optimizer, schedule=schedule)))


LOSSES = [name for name, option in list_options("loss").items() if option.defaults["head"] == "classes"]
OF_OTHER_DATA = {
    "one": ("data=breast_cancer", *COMMON[1:]),
    "targets": ("data=diabetes", *COMMON[1:]),
    "several": (
        *("data=csv", "data.path={table}", "data.target=[height,weight]", "data.task=several", "batch_size=2"),
        "loss.terms={height:{loss:huber,weight:2.0}}",
    ),
}
OTHER_LOSSES = [(name, option.defaults["head"]) for name, option in list_options("loss").items() if name not in LOSSES]


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_with_every_augmentation_has_the_values_of_the_plan(loss: str) -> None:
    for augment in list_options("augment"):
        agrees(plan_from_dict(composed(loss=loss, augment=augment)))


@pytest.mark.parametrize(("loss", "head"), OTHER_LOSSES, ids=lambda value: value)
def test_a_loss_for_other_data_has_the_values_of_the_plan(loss: str, head: str, tmp_path: Path) -> None:
    table = tmp_path / "people.csv"
    table.write_text("age,height,weight\n" + "".join(f"{i},{i * 7 % 5},{i * 3 % 4}\n" for i in range(40)))
    agrees(
        plan(*(word.format(table=table) if "{table}" in word else word for word in OF_OTHER_DATA[head]), f"loss={loss}")
    )


def test_a_plan_with_other_values_is_not_what_a_system_has() -> None:
    made = plan(*SYSTEMS["momentum"])
    system = build_system(made, splits_of(made))
    other = varied(made, "optimizer", momentum=0.5)
    assert planned_knobs(other, system) == {**read_knobs(system), "optimizer.momentum": 0.5}


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
    turn(loop, {"batch_size": batch_size})
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
    turn(loop, {"epochs": 5})
    finish(loop)
    assert (loop.position.epoch, loop.position.step) == (5, 20)
    five = trained(plan(*SYSTEMS["adam"], "epochs=5"))
    assert [row["lr"] for row in rows_of(loop)[2:]] == [row["lr"] for row in rows_of(five)[2:]]


ONE_CYCLE, COSINE, PLATEAU = (
    {"option": name, **plan(f"schedule={name}").config["schedule"]} for name in ("one_cycle", "cosine", "plateau")
)
for described in (ONE_CYCLE, COSINE, PLATEAU):
    del described["warmup_steps"], described["nudges"]


@pytest.mark.parametrize(("optimizer", "key", "plain"), [
    ("nesterov", "momentum", 0.9), ("adam", "betas", 0.9), ("muon", "momentum", 0.95), ("lars", "momentum", 0.9),
])  # fmt: skip
def test_a_schedule_that_moved_the_momentum_leaves_it_as_it_was_set(optimizer: str, key: str, plain: float) -> None:
    def momentum() -> float:
        value = loop.system.optimizer.param_groups[0][key]
        return float(value[0] if key == "betas" else value)

    loop = new_loop(plan(f"optimizer={optimizer}", "schedule=one_cycle", *COMMON[:3]))
    loop.begin()
    loop.advance(4, StopFlag())
    assert momentum() < plain
    turn(loop, {"schedule": COSINE})
    assert (momentum(), loop.system.settings.momentum) == (plain, None)
    turn(loop, {"schedule": ONE_CYCLE})
    loop.advance(1, StopFlag())
    assert loop.system.settings.momentum == plain
    assert momentum() < plain


def test_a_momentum_that_was_zero_moves_with_the_schedule_once_it_is_there() -> None:
    loop = new_loop(plan("optimizer=sgd", "schedule=one_cycle", *COMMON[:3]))
    loop.begin()
    loop.advance(3, StopFlag())
    assert loop.system.optimizer.param_groups[0]["momentum"] == 0.0
    turn(loop, {"optimizer.momentum": 0.9})
    loop.advance(1, StopFlag())
    assert 0.75 < loop.system.optimizer.param_groups[0]["momentum"] < 0.9
    turn(loop, {"optimizer.momentum": 0.0})
    loop.advance(1, StopFlag())
    assert loop.system.optimizer.param_groups[0]["momentum"] == 0.0


def test_a_schedule_of_the_same_kind_remembers_and_another_kind_begins_anew() -> None:
    system = new_loop(plan("schedule=plateau", "schedule.patience=0", *COMMON[:3])).system
    for loss in (1.0, 2.0):
        system.schedule.observe(loss, mode="min")
    learnt = system.schedule.state()
    assert learnt["factor"] == pytest.approx(0.1)
    set_knobs(system, {"schedule": {**PLATEAU, "patience": 3}})
    assert system.schedule.state() == learnt
    set_knobs(system, {"schedule": COSINE})
    set_knobs(system, {"schedule": PLATEAU})
    assert system.schedule.state()["factor"] == 1.0


@pytest.mark.parametrize("wrong", [
    {**COSINE, "_target_": "os.system"}, {**COSINE, "flor": 0.1},
    {**COSINE, "_target_": "hpo_cli.components.schedules.cosin"},
])  # fmt: skip
def test_a_schedule_that_cannot_be_built_changes_nothing(wrong: dict[str, Any]) -> None:
    system = new_loop(plan(*SYSTEMS["momentum"])).system
    before = read_knobs(system)
    with pytest.raises(ConfigError):
        set_knobs(system, {"lr": 5.0, "schedule": wrong})
    assert read_knobs(system) == before


def test_what_is_read_is_a_copy() -> None:
    system = new_loop(plan(*SYSTEMS["adam"])).system
    read_knobs(system)["schedule"]["floor"] = 0.9
    assert read_knobs(system)["schedule"]["floor"] == 0.0
