"""Runs with saved weights that were drawn, not trained: quick to make, and never right by accident."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from hpo_cli.engine import checkpoints
from hpo_cli.engine.assembly import build_system
from hpo_cli.engine.saved import Saved, load_saved
from tests.engine.plans import folder_for, plan, splits_of

if TYPE_CHECKING:
    from pathlib import Path

    from hpo_cli.plan import RunPlan


def folder_with(plan: RunPlan, *, seeds: tuple[int, ...] = (0,)) -> Path:
    """A run's folder with one best checkpoint a seed: weights as initialised, with noise on all of them."""
    folder = folder_for(plan)
    for step, seed in enumerate(seeds, start=1):
        system = build_system(plan, splits_of(plan))
        generator = torch.Generator().manual_seed(seed)
        weights = {
            name: tensor + 0.5 * (torch.rand(tensor.shape, generator=generator) - 0.5)
            if tensor.is_floating_point()
            else tensor
            for name, tensor in system.model.state_dict().items()
        }
        checkpoints.save(folder / "checkpoints" / checkpoints.best_name(step), {"model": weights, "step": step})
    return folder


def saved_run(*words: str, outputs: Path, seed: int = 0) -> Saved:
    """A run of these words, live."""
    made = plan(*words, outputs=outputs)
    return load_saved(folder_with(made, seeds=(seed,)), made, splits=splits_of(made))
