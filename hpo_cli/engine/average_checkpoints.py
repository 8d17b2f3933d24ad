"""Averaging the weights of a run's best checkpoints (Izmailov et al. 2018, arXiv:1803.05407, without the schedule)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from hpo_cli.engine import checkpoints
from hpo_cli.engine.backend import Backend
from hpo_cli.engine.batches import DeviceBatches, Shard, order_of
from hpo_cli.engine.evaluation import judge
from hpo_cli.engine.finetuning import freeze, frozen_norms, weights_in
from hpo_cli.engine.randomness import STEP, derive, seed_everywhere
from hpo_cli.engine.saved import Saved, step_of
from hpo_cli.errors import UserError
from hpo_cli.record import ledger
from hpo_cli.record.folder import CHECKPOINTS
from hpo_cli.record.weights import AVERAGE, numbered

Weights = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Judged:
    """One set of weights on the validation split. checkpoint: relative to the run's folder."""

    checkpoint: str
    step: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class Averaged:
    """The checkpoints, oldest first, and their average. renormalised: batch norms whose statistics were taken anew."""

    members: tuple[Judged, ...]
    average: Judged
    renormalised: int

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return asdict(self)


def best_files(folder: Path, *, most: int | None) -> list[Path]:
    """The run's kept best checkpoints, oldest first, at most the newest `most`. Raises UserError for fewer than two."""
    files = numbered(folder / CHECKPOINTS, "best-")
    if len(files) < 2:  # noqa: PLR2004 - an average is of several
        kept = "one best checkpoint" if files else "no best checkpoint"
        raise UserError(f"{folder}: has {kept}, an average needs two; train with checkpoint.keep_best=5")
    return files[-most:] if most else files


def average_checkpoints(saved: Saved, files: Sequence[Path]) -> Averaged:
    """Average `files`, judge them and the average on the validation split, save it, and note it in the ledger.

    A loss that has a state of its own (centers, learnt weights) is averaged like the model.
    """
    states = [checkpoints.load(path) for path in files]
    members = tuple(_member(saved, path, state) for path, state in zip(files, states, strict=True))
    step = members[-1].step
    system = saved.system
    _fill(saved, mean_weights([weights_in(state) for state in states]), _mean_criterion(states))
    renormalised = _renormalise(saved)
    average = _judged(saved, file=f"{AVERAGE}{step:08d}.pt", step=step)
    names = [f"{CHECKPOINTS}/{path.name}" for path in files]
    path = saved.folder / average.checkpoint
    weights = {"model": system.model.state_dict(), "criterion": system.criterion.state_dict()}
    checkpoints.save(path, {**weights, "step": step, "averaged": names})
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    noted = {"file": average.checkpoint, "sha256": digest, "averaged": names}
    ledger.append(saved.folder, "averaged", step=step, **noted, metrics=_prefixed(average.metrics))
    return Averaged(members, average, renormalised)


def mean_weights(states: Sequence[Weights]) -> dict[str, torch.Tensor]:
    """The mean of each tensor, added up in float64; of counters and other whole numbers the last one's."""
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(last.dtype)
        if last.is_floating_point()
        else last
        for name, last in states[-1].items()
    }


def _mean_criterion(states: Sequence[checkpoints.State]) -> Weights:
    """Empty where a file is older than the loss's state in it: the loss then stays as the last file left it."""
    criteria = [state.get("criterion") or {} for state in states]
    return mean_weights(criteria) if all(criteria) else {}


def _fill(saved: Saved, weights: Weights, criterion: Weights) -> None:
    saved.system.model.load_state_dict(weights)
    if criterion:
        saved.system.criterion.load_state_dict(criterion)


def _member(saved: Saved, path: Path, state: checkpoints.State) -> Judged:
    _fill(saved, weights_in(state), state.get("criterion") or {})
    return _judged(saved, file=path.name, step=step_of(state))


def _judged(saved: Saved, *, file: str, step: int) -> Judged:
    metrics = judge(saved.system, saved.part("val"), backend=Backend())
    return Judged(f"{CHECKPOINTS}/{file}", step, metrics)


def _prefixed(metrics: Mapping[str, float]) -> dict[str, float]:
    return {f"val/{name}": value for name, value in metrics.items()}


def _renormalise(saved: Saved) -> int:
    """Take batch norm's running statistics anew, as the mean over training batches; how many norms that were.

    The batches are those of training without its augmentation. Norms that training held still keep theirs.
    """
    system, plan = saved.system, saved.plan
    freeze(system.model, plan.finetune.freeze)
    still = frozen_norms(plan, system.model)
    norms = [module for module in system.model.modules() if isinstance(module, _BatchNorm)]
    moving = [norm for norm in norms if norm not in still and norm.track_running_stats]
    if not moving:
        return 0
    held = [(buffer, buffer.clone()) for norm in still for buffer in norm.buffers()]
    seed_everywhere(derive(plan.seed, STEP, 2))
    system.reset_carried()
    update_bn(_batches(saved), system.model)
    for buffer, before in held:
        buffer.copy_(before)
    return len(moving)


def _batches(saved: Saved) -> Iterator[torch.Tensor]:
    source = DeviceBatches(
        saved.part("train"), order=order_of(saved.plan, carries=bool(saved.system.carriers)), shard=Shard()
    )
    for x, _ in source.batches(0, start=0, batch_size=saved.plan.batch_size):
        yield x
