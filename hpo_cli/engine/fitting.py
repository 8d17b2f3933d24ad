"""`batch_size=auto`: the largest batch, a power of two, whose training step fits in memory."""

from __future__ import annotations

from collections.abc import Callable

import torch

from hpo_cli.components.data.arrays import Splits
from hpo_cli.components.data.memory import available_bytes
from hpo_cli.engine.assembly import build_system, check_components, load_splits
from hpo_cli.engine.backend import Backend
from hpo_cli.engine.batches import dtype_of, tensors
from hpo_cli.engine.preflight import check_model, horizon
from hpo_cli.engine.step import Stepper
from hpo_cli.errors import RunFailedError
from hpo_cli.plan import RunPlan

MOST = 1024
"""Larger batches need care of their own (experiment=large_batch), so they are never chosen for you."""

SHARE = 0.5
"""Of the memory that is free now, a step on the CPU may take this much: other processes want some too."""

_DEFAULT_MEMORY = 4 << 30  # where the system does not say what is free


def fitting_batch_size(plan: RunPlan) -> int:
    """The batch size for this plan on this machine: at most MOST and the training samples.

    On a GPU a whole step is tried with each power of two until memory runs out; on the CPU what a backward pass keeps
    is measured for small batches and reckoned up. Raises ConfigError for a model that does not go with the data, and
    RunFailedError when one sample is too many.
    """
    check_components(plan)
    splits = load_splits(plan.data, allow=plan.allow_targets)
    check_model(plan, build_system(plan, splits))
    most = min(MOST, len(splits.train.x))
    on_gpu = plan.trainer.accelerator in ("auto", "gpu") and torch.cuda.is_available()
    fits = _fits_gpu(plan, splits) if on_gpu else _fits_cpu(plan, splits)
    size = largest_fitting(fits, most=most // plan.trainer.devices) * plan.trainer.devices
    if not size:
        raise RunFailedError("batch_size=auto: not even one sample fits in memory; choose a smaller model")
    return size


def largest_fitting(fits: Callable[[int], bool], *, most: int) -> int:
    """The largest power of two up to `most` of which `fits` is true, when all smaller ones fit; 0 when 1 does not.

    1 is asked only when 2 does not fit: batch norm cannot train on one sample, which says nothing of memory.

    >>> largest_fitting(lambda size: size <= 100, most=1024)
    64
    """
    size = 2
    while size <= most and fits(size):
        size *= 2
    if size > 2:  # noqa: PLR2004 - the first that was asked
        return size // 2
    return int(most >= 1 and fits(1))


def _fits_gpu(plan: RunPlan, splits: Splits) -> Callable[[int], bool]:
    device = torch.device("cuda")

    def fits(size: int) -> bool:
        try:
            _one_step(plan, splits, size=size, device=device)
        except torch.OutOfMemoryError:
            return False
        except ValueError:  # what batch norm says of one sample
            if size > 1:
                raise
            return False
        finally:
            torch.cuda.empty_cache()
        return True

    return fits


def _fits_cpu(plan: RunPlan, splits: Splits) -> Callable[[int], bool]:
    """By a straight line through what batches of 2 and 4 keep for the backward pass, twice over for gradients."""
    few, more = (_kept_bytes(plan, splits, size=size) for size in (2, 4))
    a_sample = max(1.0, (more - few) / 2)
    budget = SHARE * (available_bytes() or _DEFAULT_MEMORY)
    return lambda size: few + 2 * a_sample * size <= budget


def _kept_bytes(plan: RunPlan, splits: Splits, *, size: int) -> int:
    """Bytes that a forward pass of `size` samples keeps for the backward pass, weights left out."""
    device = torch.device("cpu")
    stepper = _stepper(plan, splits, device=device)
    weights = {parameter.data_ptr() for parameter in stepper.system.model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = stepper.loss_of(*_batch(plan, splits, size=size, device=device))
    total = sum(kept.values())
    del loss  # not sooner: what is freed could be counted twice at the same address
    return total


def _one_step(plan: RunPlan, splits: Splits, *, size: int, device: torch.device) -> None:
    stepper = _stepper(plan, splits, device=device)
    until = horizon(stepper.system.settings, len(splits.train.x), max_steps=plan.trainer.max_steps)
    batch = _batch(plan, splits, size=size, device=device)
    stepper.update([batch], rates=stepper.rates(0, until), place=(0, 0), sizes=[size])


def _stepper(plan: RunPlan, splits: Splits, *, device: torch.device) -> Stepper:
    system = build_system(plan, splits)
    for module in (system.model, system.criterion, system.augment):
        if module is not None:
            module.to(device, dtype_of(plan))
    system.train()
    return Stepper(system, Backend(device=device), seed=plan.seed)


def _batch(plan: RunPlan, splits: Splits, *, size: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    few = type(splits.train)(splits.train.x[:size], splits.train.y[:size])
    return tensors(few, device=device, dtype=dtype_of(plan))
