"""Loss and metrics of a model on one split."""

from __future__ import annotations

import torch

from hpo_cli.components.metrics import metric_sums, metrics_from_sums
from hpo_cli.engine.backend import Backend
from hpo_cli.engine.batches import Pair
from hpo_cli.engine.system import System

EVAL_BYTES = 16 << 20
"""Samples are evaluated in pieces of at most this size, the same ones whatever the batch size of training."""


def evaluate(system: System, split: Pair, *, backend: Backend) -> dict[str, float]:
    """`loss` and the task's metrics over all samples of `split`, with the model in evaluation mode.

    Processes share the pieces and all get the same result.
    """
    was_training = system.model.training
    system.model.eval()
    with torch.no_grad(), backend.forward_context():
        sums = _sums(system, split, backend)
    system.model.train(was_training)
    backend.sum_over_processes(sums)
    loss, samples = sums[0].item(), sums[1].item()
    scale = system.spec.target_scale
    return {"loss": loss / samples, **metrics_from_sums(sums[1:], head=system.head, target_scale=scale)}


def _sums(system: System, split: Pair, backend: Backend) -> torch.Tensor:
    """[loss * samples, *metric_sums], float64 where the device has it."""
    x, y = split
    rows = max(1, EVAL_BYTES // max(1, x[0].numel() * x.element_size()))
    pieces = list(zip(x.split(rows), y.split(rows), strict=True))
    mine = pieces[backend.shard.rank :: backend.shard.world]
    weight = float(bool(mine))  # a process without a piece adds zeros
    parts = []
    for xs, ys in mine or pieces[:1]:
        outputs, targets = system.model(xs.to(backend.device)), ys.to(backend.device)
        metric = metric_sums(outputs, targets, head=system.head)
        loss = system.criterion(outputs, targets).to(metric.dtype).reshape(1) * len(xs)
        parts.append(torch.cat((loss, metric)))
    return torch.stack(parts).sum(0) * weight
