from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, mean_absolute_error, r2_score

from hpo_cli.components.data.arrays import TargetColumn
from hpo_cli.components.metrics import Measure, metric_names, metric_sums, metrics_from_sums
from hpo_cli.plan import OBJECTIVES

if TYPE_CHECKING:
    from hpo_cli.plan import Task

SEEDS = st.integers(0, 10_000)
COLUMNS = (TargetColumn("price"), TargetColumn("kind", ("a", "b", "c")))
MEASURES = {
    "classes": Measure("classes"),
    "one": Measure("one"),
    "targets": Measure("targets"),
    "tokens": Measure("classes", positions=6),
    "several": Measure("several", columns=COLUMNS, target_scale=(10.0, 1.0)),
}
NAMES = {
    "classes": ("accuracy",),
    "one": ("accuracy",),
    "targets": ("mae", "r2"),
    "tokens": ("accuracy", "perplexity"),
    "several": ("price_mae", "price_r2", "kind_accuracy"),
}
TASKS: dict[str, Task] = {
    "classes": "classification", "one": "classification", "targets": "regression", "tokens": "language",
}  # fmt: skip


def batch(head: str, seed: int, *, size: int = 37) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs and targets of one batch, related enough for every metric to be away from its bounds."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, 2 if head == "one" else 4, (size,), generator=generator)
    noise = torch.randn(size, 4, generator=generator)
    if head == "tokens":
        targets = torch.randint(0, 5, (size, 6), generator=generator)
        return torch.randn(size, 5, 6, generator=generator), targets
    if head == "several":
        return noise, torch.stack((noise[:, 1] + 3.0, (targets % 3).float()), dim=1)
    if head == "classes":
        return noise + 2.0 * torch.nn.functional.one_hot(targets, 4), targets
    if head == "one":
        return noise[:, :1] + 2.0 * targets.unsqueeze(1) - 1.0, targets
    return noise[:, :2] + noise[:, 2:], 5.0 + 2.0 * noise[:, 2:]


def sums_of(head: str, seeds: list[int], *, size: int = 37) -> torch.Tensor:
    """The added-up sums of several batches."""
    return torch.stack([metric_sums(*batch(head, seed, size=size), measure=MEASURES[head]) for seed in seeds]).sum(0)


@given(st.lists(SEEDS, min_size=1, max_size=4))
def test_accuracy_over_batches_equals_scikit_learn(seeds: list[int]) -> None:
    outputs, targets = (torch.cat(parts) for parts in zip(*(batch("classes", s) for s in seeds), strict=True))
    wanted = accuracy_score(targets, outputs.argmax(1))
    assert metrics_from_sums(sums_of("classes", seeds), measure=MEASURES["classes"]) == {
        "accuracy": pytest.approx(wanted)
    }
    outputs, targets = (torch.cat(parts) for parts in zip(*(batch("one", s) for s in seeds), strict=True))
    wanted = accuracy_score(targets, torch.sigmoid(outputs[:, 0]) > 0.5)
    assert metrics_from_sums(sums_of("one", seeds), measure=MEASURES["one"]) == {"accuracy": pytest.approx(wanted)}


@given(st.lists(SEEDS, min_size=1, max_size=4))
def test_regression_over_batches_equals_scikit_learn(seeds: list[int]) -> None:
    outputs, targets = (torch.cat(parts) for parts in zip(*(batch("targets", s) for s in seeds), strict=True))
    scale = np.array([10.0, 0.5])
    found = metrics_from_sums(sums_of("targets", seeds), measure=Measure("targets", target_scale=tuple(scale.tolist())))
    wanted = {
        "mae": mean_absolute_error(targets.numpy() * scale, outputs.numpy() * scale),
        "r2": r2_score(targets.numpy(), outputs.numpy()),
    }
    assert found == pytest.approx(wanted, rel=1e-6)


def test_the_mean_of_batch_scores_would_be_wrong() -> None:
    whole = metrics_from_sums(sums_of("targets", [1, 2, 3]), measure=MEASURES["targets"])["r2"]
    parts = [metrics_from_sums(sums_of("targets", [seed]), measure=MEASURES["targets"])["r2"] for seed in (1, 2, 3)]
    assert abs(whole - sum(parts) / 3) > 1e-3


@pytest.mark.parametrize("head", MEASURES)
def test_gives_the_names_of_the_table(head: str) -> None:
    assert tuple(metrics_from_sums(sums_of(head, [0]), measure=MEASURES[head])) == NAMES[head]
    assert metric_names(MEASURES[head]) == NAMES[head]


def test_a_run_can_be_judged_by_every_metric() -> None:
    for head, task in TASKS.items():
        assert {f"val/{name}" for name in NAMES[head]} | {"val/loss"} == set(OBJECTIVES[task])


@given(st.lists(SEEDS, min_size=1, max_size=3))
def test_perplexity_is_the_geometric_mean_of_one_over_p(seeds: list[int]) -> None:
    outputs, targets = (torch.cat(parts) for parts in zip(*(batch("tokens", s) for s in seeds), strict=True))
    p = outputs.double().softmax(1).gather(1, targets[:, None]).squeeze(1)
    found = metrics_from_sums(sums_of("tokens", seeds), measure=MEASURES["tokens"])
    assert found["perplexity"] == pytest.approx(1.0 / p.log().mean().exp().item(), rel=1e-5)
    assert found["accuracy"] == pytest.approx(accuracy_score(targets.flatten(), outputs.argmax(1).flatten()))


def test_a_uniform_guess_has_the_perplexity_of_the_alphabet() -> None:
    sums = metric_sums(torch.zeros(3, 5, 6), torch.zeros(3, 6, dtype=torch.int64), measure=MEASURES["tokens"])
    assert metrics_from_sums(sums, measure=MEASURES["tokens"])["perplexity"] == pytest.approx(5.0)


@given(st.lists(SEEDS, min_size=1, max_size=3))
def test_each_of_several_columns_equals_scikit_learn(seeds: list[int]) -> None:
    outputs, targets = (torch.cat(parts) for parts in zip(*(batch("several", s) for s in seeds), strict=True))
    found = metrics_from_sums(sums_of("several", seeds), measure=MEASURES["several"])
    assert found == pytest.approx(
        {
            "price_mae": 10.0 * mean_absolute_error(targets[:, 0], outputs[:, 0]),
            "price_r2": r2_score(targets[:, 0], outputs[:, 0]),
            "kind_accuracy": accuracy_score(targets[:, 1], outputs[:, 1:].argmax(1)),
        },
        rel=1e-5,
    )


@pytest.mark.parametrize("head", MEASURES)
def test_sums_are_plain_float64_vectors(head: str) -> None:
    outputs, targets = batch(head, 0)
    sums = metric_sums(outputs.requires_grad_(), targets, measure=MEASURES[head])
    assert (sums.dim(), sums.dtype, sums.requires_grad) == (1, torch.float64, False)
    assert sums[0].item() == 37


@pytest.mark.parametrize("head", MEASURES)
def test_nothing_seen_is_undefined(head: str) -> None:
    sums = metric_sums(*batch(head, 0, size=0), measure=MEASURES[head])
    assert all(math.isnan(value) for value in metrics_from_sums(sums, measure=MEASURES[head]).values())


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
def test_r2_of_targets_that_do_not_vary_is_undefined(constant: float) -> None:
    outputs = torch.randn(20, 1)
    sums = metric_sums(outputs, torch.full((20, 1), constant), measure=MEASURES["targets"])
    found = metrics_from_sums(sums, measure=MEASURES["targets"])
    assert math.isnan(found["r2"])
    assert found["mae"] == pytest.approx(
        (outputs.double() - torch.full((20, 1), constant).double()).abs().mean().item()
    )


def test_a_scale_for_too_few_columns_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        metrics_from_sums(sums_of("targets", [0]), measure=Measure("targets", target_scale=(1.0,)))
