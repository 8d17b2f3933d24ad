"""The test split: the best weights on samples that training never saw, noted in the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from hpo_cli.engine import checkpoints
from hpo_cli.engine.examine import examine
from hpo_cli.engine.finetuning import best_checkpoint
from hpo_cli.errors import UserError
from hpo_cli.plan import RunPlan, plan_from_dict
from hpo_cli.record import ledger
from hpo_cli.record.contents import read_plan
from tests.engine.plans import folder_for, new_loop, plan, splits_of, varied

if TYPE_CHECKING:
    from pathlib import Path

    from hpo_cli.engine.loop import TrainingLoop

WORDS = ("data.subset=0.1", "model.width=16", "epochs=1", "model.norm=batch")


@pytest.fixture
def loop() -> TrainingLoop:
    return new_loop(plan(*WORDS))


@pytest.fixture
def folder(loop: TrainingLoop, tmp_path: Path) -> Path:
    made = folder_for(varied(loop.plan, "", outputs=str(tmp_path)))
    for step, factor in ((3, 0.0), (7, 1.0)):
        weights = {name: value * factor for name, value in loop.system.model.state_dict().items()}
        checkpoints.save(made / "checkpoints" / checkpoints.best_name(step), {"model": weights, "step": step})
    return made


def plan_of(folder: Path) -> RunPlan:
    return plan_from_dict(read_plan(folder))


def test_the_newest_best_weights_are_examined_on_the_test_split(folder: Path, loop: TrainingLoop) -> None:
    found = examine(folder, plan_of(folder))
    test = splits_of(loop.plan).test
    loop.system.model.eval()
    with torch.no_grad():
        guessed = loop.system.model(torch.from_numpy(test.x)).argmax(1).numpy()
    assert found.metrics["test/accuracy"] == np.mean(guessed == test.y)
    assert (found.checkpoint, found.step) == ("checkpoints/best-00000007.pt", 7)
    event = ledger.read_ledger(folder).events[-1]
    assert (event["event"], event["split"], event["metrics"]) == ("tested", "test", found.metrics)


def test_the_parts_of_the_data_do_not_overlap() -> None:
    splits = splits_of(plan("data.standardize=false"))
    kept = [{x.tobytes() for x in part.x} for part in (splits.train, splits.val, splits.test)]
    assert not kept[0] & kept[2]
    assert not kept[1] & kept[2]
    assert sum(map(len, kept)) == 1797


def test_without_best_weights_the_last_ones_are_taken(folder: Path, loop: TrainingLoop) -> None:
    for path in (folder / "checkpoints").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="no checkpoint"):
        best_checkpoint(folder)
    loop.save()
    state = next(iter(loop._recorder.states.values()))
    checkpoints.save(folder / "checkpoints" / checkpoints.last_name(0), state)
    assert examine(folder, plan_of(folder)).checkpoint == "checkpoints/step-00000000.pt"


def test_a_plan_reads_back_as_it_was_written(folder: Path, loop: TrainingLoop) -> None:
    assert plan_of(folder) == varied(loop.plan, "", outputs=str(folder.parents[1]))


def test_damaged_weights_are_refused_and_nothing_is_noted(folder: Path) -> None:
    path = best_checkpoint(folder)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="no readable checkpoint"):
        examine(folder, plan_of(folder))
    assert len(ledger.read_ledger(folder).events) == 1
