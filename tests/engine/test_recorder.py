"""The checkpoints that a run keeps, and what is in them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from hpo_cli.engine import checkpoints
from hpo_cli.engine.assembly import build_system
from hpo_cli.engine.backend import Backend
from hpo_cli.engine.evaluation import judge
from tests.engine.plans import (
    SMALL,
    arrays,
    plan,
    splits_of,
    varied,
)

if TYPE_CHECKING:
    from tests.engine.runs import Start


def test_every_checkpoint_in_the_ledger_has_the_hash_of_its_file(start: Start) -> None:
    ran = start(varied(plan(*SMALL), "checkpoint", every_steps=3, keep_last=9, keep_best=9))
    ran.go()
    events = [event for event in ran.events if event["event"] == "checkpointed"]
    assert {event["step"] for event in events} == {3, 4, 6, 8}
    for event in events:
        content = (ran.folder / event["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == event["sha256"]


@pytest.mark.parametrize(("keep_last", "keep_best"), [(1, 0), (2, 1), (3, 2)])
def test_as_many_checkpoints_are_kept_as_asked(keep_last: int, keep_best: int, start: Start) -> None:
    made = varied(varied(plan(*SMALL), "", epochs=6, lr=0.003, batch_size=60), "schedule", warmup_steps=0)
    ran = start(varied(made, "checkpoint", every_steps=1, keep_last=keep_last, keep_best=keep_best))
    ran.go()
    names = [path.name for path in ran.files("step-*")]
    assert names == [checkpoints.last_name(step) for step in range(18 - keep_last + 1, 19)]
    values: list[tuple[int, float]] = []
    for row in ran.rows:
        if "val/accuracy" in row and row["val/accuracy"] > max([value for _, value in values], default=-1):
            values.append((row["step"], row["val/accuracy"]))
    assert len(values) > 2
    kept = [step for step, _ in values][len(values) - keep_best :]
    assert [path.name for path in ran.files("best-*")] == [checkpoints.best_name(step) for step in kept]


def test_the_best_file_holds_the_weights_that_were_best(start: Start) -> None:
    made = plan("lr=0.3", "optimizer=sgd", "schedule=constant", "data.subset=0.3", "epochs=8", "model.width=16")
    ran = start(made)
    ran.go()
    state, objective = ran.saved("best-*"), ran.result["objective"]
    assert state["step"] == objective["step"] < ran.result["steps"]
    system = build_system(made, splits_of(made))
    system.model.load_state_dict(state["model"])
    found = judge(system, arrays(made, "val"), backend=Backend())
    assert found["accuracy"] == objective["value"] > ran.result["metrics"]["val/accuracy"]
