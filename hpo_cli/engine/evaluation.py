"""Loss and metrics of a model on one split."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from hpo_cli.components.data.streams import stream_order
from hpo_cli.components.metrics import metric_sums, metrics_from_sums
from hpo_cli.engine.backend import Backend
from hpo_cli.engine.batches import Pair
from hpo_cli.engine.system import System

EVAL_BYTES = 16 << 20
"""Samples are evaluated in pieces of at most this size, the same ones whatever the batch size of training."""

EVAL_STREAMS = 16
"""A text is read in this many places at once by a model that carries its hidden state on."""


def evaluate(system: System, split: Pair, *, backend: Backend) -> dict[str, float]:
    """`loss` and the task's metrics over all samples of `split`. Call it inside `system.evaluating()`.

    Processes share the pieces and all get the same result.
    """
    system.reset_carried()
    with torch.no_grad(), backend.forward_context():
        sums = _sums(system, split, backend)
    backend.sum_over_processes(sums)
    loss, samples = sums[0].item(), sums[1].item()
    return {"loss": loss / samples, **metrics_from_sums(sums[1:], measure=system.measure)}


def judge(system: System, split: Pair, *, backend: Backend) -> dict[str, float]:
    """What `evaluate` finds with the model as it is judged."""
    with system.evaluating():
        return evaluate(system, split, backend=backend)


def pieces(system: System, split: Pair) -> Iterator[Pair]:
    """The split in pieces that fit in memory; for a model that carries hidden state on, in the text's order."""
    x, y = split
    if system.carriers:
        order = torch.from_numpy(stream_order(len(x), batch_size=EVAL_STREAMS)).to(x.device)
        for rows in order.split(EVAL_STREAMS):
            yield x[rows], y[rows]
        return
    in_bytes = x[0].numel() * x.element_size()
    out_bytes = system.num_outputs * system.measure.targets_per_sample * 4
    rows = max(1, EVAL_BYTES // max(1, in_bytes, out_bytes))
    yield from zip(x.split(rows), y.split(rows), strict=True)


def _sums(system: System, split: Pair, backend: Backend) -> torch.Tensor:
    """[loss * samples, *metric_sums], float64 where the device has it."""
    shard, total = backend.shard, None
    for index, (xs, ys) in enumerate(pieces(system, split)):
        mine = index % shard.world == shard.rank
        if not (mine or index == 0 or system.carriers):  # the first is measured by all: it shows the sums' shape
            continue
        outputs, targets = system.model(xs.to(backend.device)), ys.to(backend.device)
        metric = metric_sums(outputs, targets, measure=system.measure)
        loss = system.loss(outputs, targets).to(metric.dtype).reshape(1) * len(xs)
        part = torch.cat((loss, metric)) * float(mine)
        total = part if total is None else total + part
    assert total is not None  # noqa: S101 - a split has samples
    return total
