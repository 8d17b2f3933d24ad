"""What a trained model gets right and wrong on the training or validation split; never on the test split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch.nn import functional

from hpo_cli.engine.backend import Backend
from hpo_cli.engine.batches import Pair
from hpo_cli.engine.evaluation import judge, pieces
from hpo_cli.engine.findings import Findings, Guesses, Ints, class_findings, number_findings
from hpo_cli.engine.saved import Saved
from hpo_cli.engine.system import System

Part = Literal["train", "val"]


@dataclass(frozen=True)
class Results:
    """metrics: {"train": {name: value}, "val": ...}, both by the same weights.   findings: one a target column."""

    split: Part
    samples: int
    metrics: dict[str, dict[str, float]]
    findings: tuple[Findings, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        columns = [found.to_dict() for found in self.findings]
        return {"split": self.split, "samples": self.samples, "metrics": self.metrics, "columns": columns}


def results_of(saved: Saved, *, split: Part, worst: int) -> Results:
    """Metrics of training and validation, and all about the predictions on `split`."""
    system = saved.system
    metrics = {name: judge(system, saved.part(name), backend=Backend()) for name in ("train", "val")}
    with system.evaluating():
        found = tuple(_findings(system, saved.part(split), worst=worst))
    return Results(split, len(getattr(saved.splits, split).x), metrics, found)


def _findings(system: System, data: Pair, *, worst: int) -> Iterator[Findings]:
    spec, head = system.spec, system.measure.head
    if head in ("classes", "one"):
        yield class_findings("class", spec.class_names or (), _guessed(system, data), worst=worst)
        return
    indices, outputs, targets = _predicted(system, data)
    order = np.argsort(indices)
    for index, (name, class_names, own) in enumerate(_columns(system, outputs)):
        wanted = targets[:, index]
        if class_names:
            guesses = _guesses(own.double(), wanted.long(), indices)
            yield class_findings(name, class_names, guesses, worst=worst)
        else:
            mean, scale = (values[index] if values else default for values, default in _units(system))
            true, predicted = (t.double().numpy()[order] * scale + mean for t in (wanted, own[:, 0]))
            yield number_findings(name, true, predicted, worst=worst)


def _units(system: System) -> tuple[tuple[tuple[float, ...] | None, float], ...]:
    """(values, what stands for missing ones) of mean and scale."""
    return (system.spec.target_mean, 0.0), (system.spec.target_scale, 1.0)


def _columns(system: System, outputs: torch.Tensor) -> Iterator[tuple[str, Sequence[str], torch.Tensor]]:
    """(name, class names or none, own outputs) of each target column."""
    if system.spec.columns is None:
        many = outputs.shape[1] > 1
        yield from (
            (f"target {i + 1}" if many else "target", (), outputs[:, i : i + 1]) for i in range(outputs.shape[1])
        )
        return
    widths = [len(column.class_names or ()) or 1 for column in system.spec.columns]
    for column, own in zip(system.spec.columns, outputs.split(widths, dim=1), strict=True):
        yield column.name, column.class_names or (), own


def _outputs(system: System, data: Pair) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """(places in the split, outputs, targets) piece by piece; a text in the order that its model needs."""
    x, y = data
    system.reset_carried()
    with torch.no_grad():
        for xs, places in pieces(system, (x, torch.arange(len(x)))):
            yield places, system.model(xs), y[places]


def _predicted(system: System, data: Pair) -> tuple[Ints, torch.Tensor, torch.Tensor]:
    places, outputs, targets = zip(*_outputs(system, data), strict=True)
    return torch.cat(places).numpy(), torch.cat(outputs), torch.cat(targets)


def _guessed(system: System, data: Pair) -> Guesses:
    """Of classes and tokens only what is needed is kept: outputs of a text would not fit in memory."""
    found = [
        _guesses(_logits(outputs.double(), system), targets, places.numpy())
        for places, outputs, targets in _outputs(system, data)
    ]
    return Guesses(
        indices=np.concatenate([one.indices for one in found]),
        true=np.concatenate([one.true for one in found]),
        predicted=np.concatenate([one.predicted for one in found]),
        probability=np.concatenate([one.probability for one in found]),
        loss=np.concatenate([one.loss for one in found]),
        per_sample=found[0].per_sample,
    )


def _logits(outputs: torch.Tensor, system: System) -> torch.Tensor:
    """[b, k] or [b, k, positions]; a single logit z becomes (0, z), whose softmax is (1 - sigmoid, sigmoid)."""
    return torch.cat((torch.zeros_like(outputs), outputs), 1) if system.measure.head == "one" else outputs


def _guesses(logits: torch.Tensor, targets: torch.Tensor, indices: Ints) -> Guesses:
    log_p = functional.log_softmax(logits, 1)
    best, guessed = log_p.max(1)
    losses = -log_p.gather(1, targets.unsqueeze(1)).squeeze(1)
    per_sample = targets[0].numel()
    flat = (t.reshape(-1).numpy() for t in (targets, guessed, best.exp(), losses))
    true, predicted, probability, loss = flat
    return Guesses(np.repeat(indices, per_sample), true, predicted, probability, loss, per_sample)
