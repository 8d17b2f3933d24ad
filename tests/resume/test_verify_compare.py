"""The comparison of two runs: bit for bit, and it says what differs first, with both values."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import torch

from hpo_cli.engine import checkpoints
from hpo_cli.engine.verify_compare import differences, first_difference
from hpo_cli.record import ledger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAN = float("nan")


def test_equal_trees_have_no_difference() -> None:
    def tree() -> dict[str, Any]:
        return {"a": torch.tensor([1.0, NAN]), "b": [1, (2.5, None)], "c": {"d": NAN, "e": torch.tensor(3)}}

    assert first_difference(tree(), tree()) == []


@pytest.mark.parametrize(
    ("expected", "found", "text"),
    [
        (
            torch.tensor([1, 2]),
            torch.tensor([1, 3]),
            "x: 1 of 2 numbers differ; at [1] 2 straight, 3 killed",
        ),
        (torch.tensor([0.0]), torch.tensor([-0.0]), "x: 1 of 1 numbers differ; at [0] 0.0 straight, -0.0 killed"),
        (torch.zeros(2, 2), torch.eye(2), "x: 2 of 4 numbers differ; at [0, 0] 0.0 straight, 1.0 killed"),
        (torch.tensor(1), torch.tensor(2), "x: 1 of 1 numbers differ; at [] 1 straight, 2 killed"),
        (torch.zeros(2), torch.zeros(3), "x: float32 of shape [2] straight, float32 of shape [3] killed"),
        (torch.zeros(2), torch.zeros(2).double(), "x: float32 of shape [2] straight, float64 of shape [2] killed"),
        (torch.zeros(2), None, "x: float32 of shape [2] straight, None killed"),
        (1, 1.0, "x: 1 straight, 1.0 killed"),
        (0.1 + 0.2, 0.3, "x: 0.30000000000000004 straight, 0.3 killed"),
        ([1, 2], [1], "x: [1, 2] straight, [1] killed"),
        ([1, 2], [1, 3], "x.1: 2 straight, 3 killed"),
        ({"y": 1}, {}, "x.y: 1 straight, nothing killed"),
        ({}, {"y": 1}, "x.y: nothing straight, 1 killed"),
    ],
)
def test_each_kind_of_difference_is_named(expected: object, found: object, text: str) -> None:
    assert first_difference({"x": expected}, {"x": found}) == [text]


def rows(*values: float) -> str:
    lines = [{"step": step, "epoch": 1, "train/loss": value} for step, value in enumerate(values, start=1)]
    return "".join(json.dumps(line | ({"val/loss": 0.5} if line["step"] == 3 else {})) + "\n" for line in lines)


def make(folder: Path) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "metrics.jsonl").write_text(rows(2.0, 1.0, 0.5))
    (folder / "result.json").write_text(json.dumps({"status": "finished", "steps": 3, "seconds": 1.5}))
    ledger.append(folder, "started", step=0)
    ledger.append(folder, "nudged", step=2, id="a", knobs={"lr": {"old": 1.0, "new": 0.5}}, who="x", why="")
    state = {"model": {"weight": torch.ones(2)}, "position": {"step": 3}, "recorded_bytes": {"metrics.jsonl": 1}}
    checkpoints.save(folder / "checkpoints" / checkpoints.last_name(3), state)
    checkpoints.save(folder / "checkpoints" / checkpoints.best_name(2), {"model": {"weight": torch.ones(2)}})
    return folder


def rewrite(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def resave(name: str, state: dict[str, Any]) -> Callable[[Path], object]:
    return lambda folder: checkpoints.save(folder / "checkpoints" / name, state)


def nudge_again(folder: Path) -> None:
    ledger.append(folder, "nudged", step=2, id="b", knobs={"lr": {"old": 0.5, "new": 0.25}}, who="x", why="")


CHANGES = {
    "a loss": (rewrite("metrics.jsonl", rows(2.0, 1.5, 0.5)), "step 2, train/loss: 1.0 straight, 1.5 killed"),
    "a gap": (rewrite("metrics.jsonl", rows(2.0, 1.0)), "metrics.jsonl: step 3 straight where there is no row killed"),
    "bytes alone": (
        rewrite("metrics.jsonl", rows(2.0, 1.0, 0.5) + "\n"),
        "metrics.jsonl: the rows are the same, the bytes are not",
    ),
    "a weight": (
        resave("step-00000003.pt", {"model": {"weight": torch.zeros(2)}, "position": {"step": 3}}),
        "model.weight: 2 of 2 numbers differ; at [0] 1.0 straight, 0.0 killed",
    ),
    "a best weight": (
        resave("best-00000002.pt", {"model": {"weight": torch.zeros(2)}}),
        "best-00000002.pt, model.weight: 2 of 2 numbers differ; at [0] 1.0 straight, 0.0 killed",
    ),
    "another best": (
        resave("best-00000003.pt", {}),
        "best weights: ['best-00000002.pt'] straight, ['best-00000002.pt', 'best-00000003.pt'] killed",
    ),
    "the result": (
        rewrite("result.json", json.dumps({"status": "finished", "steps": 4})),
        "result.json, steps: 3 straight, 4 killed",
    ),
    "a nudge": (nudge_again, "nudges: [(2, {'lr': {'old': 1.0, 'new': 0.5}})] straight, [(2, {'lr': "),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_differs_between_two_folders_is_named(what: str, tmp_path: Path) -> None:
    straight = make(tmp_path / "straight")
    killed = shutil.copytree(straight, tmp_path / "killed")
    (killed / "result.json").write_text(json.dumps({"status": "finished", "steps": 3, "seconds": 9}))
    assert list(differences(straight, killed)) == []
    change, text = CHANGES[what]
    change(killed)
    found = list(differences(straight, killed))
    assert found[0].startswith(text), found
