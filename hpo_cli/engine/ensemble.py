"""Several runs as one model: their probabilities, or the numbers they predict, averaged (Hansen & Salamon 1990)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch.nn import functional

from hpo_cli.components.losses.classes import BinaryCrossEntropy, CrossEntropy
from hpo_cli.components.metrics import Measure, metric_sums, metrics_from_sums
from hpo_cli.engine.backend import Backend
from hpo_cli.engine.batches import Pair
from hpo_cli.engine.evaluation import judge, pieces
from hpo_cli.engine.examine import examine_saved
from hpo_cli.engine.saved import Saved
from hpo_cli.engine.system import System
from hpo_cli.record import ledger

Metrics = dict[str, float]
Part = Literal["val", "test"]

_SMALLEST = torch.finfo(torch.float64).tiny
"""Stands for a probability of 0, whose logarithm is not finite."""


@dataclass(frozen=True)
class Member:
    """One run of an ensemble. val, test: what it does alone; empty where that was not asked."""

    run: str
    checkpoint: str
    step: int
    val: Metrics
    test: Metrics


@dataclass(frozen=True)
class Ensemble:
    """val: empty where the members validated on different samples.   test: empty where it was not asked."""

    members: tuple[Member, ...]
    val: Metrics
    test: Metrics

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return {
            "members": [asdict(member) for member in self.members],
            "ensemble": {"val": self.val, "test": self.test},
        }


def validate_together(runs: Sequence[Saved]) -> Ensemble:
    """Judge the runs and, where they validate on the same samples, their ensemble; the test split stays unseen."""
    members = tuple(Member(saved.folder.name, saved.checkpoint, saved.step, _alone(saved, "val"), {}) for saved in runs)
    return Ensemble(members, _together(runs, "val") if _validate_alike(runs) else {}, {})


def examine_together(runs: Sequence[Saved], *, known: dict[Path, Metrics]) -> Ensemble:
    """Judge the runs and their ensemble on both splits, and note it in every member's ledger.

    known: what single examinations said before, by folder; a run without one is examined, and its ledger says so.
    """
    judged = validate_together(runs)
    tests = [known.get(saved.folder) or _examined(saved) for saved in runs]
    members = tuple(replace(member, test=test) for member, test in zip(judged.members, tests, strict=True))
    found = replace(judged, members=members, test=_together(runs, "test"))
    for saved in runs:
        _note(saved, found)
    return found


def _examined(saved: Saved) -> Metrics:
    return {name.removeprefix("test/"): value for name, value in examine_saved(saved).metrics.items()}


def _note(saved: Saved, found: Ensemble) -> None:
    ledger.append(
        saved.folder,
        "tested",
        step=saved.step,
        split="test",
        metrics={f"test/{name}": value for name, value in found.test.items()},
        checkpoint=saved.checkpoint,
        ensemble=[member.run for member in found.members],
        judged=found.to_dict(),
    )


def _alone(saved: Saved, part: Part) -> Metrics:
    return judge(saved.system, saved.part(part), backend=Backend())


def _validate_alike(runs: Sequence[Saved]) -> bool:
    return len({saved.plan.data.fold for saved in runs}) == 1


def _together(runs: Sequence[Saved], part: Part) -> Metrics:
    """The metrics of the mean prediction; with its -log p where that is what every member calls its loss."""
    systems = [saved.system for saved in runs]
    measure = _common_measure(systems[0])
    total = torch.zeros(())
    logs, count = 0.0, 0
    for outputs, targets in _mean_predictions(runs, part):
        total = total + metric_sums(outputs, targets, measure=measure)
        if measure.head == "classes":
            logs += functional.nll_loss(outputs, targets, reduction="sum").item()
            count += targets.numel()
    metrics = metrics_from_sums(total, measure=measure)
    plain = measure.head == "classes" and all(_is_plain(system.criterion) for system in systems)
    return {"loss": logs / count, **metrics} if plain else metrics


def _is_plain(criterion: torch.nn.Module) -> bool:
    """Whether the loss is the mean -log p of the right class and nothing else."""
    if not isinstance(criterion, (CrossEntropy, BinaryCrossEntropy)):
        return False
    return criterion.class_weights is None and criterion.label_smoothing == 0


def _common_measure(system: System) -> Measure:
    """What measures log-probabilities and numbers in the data's units."""
    head = "classes" if system.measure.head == "one" else system.measure.head
    return replace(system.measure, head=head, target_scale=None)


def _mean_predictions(runs: Sequence[Saved], part: Part) -> Iterator[Pair]:
    """(log of the mean probabilities, or mean numbers in the data's units; targets) piece by piece.

    Each run sees the samples as it standardised them. All walk in the order of one that reads its text on, if any.
    """
    leader = next((saved for saved in runs if saved.system.carriers), runs[0])
    data = [saved.part(part) for saved in runs]
    x = leader.part(part)[0]
    with ExitStack() as stack, torch.no_grad():
        for saved in runs:
            stack.enter_context(saved.system.evaluating())
            saved.system.reset_carried()
        for _, rows in pieces(leader.system, (x, torch.arange(len(x)))):
            opinions = [
                prediction(saved.system, saved.system.model(own_x[rows]))
                for saved, (own_x, _) in zip(runs, data, strict=True)
            ]
            mean = torch.stack(opinions).mean(0)
            yield _logged(runs[0].system, mean), _in_units(runs[0].system, data[0][1][rows])


def prediction(system: System, outputs: torch.Tensor) -> torch.Tensor:
    """What may be averaged, float64: probabilities of classes [b, k, ...], numbers in the data's units [b, columns].

    One logit gives the probabilities of both classes; several columns stand side by side as the outputs do.
    """
    head, values = system.measure.head, outputs.double()
    if head == "one":
        return torch.cat((torch.sigmoid(-values), torch.sigmoid(values)), 1)
    if head == "classes":
        return torch.softmax(values, 1)
    if head == "targets":
        return _in_units(system, values)
    return torch.cat([_column(system, index, own) for index, own in enumerate(_split(system, values))], 1)


def _column(system: System, index: int, outputs: torch.Tensor) -> torch.Tensor:
    if system.measure.columns[index].class_names:
        return torch.softmax(outputs, 1)
    spec = system.spec
    return outputs * (spec.target_scale or ())[index] + (spec.target_mean or ())[index]


def _split(system: System, outputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    widths = [len(column.class_names or ()) or 1 for column in system.measure.columns]
    parts: tuple[torch.Tensor, ...] = outputs.split(widths, dim=1)
    return parts


def _logged(system: System, mean: torch.Tensor) -> torch.Tensor:
    """Mean predictions as outputs. In several columns the largest probability says as much as its logarithm."""
    return mean.clamp_min(_SMALLEST).log() if system.measure.head in ("classes", "one") else mean


def _in_units(system: System, targets: torch.Tensor) -> torch.Tensor:
    """Numbers in the data's units; classes and tokens as they are."""
    spec = system.spec
    if spec.target_scale is None or spec.target_mean is None:
        return targets.double() if targets.is_floating_point() else targets
    scale, mean = (torch.tensor(values, dtype=torch.float64) for values in (spec.target_scale, spec.target_mean))
    return targets.double() * scale + mean
