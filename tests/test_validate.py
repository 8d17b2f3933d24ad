"""Checks that need no building: every problem at once, types and limits, did-you-mean, and rules between keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpo_cli.plan import plan_from_dict
from tests.command_line import compose_and_check, problems_of


def only(*words: str) -> str:
    found = problems_of(*words)
    assert len(found) == 1, found
    return found[0]


def test_the_defaults_are_accepted() -> None:
    assert problems_of() == []


def test_all_problems_come_at_once() -> None:
    words = ["lr=-1", "epochs=0", "modle=mlp", "optimizer=adm", "model.dpth=3", "+foo=1", "data.placement=devise"]
    found = problems_of(*words)
    assert len(found) == len(words)
    for start in ("lr=-1", "epochs=0", "modle", "optimizer=adm", "model.dpth", "foo=1", "data.placement=devise"):
        assert any(line.startswith(start) for line in found), (start, found)


MISSPELT = {
    "optimizer.lrr=1": "optimizer.lr", "model.dpth=3": "model.depth", "btach_size=3": "batch_size",
    "optimizr=adam": "optimizer", "schedule=cosin": "cosine", "data.val_frction=0.1": "data.val_fraction",
    "regularization.dropot=0.1": "regularization.dropout", "checkpoint.keep_lst=1": "checkpoint.keep_last",
    "model.activation=rleu": "relu", "schedule.warmup_stps=3": "schedule.warmup_steps",
    "experiment=fashion_cn": "fashion_cnn",
    "+epoch=3": "epochs", "+trainer.device=3": "trainer.devices",
}  # fmt: skip


def test_misspellings_name_what_was_meant() -> None:
    found = problems_of(*MISSPELT)
    assert len(found) == len(MISSPELT)
    for word, meant in MISSPELT.items():
        key = word.lstrip("+").split("=")[0]
        (line,) = (line for line in found if line.startswith((f"{key}:", f"{key}=")))
        assert line.endswith(f"did you mean {meant}?")
    assert only("objective=val/acuracy").endswith("did you mean val/accuracy?")


def test_an_unknown_key_lists_the_keys_of_the_option() -> None:
    line = only("optimizer.lrr=1")
    assert line.startswith("optimizer.lrr: not an option of adam (")
    assert all(key in line for key in ("lr", "betas", "eps", "weight_decay", "amsgrad", "fused"))


def test_a_key_of_another_option_is_refused() -> None:
    assert only("optimizer.momentum=0.9").startswith("optimizer.momentum: not an option of adam")
    assert problems_of("optimizer=sgd", "optimizer.momentum=0.95") == []


WRONG_VALUES = [
    "lr=-1", "lr=0", "lr=nan", "lr=inf", "lr=abc", "lr=null", "lr=true", "lr=[1]", "lr={a:1}", "lr=",
    "lr=0x10", "lr='0.1'", "lr=1" + "0" * 400, "lr=-1e-400",
    "epochs=0", "epochs=2.5", "epochs=1e400", "epochs=1e300", "epochs=true", "epochs=str(3)", "batch_size=0",
    "seed=-1", "seed=4294967296", "seed=1.5", "tags=a", "tags=[1]", "tags=[[a]]", "tags=[null]", "name=5",
    "outputs=null", "optimizer.betas=[0.9]", "optimizer.betas=[0.9,1.5]", "optimizer.betas=0.9",
    "optimizer.fused=1", "regularization.weight_decay=-1", "model.depth=-1",
    "regularization.dropout=2", "regularization.label_smoothing=7", "regularization.clip_norm=0",
    "regularization.early_stopping=0.5",
    "data.subset=0", "data.task=other", "data.val_fraction=1", "trainer.threads=0", "trainer.threads=100000",
    "trainer.precision=8", "trainer.max_steps=0", "trainer.log_gradients=2", "checkpoint.keep_last=0",
    "checkpoint.keep_abandoned=-1", "rescue.nan=1", "rescue.spike=1", "rescue.back_steps=0", "rescue.skip_batches=-1",
    "rescue.lr_factor=0", "rescue.limit=0", "schedule.nudges=1", "model.activation=rleu",
    "optimizer._target_=5", "optimizer._target_=null", "model._target_=null", "schedule.floor=2",
    "schedule.warmup_steps=-1", "allow_targets=os", "allow_targets=[1]", "model.width=[3]",
]  # fmt: skip


def rounds(words: list[str]) -> list[list[str]]:
    """The words in groups that name no key twice: one composition tells about a whole group."""
    found: list[list[str]] = []
    for word in words:
        key = word.split("=")[0]
        free = (group for group in found if all(other.split("=")[0] != key for other in group))
        next(free, None) or found.append([])
        next(group for group in found if all(other.split("=")[0] != key for other in group)).append(word)
    return found


@pytest.mark.parametrize("words", rounds(WRONG_VALUES), ids=lambda words: f"{len(words)} words")
def test_each_wrong_value_is_refused_in_one_line(words: list[str]) -> None:
    found = problems_of(*words)
    assert len(found) == len(words), found
    for word in words:
        key = word.split("=")[0]
        assert sum(line.startswith((f"{key}=", f"{key}:", f"{key}[")) for line in found) == 1, (word, found)


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("optimizer.lr=-1", "lr"), ("optimizer.weight_decay=-1", "regularization.weight_decay"),
        ("model.dropout=2", "regularization.dropout"), ("model.dropout=null", "regularization.dropout"),
        ("loss.label_smoothing=x", "regularization.label_smoothing"), ("optimizer.lr=abc", "lr"),
    ],
)  # fmt: skip
def test_a_second_name_is_held_to_the_rule_of_the_first(word: str, key: str) -> None:
    assert only(word).startswith(f"{key}=")


@pytest.mark.parametrize(
    "word",
    ["lr=???", "lr=1" + "0" * 5000, "name=a/b", "name=''", "name=.hidden", "name='a\nb'", "outputs=' '", "batch=5"],
)  # fmt: skip
def test_some_more_wrong_values_are_refused_in_one_line(word: str) -> None:
    assert only(word).startswith(word.partition("=")[0])


@pytest.mark.parametrize(
    ("words", "start", "fix"),
    [
        (["loss=mse"], "loss=mse: does not fit data=digits", "set loss=cross_entropy"),
        (["data=diabetes", "loss=cross_entropy"], "loss=cross_entropy: does not fit data=diabetes", "set loss=mse"),
        (["data=csv", "data.path=x", "data.target=y", "loss=mse"], "loss=mse: does not fit", "set loss="),
        (["data=diabetes", "regularization.label_smoothing=0.1"], "regularization.label_smoothing=0.1: loss=mse", ""),
        (["regularization.clip_norm=1", "regularization.clip_value=1"], "regularization.clip_value=1.0", "choose one"),
        (["data=diabetes", "objective=val/accuracy"], "objective=val/accuracy: must be one of val/loss", ""),
        (["trainer.precision=16-mixed", "trainer.accelerator=cpu"], "trainer.precision=16-mixed: needs a GPU", "bf16"),
        (["batch_size=1", "trainer.devices=2"], "batch_size=1: is shared by trainer.devices=2", "batch_size>=2"),
        (["batch_size=1", "model.norm=batch"], "model.norm=batch: with batch_size=1", "model.norm=group"),
        (["batch_size=3", "model.norm=batch", "trainer.devices=2"], "model.norm=batch: with batch_size=3", ""),
        (["data.val_fraction=0.6", "data.test_fraction=0.4"], "data.val_fraction=0.6: with data.test_fraction=0.4", ""),
    ],
)  # fmt: skip
def test_keys_that_contradict_each_other(words: list[str], start: str, fix: str) -> None:
    line = only(*words)
    assert line.startswith(start)
    assert fix in line


@pytest.mark.parametrize(
    "words",
    [
        ["batch_size=2", "model.norm=batch"], ["data.val_fraction=0.5", "data.test_fraction=0.49"],
        ["trainer.precision=bf16-mixed", "trainer.accelerator=cpu"], ["data=breast_cancer", "loss=cross_entropy"],
        ["schedule=step", "schedule.at=[]"], ["checkpoint.every_minutes=null"], ["optimizer.betas.0=0.5"],
    ],
)  # fmt: skip
def test_their_neighbours_are_accepted(words: list[str]) -> None:
    assert problems_of(*words) == []


def test_a_missing_value_says_how_to_give_it() -> None:
    assert problems_of("data=csv") == [
        "data.path: must be given; add data.path=...",
        "data.target: must be given; add data.target=...",
    ]
    assert only("data=csv", "data.path=x") == "data.target: must be given; add data.target=..."
    assert only("data=csv", "data.path=x", "data.target=null").startswith("data.target=null: must be given")
    assert problems_of("data=csv", "data.path=x", "data.target=y") == []


DELETED = [
    "~model", "~optimizer.betas", "~data.task", "~loss", "~init._target_", "~schedule._target_", "~augment", "~logger",
    "~trainer.devices", "~batch", "~regularization.l1", "~checkpoint", "~epochs", "~outputs",
]  # fmt: skip


def test_nothing_that_a_run_needs_can_be_deleted() -> None:
    found = problems_of(*DELETED)
    assert {line.split(":")[0] for line in found} == {word.lstrip("~") for word in DELETED}


@pytest.mark.parametrize(
    "word",
    [
        "~data", "~lr", "~optimizer", "~optimizer.lr", "~trainer", "~regularization", "~model._target_", "model=null",
        "~checkpoint.keep_last", "~schedule.warmup_steps", "~loss.head",
    ],
)  # fmt: skip
def test_deleting_one_of_these_alone_is_refused_too(word: str) -> None:
    only(word)


NOT_HEEDED = [
    "rules.lr.above=-5", "+space=3", "optimizer.space.lr.low=5", "+optimizer.rules.lr.above=-1",
    "+regularization.rules.x=5", "+checkpoint={space: {lr: 1}}", "loss.head=one", "model=[mlp,cnn]",
    "hydra.job.name=x", "hydra.searchpath=[file:///tmp]", "hydra/launcher=basic", "hydra.mode=MULTIRUN",
    "~hydra.run.dir", "lr.x=3",
]  # fmt: skip
UNKNOWN = [
    "+foo=1", "++bar=1", "+a.b.c=3", "+trainer.foo=1", "++regularization.foo=1", "+batch._target_=x",
    "+checkpoint.foo=1", "+logger.foo=1", "+augment.foo=1", "+experiment.foo=1", "+optimizer@qux=adam",
]  # fmt: skip


@pytest.mark.parametrize("words", [NOT_HEEDED, UNKNOWN], ids=["not heeded", "unknown"])
def test_what_no_component_takes_is_refused(words: list[str]) -> None:
    found = problems_of(*words)
    assert len(found) == len(words), found
    keys = [word.lstrip("+~").split("=")[0].split("@")[-1] for word in words]
    assert [key for key in keys if not any(line.startswith(key.split(".")[0]) for line in found)] == []


def test_what_hydra_would_take_does_not_hide_other_problems() -> None:
    found = problems_of("hydra.job.name=x", "rules.lr.above=-5", "lr=-1", "+foo=1")
    assert [line.split(":")[0] for line in found] == ["hydra.job.name", "rules.lr.above", "lr=-1", "foo=1"]


@pytest.mark.parametrize(
    "word", [*NOT_HEEDED[:7], *UNKNOWN[3:6], "+lr.x=3", "optimizer=[adam,sgd]", "hydra.run.dir=''"]
)
def test_what_no_component_takes_is_refused_alone_too(word: str) -> None:
    only(word)


PLAIN = {
    "trainer/own": "# Own\naccelerator: cpu\nfoo: 3\n",
    "regularization/own": "# Own\ndropout: 0.1\n",
    "loss/own": "# Own\n_target_: torch.nn.CrossEntropyLoss\n",
    "experiment/own": "# Own\nlr: 0.5\n",
    "trainer/worse": "# Worse\ndefaults:\n  - default\n  - _self_\nrules: {}\naccelerator: tpu\n",
}


@pytest.mark.parametrize("option", PLAIN)
def test_an_option_of_a_users_own_is_held_to_the_same_rules(tmp_path: Path, option: str) -> None:
    path = tmp_path / f"{option}.yaml"
    path.parent.mkdir()
    path.write_text(PLAIN[option])
    group, _, name = option.partition("/")
    assert problems_of("--config-dir", str(tmp_path), f"{group}={name}")


def test_an_option_of_a_users_own_may_leave_the_rules_to_ours(tmp_path: Path) -> None:
    (tmp_path / "trainer").mkdir()
    (tmp_path / "trainer" / "own.yaml").write_text("# Own\ndefaults:\n  - default\n  - _self_\nmax_steps: 3\n")
    flags = ("--config-dir", str(tmp_path), "trainer=own")
    assert compose_and_check(*flags).plan.trainer.max_steps == 3
    assert problems_of(*flags, "trainer.max_steps=0") == ["trainer.max_steps=0: must be at least 1"]
    assert problems_of(*flags, "trainer.max_stps=1")[0].endswith("did you mean trainer.max_steps?")


def test_nesterov_needs_momentum() -> None:
    (line,) = problems_of("optimizer=sgd", "optimizer.nesterov=true", "optimizer.momentum=0")
    assert line.startswith("optimizer.nesterov=true: needs a momentum")
    assert problems_of("optimizer=nesterov") == []


@pytest.mark.parametrize(("nudges", "wanted"), [
    ("[{at:0.5,lr:-1}]", ["schedule.nudges[0].lr=-1: must be above 0"]),
    ("[{at:0.5,regularization.dropout:2}]", ["schedule.nudges[0].regularization.dropout=2: must be at least 0"]),
    ("[{at:0.5,optimizer.lr:-1}]", ["schedule.nudges[0].lr=-1: must be above 0"]),
    ("[{at:0.5,regularization.dropuot:0.2}]", ["schedule.nudges[0].regularization.dropuot: is no knob that can"]),
    ("[{at:0.5,model.width:3}]", ["schedule.nudges[0].model.width: is no knob that can change while this run trains"]),
    ("[{at:0.5,optimizer.momentum:0.9}]", ["schedule.nudges[0].optimizer.momentum: is no knob"]),
    ("[{at:0.5,lr:1,optimizer.lr:1}]", ["schedule.nudges[0].optimizer.lr: is the same quantity as lr"]),
    ("[{lr:1}]", ["schedule.nudges[0].at=null: must say when"]),
    ("[{at:1,lr:1}]", ["schedule.nudges[0].at=1: must say when: a share of training, at least 0 and below 1"]),
    ("[{at:x,lr:1}]", ["schedule.nudges[0].at=x: must say when"]),
    ("[{at:0.5}]", ["schedule.nudges[0]: changes nothing"]),
    ("[3]", ["schedule.nudges[0]=3: must be a mapping"]),
    ("[{at:0.5,lr:1},{at:0.2,lr:2}]", ["schedule.nudges=[0.5,0.2]: must stand in the order in which they take force"]),
    ("[{at:0.5,schedule:cosin}]", ["schedule.nudges[0].schedule: is a group"]),
    ("[{at:0.2,schedule:linear},{at:0.4,schedule.florr:1}]", ["schedule.nudges[1].schedule.florr: is no knob"]),
    ("[{at:0.2,schedule:wsd},{at:0.4,schedule.floor:7}]", ["schedule.nudges[1].schedule.floor=7: must be at least 0"]),
    ("[{at:0.2,lr:-1},{at:0.4,lr:1,epochs:0}]", ["schedule.nudges[0].lr=-1", "schedule.nudges[1].epochs=0"]),
    ("[{at:0.2,regularization.clip_norm:1},{at:0.3,regularization.clip_value:1}]",
     ["schedule.nudges[1].regularization.clip_value"]),
])  # fmt: skip
def test_planned_nudges_that_cannot_be(nudges: str, wanted: list[str]) -> None:
    found = problems_of(f"schedule.nudges={nudges}")
    assert len(found) == len(wanted), found
    assert all(line.startswith(start) for line, start in zip(found, wanted, strict=True)), found


def test_planned_nudges_are_in_the_plan_and_not_among_the_schedules_keys() -> None:
    nudges = "{at:0.5,lr:3e-4,regularization.dropout:0.2},{at:0.5,schedule:linear},{at:0.6,schedule.floor:0.1}"
    plan = compose_and_check(f"schedule.nudges=[{nudges}]").plan
    first, second, third = plan.nudges
    assert (first.at, first.changes) == (0.5, {"lr": 3e-4, "regularization.dropout": 0.2})
    assert second.changes["schedule"]["option"] == "linear"
    assert third.changes == {"schedule.floor": 0.1}
    assert first.step(101) == 50
    assert "nudges" not in plan.schedule.args
    assert plan_from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_rescue_is_off_and_its_section_is_in_the_plan() -> None:
    plan = compose_and_check().plan
    assert (plan.rescue.nan, plan.rescue.spike) == (False, None)
    plan = compose_and_check("rescue.nan=true", "rescue.spike=3", "checkpoint.keep_abandoned=0").plan
    assert (plan.rescue.nan, plan.rescue.spike, plan.checkpoint.keep_abandoned) == (True, 3.0, 0)


def test_the_plan_of_a_run_from_before_there_were_nudges_can_be_read() -> None:
    old = compose_and_check().plan.to_dict()
    del old["rescue"], old["schedule"]["nudges"], old["trainer"]["log_gradients"], old["checkpoint"]["keep_abandoned"]
    plan = plan_from_dict(old)
    assert plan.nudges == ()
    assert not plan.rescue.nan


def test_words_of_training_are_told_apart_from_keys() -> None:
    assert only("resum=x").endswith("did you mean resume?")
    assert only("wach=true").endswith("did you mean watch?")
    assert only("brnch=true").endswith("did you mean branch?")
    assert only("resume=x") == "resume: is a word for training, and no key of the config; hpo-run resume=... trains"
