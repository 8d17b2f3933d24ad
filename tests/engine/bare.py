"""The oracle: a loop in plain torch. Of ours it takes the data, the order of the samples and the seeds alone."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from hpo_cli.engine.randomness import INIT, STEP, derive, epoch_order

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


@dataclass(frozen=True)
class Recipe:
    """What the bare loop does; each field is plain torch or arithmetic written in the test."""

    optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer]
    criterion: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = field(default_factory=nn.CrossEntropyLoss)
    model: Callable[[], nn.Module] = lambda: mlp(64, 16, 10)
    lr_at: Callable[[int], float] = lambda _: 1e-3
    penalty: Callable[[nn.Module], torch.Tensor | float] = lambda _: 0.0
    clip: Callable[[list[nn.Parameter]], Any] = lambda _: None
    forward_context: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext
    seed: int = 0
    epochs: int = 2
    batch_size: int = 32
    accumulate: int = 1
    max_steps: float = math.inf
    dtype: torch.dtype = torch.float32
    divide: bool = True
    order_seed: int | None = None


@dataclass
class Step:
    """One update: the epoch, the rate, each batch's loss and size, and how many samples were classified right."""

    epoch: int
    lr: float
    losses: list[float]
    sizes: list[int]
    correct: int

    @property
    def loss(self) -> float:
        """The mean loss a sample."""
        return mean_loss([self])


@dataclass
class Result:
    """What the bare loop saw, and its model."""

    steps: list[Step]
    model: nn.Module

    def first_bad_step(self) -> int:
        """The number, from 1, of the first step with a loss that is not finite."""
        return next(i for i, step in enumerate(self.steps, 1) if not all(map(math.isfinite, step.losses)))


def mlp(num_inputs: int, width: int, num_outputs: int, *, dropout: float = 0.0) -> nn.Module:
    """Two hidden layers with relu, as conf/model/mlp.yaml describes them."""
    noise = [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(
        nn.Flatten(),
        *(nn.Linear(num_inputs, width), nn.ReLU(), *noise),
        *(nn.Linear(width, width), nn.ReLU(), *noise),
        nn.Linear(width, num_outputs),
    )


def mean_loss(steps: list[Step]) -> float:
    """The mean loss a sample over these steps."""
    pairs = [(loss, size) for step in steps for loss, size in zip(step.losses, step.sizes, strict=True)]
    total = 0.0
    for loss, size in pairs:
        total += loss * size
    return total / sum(size for _, size in pairs)


def bare_loop(x: torch.Tensor, y: torch.Tensor, recipe: Recipe) -> Result:
    """Train as the recipe says."""
    torch.manual_seed(derive(recipe.seed, INIT))
    model = recipe.model().to(recipe.dtype)
    weights = list(model.parameters())
    optimizer = recipe.optimizer(weights)
    steps: list[Step] = []
    order_seed = recipe.seed if recipe.order_seed is None else recipe.order_seed
    for epoch in range(recipe.epochs):
        order = epoch_order(len(x), seed=order_seed, epoch=epoch)
        batches = [order[i : i + recipe.batch_size] for i in range(0, len(x), recipe.batch_size)]
        for first in range(0, len(batches), recipe.accumulate):
            if len(steps) >= recipe.max_steps:
                return Result(steps, model)
            group = batches[first : first + recipe.accumulate]
            lr = recipe.lr_at(len(steps))
            torch.manual_seed(derive(recipe.seed, STEP, epoch, first * recipe.batch_size, 0))
            losses, correct = _update(model, optimizer, [(x[rows], y[rows]) for rows in group], lr=lr, recipe=recipe)
            steps.append(Step(epoch, lr, losses, [len(rows) for rows in group], correct))
    return Result(steps, model)


def _update(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: list[tuple[torch.Tensor, torch.Tensor]],
    *,
    lr: float,
    recipe: Recipe,
) -> tuple[list[float], int]:
    losses, correct = [], 0
    optimizer.zero_grad()
    samples = sum(len(x) for x, _ in batches)
    for x, y in batches:
        with recipe.forward_context():
            outputs = model(x)
            loss = recipe.criterion(outputs, y)
        losses.append(loss.item())
        guessed = outputs.argmax(1) if outputs.shape[1] > 1 else (outputs[:, 0] > 0).long()
        correct += int((guessed == y).sum()) if not y.is_floating_point() else 0
        total = loss + recipe.penalty(model)
        (total * (len(x) / samples) if recipe.divide else total).backward()
    recipe.clip(list(model.parameters()))
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)
    optimizer.step()
    return losses, correct


def rows(steps: list[Step]) -> list[dict[str, float]]:
    """The rows that metrics.jsonl should have with a row a step: the step's loss, and the epoch's at its end."""
    found = []
    for i, step in enumerate(steps):
        ends = i + 1 == len(steps) or steps[i + 1].epoch != step.epoch
        of_epoch = [other for other in steps if other.epoch == step.epoch]
        loss = mean_loss(of_epoch) if ends else step.loss
        found.append({"step": i + 1, "epoch": step.epoch + 1, "train/loss": loss, "lr": step.lr})
        if ends:
            samples = sum(sum(other.sizes) for other in of_epoch)
            found[-1]["train/accuracy"] = sum(other.correct for other in of_epoch) / samples
    return found
