"""The trial of one batch: its loss, gradient, layers and lr curve, against plain torch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from hpo_cli.engine.randomness import INIT, derive, epoch_order
from hpo_cli.engine.trial import Layer, try_plan
from hpo_cli.errors import ConfigError, RunFailedError
from tests.engine.bare import mlp
from tests.engine.plans import arrays, plan, varied

if TYPE_CHECKING:
    from hpo_cli.plan import RunPlan

SMALL = ("data.subset=0.1", "model.width=16", "epochs=3")


def by_hand(plan: RunPlan) -> tuple[float, float]:
    """Loss and gradient norm of the first batch."""
    torch.manual_seed(derive(plan.seed, INIT))
    model = mlp(64, 16, 10)
    x, y = arrays(plan, "train")
    rows = epoch_order(len(x), seed=plan.seed, epoch=0)[: plan.batch_size]
    loss = nn.CrossEntropyLoss()(model(x[rows]), y[rows])
    loss.backward()
    return loss.item(), math.sqrt(sum(float(p.grad.double().square().sum()) for p in model.parameters()))


def test_what_a_trial_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = plan(*SMALL)
    found = try_plan(made)
    assert (found.loss, found.gradient_norm) == pytest.approx(by_hand(made), rel=1e-5)
    assert (found.batch_size, found.epochs, found.total_steps) == (32, 3, 12)
    assert found.parameters == 64 * 16 + 16 + 16 * 16 + 16 + 16 * 10 + 10
    assert found.layers[1] == Layer("linear0", "Linear", (16,), 64 * 16 + 16)
    assert sum(layer.parameters for layer in found.layers) == found.parameters
    assert found.lr_steps == tuple(range(12))
    wanted = [1e-3 * (1 + math.cos(math.pi * step / 12)) / 2 for step in range(12)]
    assert found.lr_values == pytest.approx(wanted)
    assert found.step_seconds > 0
    assert not list(tmp_path.iterdir())


def test_the_curve_of_a_long_run_is_thinned() -> None:
    found = try_plan(varied(plan(*SMALL), "", epochs=1000))
    assert (found.lr_steps[0], found.lr_steps[-1]) == (0, 3999)
    assert 100 <= len(found.lr_steps) <= 130
    assert sorted(set(found.lr_steps)) == list(found.lr_steps)


def test_a_plan_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="batch_size=9999"):
        try_plan(varied(plan(*SMALL), "", batch_size=9999))


def test_a_first_loss_that_is_not_finite_is_named() -> None:
    with pytest.raises(RunFailedError, match=r"loss of the first batch is (nan|inf)"):
        try_plan(plan("init=normal", "init.std=1e30", *SMALL))
