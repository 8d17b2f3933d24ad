"""The first places where two states differ."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hpo_cli.engine.differences import differences


def state(**changed: Any) -> dict[str, Any]:
    made = {
        "model": {"w": torch.arange(4.0), "n": torch.tensor(3)},
        "optimizer": {"state": {0: {"step": torch.tensor(2.0)}}, "groups": [{"lr": 0.1, "betas": (0.9, 0.99)}]},
        "best": {"val/loss": [float("nan"), 3]},
        "line": ["a"],
        "recorded_bytes": {"ledger": 10, "metrics": 20},
    }
    return {**made, **changed}


def test_equal_states_have_none() -> None:
    assert differences(state(), state()) == []
    assert differences(state(), state(line=["b"], recorded_bytes={})) == []
    assert differences(state(), state(line=["b"]), ignore=()) == ["line.0: 'a' and 'b'"]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"model": {"w": torch.tensor([0.0, 1.0, 2.5, 3.25]), "n": torch.tensor(3)}},
         "model.w: 2 of 4 numbers differ; at [2] 2.0 and 2.5"),
        ({"model": {"w": torch.tensor([-0.0, 1.0, 2.0, 3.0]), "n": torch.tensor(3)}},
         "model.w: 1 of 4 numbers differ; at [0] 0.0 and -0.0"),
        ({"model": {"w": torch.zeros(2), "n": torch.tensor(3)}},
         "model.w: float32 of shape [4] and float32 of shape [2]"),
        ({"model": {"w": torch.arange(4.0)}}, "model.n: int64 of shape [] and nothing"),
        ({"best": {"val/loss": [0.5, 3]}}, "best.val/loss.0: nan and 0.5"),
        ({"best": {"val/loss": [float("nan"), 3.0]}}, "best.val/loss.1: 3 and 3.0"),
        ({"best": {"val/loss": [1]}}, "best.val/loss: [nan, 3] and [1]"),
        ({"more": None}, "more: nothing and None"),
    ],
)  # fmt: skip
def test_the_place_and_the_size_are_named(changed: dict[str, Any], told: str) -> None:
    assert differences(state(), state(**changed)) == [told]


def test_the_first_ones_are_named() -> None:
    a, b = {str(i): i for i in range(9)}, {str(i): -i for i in range(9)}
    assert differences(a, b, most=2) == ["1: 1 and -1", "2: 2 and -2"]


def test_a_nan_is_equal_to_the_same_bits_alone() -> None:
    a = torch.tensor([float("nan"), 1.0])
    assert differences(a, a.clone()) == []
    assert len(differences(a, torch.tensor([float("nan"), 2.0]))) == 1
