"""Starting from another run's weights, frozen layers, frozen batch norm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from hpo_cli.components.layers import layer_groups
from hpo_cli.engine import checkpoints, finetuning
from hpo_cli.errors import ConfigError
from tests.engine.plans import SMALL, arrays, finish, new_loop, plan, trained

if TYPE_CHECKING:
    from pathlib import Path

NORMED = (*SMALL, "model.norm=batch", "model.depth=3")


def weights(loop) -> dict[str, torch.Tensor]:  # type: ignore[no-untyped-def]
    return {name: tensor.detach().clone() for name, tensor in loop.system.model.state_dict().items()}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A checkpoint of a run on five of the ten digits."""
    path = tmp_path / "half.pt"
    checkpoints.save(path, trained(plan(*NORMED, "data.classes=[0,1,2,3,4]")).state())
    return path


def test_all_but_the_last_layer_come_from_the_file(saved: Path) -> None:
    loop = new_loop(plan(*NORMED, f"finetune.weights={saved}"))
    state = checkpoints.load(saved)["model"]
    for name, tensor in weights(loop).items():
        assert name.startswith("head") != torch.equal(tensor, state.get(name, torch.empty(0))), name


def test_the_file_changes_where_training_starts(saved: Path) -> None:
    val = arrays(plan(*NORMED), "val")
    started, fresh = (new_loop(plan(*NORMED, *words)) for words in ((f"finetune.weights={saved}",), ()))
    assert not torch.equal(started.system.model(val[0]), fresh.system.model(val[0]))


@pytest.mark.parametrize(("freeze", "moving"), [(1, {"linear1", "linear2", "head"}), (-1, {"head"}), (0, None)])
def test_frozen_layers_do_not_move(freeze: int, moving: set[str] | None) -> None:
    loop = new_loop(plan(*SMALL, "model.depth=3", f"finetune.freeze={freeze}"))
    before = weights(loop)
    finish(loop)
    moved = {name.split(".")[0] for name, tensor in weights(loop).items() if not torch.equal(tensor, before[name])}
    assert moved == (moving or {"linear0", "linear1", "linear2", "head"})


def test_a_frozen_norm_keeps_its_statistics_and_its_scale_learns() -> None:
    loop = new_loop(plan(*NORMED, "finetune.freeze_norm=true"))
    before = weights(loop)
    finish(loop)
    after = weights(loop)
    assert torch.equal(after["norm0.running_mean"], before["norm0.running_mean"])
    assert not torch.equal(after["norm0.weight"], before["norm0.weight"])
    free = weights(trained(plan(*NORMED)))
    assert not torch.equal(free["norm0.running_mean"], before["norm0.running_mean"])


def test_the_norm_of_a_frozen_layer_is_frozen_as_well() -> None:
    loop = new_loop(plan(*NORMED, "finetune.freeze=1"))
    before = weights(loop)
    finish(loop)
    after = weights(loop)
    assert torch.equal(after["norm0.running_mean"], before["norm0.running_mean"])
    assert not torch.equal(after["norm1.running_mean"], before["norm1.running_mean"])


def test_a_frozen_norm_takes_batches_of_one() -> None:
    words = (*SMALL, "model.norm=batch", "finetune.freeze_norm=true", "batch_size=2")
    loop = new_loop(plan(*words))
    loop.system.train()
    assert loop.system.model(torch.zeros(1, 1, 8, 8)).isfinite().all()


def test_a_file_with_an_average_gives_the_average(tmp_path: Path) -> None:
    loop = trained(plan(*SMALL, "regularization.ema=0.9"))
    path = tmp_path / "averaged.pt"
    checkpoints.save(path, loop.state())
    model = new_loop(plan(*SMALL)).system.model
    finetuning.load_weights(model, path)
    with loop.system.evaluating():
        assert torch.equal(model.linear0.weight, loop.system.model.linear0.weight)
    assert not torch.equal(model.linear0.weight, loop.system.model.linear0.weight)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("finetune.weights=nowhere.pt",), "is no checkpoint file, and no run"),
        (("finetune.weights=best:digits",), "may mean another run tomorrow"),
        (("finetune.freeze=3",), "the model has 3 layers; set at most 2"),
        (("finetune.freeze_norm=true",), "has no batch norm"),
    ],
)
def test_what_cannot_be_is_refused(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        new_loop(plan(*SMALL, *words))


def test_another_model_is_refused_naming_tensors(saved: Path) -> None:
    with pytest.raises(ConfigError, match=r"linear0\.weight \(20x64 here, 16x64\).*choose the model"):
        new_loop(plan(*NORMED, "model.width=20", f"finetune.weights={saved}"))


def test_layers_are_counted_from_the_input() -> None:
    block = nn.Module()
    block.conv = nn.Conv2d(4, 4, 3)
    block.norm = nn.BatchNorm2d(4)
    model = nn.Module()
    model.stem = nn.Conv2d(1, 4, 3)
    model.norm = nn.BatchNorm2d(4)
    model.stages = nn.Sequential(nn.Sequential(block, nn.Conv2d(4, 4, 1)), nn.ReLU())
    model.head = nn.Linear(4, 2)
    names = [list(dict.fromkeys(name.rpartition(".")[0] for name, _ in group)) for group in layer_groups(model)]
    assert names == [["stem", "norm"], ["stages.0.0.conv", "stages.0.0.norm"], ["stages.0.1"], ["head"]]


def test_what_a_network_holds_itself_belongs_to_the_layer_that_follows() -> None:
    """As the class token of a vision transformer, whose encoder has its blocks in a container."""
    encoder = nn.Module()
    encoder.positions = nn.Parameter(torch.zeros(1, 5, 4))
    encoder.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
    encoder.norm = nn.LayerNorm(4)
    model = nn.Module()
    model.token = nn.Parameter(torch.zeros(1, 1, 4))
    model.embed = nn.Linear(3, 4)
    model.encoder = encoder
    model.head = nn.Linear(4, 2)
    names = [[name for name, _ in group] for group in layer_groups(model)]
    assert [group[0] for group in names] == ["token", "encoder.positions", "encoder.blocks.1.weight", "head.weight"]
    assert sum(map(len, names)) == len(list(model.parameters()))


def test_the_last_layer_starts_anew_for_other_classes_of_the_same_number(saved: Path) -> None:
    same = new_loop(plan(*NORMED, "data.classes=[0,1,2,3,4]", f"finetune.weights={saved}"))
    others = new_loop(plan(*NORMED, "data.classes=[5,6,7,8,9]", f"finetune.weights={saved}"))
    state = checkpoints.load(saved)["model"]
    assert torch.equal(same.system.model.head.weight, state["head.weight"])
    assert not torch.equal(others.system.model.head.weight, state["head.weight"])
    assert torch.equal(others.system.model.linear0.weight, state["linear0.weight"])
    assert "the last layer starts anew" in others.system.started_from
    assert "anew" not in same.system.started_from


def test_weights_that_would_be_dropped_or_are_not_finite_are_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has what this model has not: linear2\.weight"):
        new_loop(plan(*SMALL, "model.norm=batch", "model.depth=2", f"finetune.weights={saved}"))
    state = checkpoints.load(saved)
    state["model"]["linear0.weight"][0, 0] = torch.nan
    checkpoints.save(tmp_path / "nan.pt", state)
    with pytest.raises(ConfigError, match=r"holds NaN or infinity: linear0\.weight"):
        new_loop(plan(*NORMED, f"finetune.weights={tmp_path / 'nan.pt'}"))


@pytest.mark.parametrize("content", [{"average": 5}, {"model": None, "average": {"average": {}}}, {"x": 1}])
def test_a_file_that_is_no_checkpoint_is_one_line(content: dict[str, object], tmp_path: Path) -> None:
    torch.save(content, tmp_path / "odd.pt")
    with pytest.raises(ConfigError, match="is no checkpoint with weights"):
        new_loop(plan(*SMALL, f"finetune.weights={tmp_path / 'odd.pt'}"))


def test_schedule_free_weights_are_those_that_it_was_judged_by(tmp_path: Path) -> None:
    loop = trained(plan(*SMALL, "optimizer=schedule_free"))
    checkpoints.save(tmp_path / "free.pt", loop.state())
    model = new_loop(plan(*SMALL)).system.model
    finetuning.load_weights(model, tmp_path / "free.pt")
    assert not torch.equal(model.linear0.weight, loop.system.model.linear0.weight)
    with loop.system.evaluating():
        assert torch.equal(model.linear0.weight, loop.system.model.linear0.weight)
