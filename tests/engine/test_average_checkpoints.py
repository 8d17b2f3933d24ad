"""Averaged weights against torch's own averaging, and batch norm's statistics against their definition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from hpo_cli.engine import checkpoints
from hpo_cli.engine.average_checkpoints import average_checkpoints, best_files, mean_weights
from hpo_cli.engine.backend import Backend
from hpo_cli.engine.evaluation import judge
from hpo_cli.engine.saved import load_saved
from hpo_cli.errors import UserError
from hpo_cli.record import ledger
from hpo_cli.record.weights import averaged_weights
from tests.engine.plans import plan, splits_of
from tests.engine.saved_runs import folder_with

if TYPE_CHECKING:
    from pathlib import Path

    from hpo_cli.engine.saved import Saved

NORM = ("model.width=16", "model.norm=batch", "data.subset=0.1", "batch_size=126")
"""All of the training samples in one batch."""


def live(*words: str, outputs: Path, seeds: tuple[int, ...] = (1, 2, 3)) -> Saved:
    made = plan(*words, outputs=outputs)
    return load_saved(folder_with(made, seeds=seeds), made, splits=splits_of(made))


def test_the_mean_is_torchs(tmp_path: Path) -> None:
    saved = live(*NORM, outputs=tmp_path)
    states = [checkpoints.load(path)["model"] for path in best_files(saved.folder, most=None)]
    model = saved.system.model
    model.load_state_dict(states[0])
    oracle = AveragedModel(model, use_buffers=True)
    for state in states:
        model.load_state_dict(state)
        oracle.update_parameters(model)
    mean = mean_weights(states)
    for name, tensor in oracle.module.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(mean[name], tensor)
    assert mean["norm0.num_batches_tracked"] == states[-1]["norm0.num_batches_tracked"]


def test_all_are_judged_and_the_average_is_saved(tmp_path: Path) -> None:
    saved = live("model.width=16", outputs=tmp_path)
    files = best_files(saved.folder, most=None)
    found = average_checkpoints(saved, files)
    assert [one.checkpoint for one in found.members] == [f"checkpoints/best-0000000{i}.pt" for i in (1, 2, 3)]
    again = [load_saved(saved.folder, saved.plan, path=path, splits=saved.splits) for path in files]
    for one, loaded in zip(found.members, again, strict=True):
        assert one.metrics == judge(loaded.system, loaded.part("val"), backend=Backend())
    path = averaged_weights(saved.folder)
    assert path.name == "average-00000003.pt"
    state = checkpoints.load(path)
    assert (state["step"], state["averaged"]) == (3, [one.checkpoint for one in found.members])
    loaded = load_saved(saved.folder, saved.plan, path=path, splits=saved.splits)
    assert judge(loaded.system, loaded.part("val"), backend=Backend()) == found.average.metrics
    event = ledger.read_ledger(saved.folder).events[-1]
    assert (event["event"], event["file"], event["averaged"]) == (
        "averaged",
        found.average.checkpoint,
        state["averaged"],
    )


def test_batch_norm_takes_the_statistics_of_training(tmp_path: Path) -> None:
    saved = live(*NORM, outputs=tmp_path)
    found = average_checkpoints(saved, best_files(saved.folder, most=None))
    assert found.renormalised == 2
    model = saved.system.model
    inputs: list[torch.Tensor] = []
    norm = model.get_submodule("norm0")
    assert isinstance(norm, nn.BatchNorm1d)
    handle = norm.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    with torch.no_grad():
        model(saved.part("train")[0])
    handle.remove()
    torch.testing.assert_close(norm.running_mean, inputs[0].mean(0))
    torch.testing.assert_close(norm.running_var, inputs[0].var(0))
    means = mean_weights([checkpoints.load(path)["model"] for path in best_files(saved.folder, most=None)])
    assert not torch.allclose(norm.running_mean, means["norm0.running_mean"])


def test_norms_that_were_held_still_keep_theirs(tmp_path: Path) -> None:
    saved = live(*NORM, "finetune.freeze_norm=true", outputs=tmp_path)
    files = best_files(saved.folder, most=None)
    assert average_checkpoints(saved, files).renormalised == 0
    means = mean_weights([checkpoints.load(path)["model"] for path in files])
    torch.testing.assert_close(saved.system.model.state_dict()["norm0.running_mean"], means["norm0.running_mean"])


def test_norms_of_frozen_layers_keep_theirs_while_the_others_move(tmp_path: Path) -> None:
    saved = live(*NORM, "finetune.freeze=1", outputs=tmp_path)
    files = best_files(saved.folder, most=None)
    assert average_checkpoints(saved, files).renormalised == 1
    means = mean_weights([checkpoints.load(path)["model"] for path in files])
    found = saved.system.model.state_dict()
    torch.testing.assert_close(found["norm0.running_mean"], means["norm0.running_mean"])
    assert not torch.allclose(found["norm1.running_mean"], means["norm1.running_mean"])


def test_the_newest_are_taken(tmp_path: Path) -> None:
    saved = live("model.width=16", outputs=tmp_path)
    assert [path.name for path in best_files(saved.folder, most=2)] == ["best-00000002.pt", "best-00000003.pt"]


@pytest.mark.parametrize("seeds", [(), (1,)])
def test_fewer_than_two_are_refused(tmp_path: Path, seeds: tuple[int, ...]) -> None:
    folder = folder_with(plan("model.width=16", outputs=tmp_path), seeds=seeds)
    with pytest.raises(UserError, match=r"an average needs two; train with checkpoint\.keep_best=5"):
        best_files(folder, most=None)
    with pytest.raises(UserError, match="no averaged weights"):
        averaged_weights(folder)
