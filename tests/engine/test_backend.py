"""Gradient scaling of float16 and processes without rows, on a CPU, by the arithmetic that must hold anywhere."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hpo_cli.engine.backend import Backend
from tests.engine.plans import SMALL, finish, new_loop, plan, weights_of

WORDS = (*SMALL, "optimizer=sgd", "regularization.clip_norm=0.5")


def scaled(**fields: Any) -> str:
    """The weights of a run whose loss is scaled by a power of two, which changes no bit of what is unscaled."""
    return weights_of(finish(new_loop(plan(*WORDS), backend=Backend(**fields))))


def scaler() -> torch.amp.GradScaler:
    return torch.amp.GradScaler("cpu", init_scale=2.0**10)


def test_the_loss_is_scaled_once() -> None:
    plain = weights_of(finish(new_loop(plan(*WORDS))))
    assert scaled(scaler=scaler()) == plain
    by_strategy = scaler()  # a strategy scales by itself, as Lightning's precision plugin does
    assert scaled(scaler=by_strategy, backward=lambda loss: by_strategy.scale(loss).backward()) == plain


def test_the_comparison_notices_a_second_scaling() -> None:
    plain = weights_of(finish(new_loop(plan(*WORDS))))
    again = scaler()
    twice = scaled(scaler=again, backward=lambda loss: again.scale(again.scale(loss)).backward())
    assert twice != plain


def test_a_process_without_rows_counts_none_right(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = new_loop(plan(*SMALL))
    loop.stepper.outputs, loop.stepper.targets = [], []
    assert loop._tally._correct_over_processes() == 0.0
