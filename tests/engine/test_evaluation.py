"""judge() against scikit-learn and plain sums."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import nn

from hpo_cli.engine import evaluation
from hpo_cli.engine.backend import Backend
from hpo_cli.engine.batches import Shard
from hpo_cli.engine.evaluation import judge
from hpo_cli.engine.system import System
from tests.engine.plans import SMALL, arrays, plan, splits_of, trained, weights_of

HERE = Backend()
WORDS = {
    "classes": ("model.norm=batch", "regularization.dropout=0.5", *SMALL),
    "one": ("data=breast_cancer", "loss=bce", "model.norm=batch", "regularization.dropout=0.5", *SMALL[1:]),
    "targets": ("data=diabetes", "loss=mse", "model.norm=batch", "regularization.dropout=0.5", *SMALL[1:]),
}


def outputs_of(system: System, x: torch.Tensor) -> np.ndarray:
    system.model.eval()
    with torch.no_grad():
        found = system.model(x).double().numpy()
    system.model.train()
    return found


def expected(head: str, outputs: np.ndarray, y: np.ndarray, scale: float) -> dict[str, float]:
    if head == "classes":
        odds = np.exp(outputs - outputs.max(1, keepdims=True))
        loss = metrics.log_loss(y, odds / odds.sum(1, keepdims=True), labels=range(10))
        return {"loss": loss, "accuracy": metrics.accuracy_score(y, outputs.argmax(1))}
    if head == "one":
        p = 1 / (1 + np.exp(-outputs[:, 0]))
        return {"loss": metrics.log_loss(y, p), "accuracy": metrics.accuracy_score(y, p > 0.5)}
    return {
        "loss": metrics.mean_squared_error(y, outputs),
        "mae": scale * metrics.mean_absolute_error(y, outputs),
        "r2": metrics.r2_score(y, outputs),
    }


@pytest.mark.parametrize("head", WORDS)
@pytest.mark.parametrize("bytes_at_once", [1, 1000, 1 << 24], ids=["one by one", "pieces", "whole"])
def test_agrees_with_scikit_learn(head: str, bytes_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "EVAL_BYTES", bytes_at_once)
    made = plan(*WORDS[head])
    system = trained(made).system
    x, y = arrays(made, "val")
    scale = (splits_of(made).spec.target_scale or (1.0,))[0]
    found = judge(system, (x, y), backend=HERE)
    assert found == pytest.approx(expected(head, outputs_of(system, x), y.numpy(), scale), rel=1e-5)
    assert found != pytest.approx(expected(head, outputs_of(system, x.flip(0)), y.numpy(), scale), rel=1e-3)


@pytest.mark.parametrize("training", [True, False])
def test_leaves_the_model_as_it_was(training: bool) -> None:
    loop = trained(plan(*WORDS["classes"]))
    model = loop.system.model.train(training)
    before, rng = weights_of(loop), torch.get_rng_state()
    judge(loop.system, arrays(loop.plan, "val"), backend=HERE)
    assert weights_of(loop) == before
    assert torch.equal(rng, torch.get_rng_state())
    assert {module.training for module in model.modules()} == {training}
    assert all(p.grad is None for p in model.parameters())
    model.train()(arrays(loop.plan, "val")[0])  # batch norm does move when it trains
    assert weights_of(loop) != before


def test_the_pieces_of_several_processes_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three processes, the first has two of four pieces; then six, of which two have none."""
    made = plan(*WORDS["classes"])
    system, val = trained(made).system, arrays(made, "val")
    whole = judge(system, val, backend=HERE)
    monkeypatch.setattr(evaluation, "EVAL_BYTES", 70 * 64 * 4)
    for world in (3, 6):
        system.model.eval()
        with torch.no_grad():
            sums = sum(evaluation._sums(system, val, Backend(shard=Shard(rank, world))) for rank in range(world))
        assert isinstance(sums, torch.Tensor)
        loss, samples, correct = sums.tolist()
        assert samples == len(val[0])
        assert {"loss": loss / samples, "accuracy": correct / samples} == pytest.approx(whole, rel=1e-6)


def test_the_loss_is_the_one_that_training_uses() -> None:
    """With label smoothing, and without the penalties."""
    made = plan("regularization.label_smoothing=0.2", "regularization.l2=1.0", *SMALL)
    system, (x, y) = trained(made).system, arrays(made, "val")
    smooth = nn.CrossEntropyLoss(label_smoothing=0.2)(torch.from_numpy(outputs_of(system, x)), y)
    assert judge(system, (x, y), backend=HERE)["loss"] == pytest.approx(smooth.item(), rel=1e-6)
