"""One batch, forward and backward, of a plan: what `hpo-run check` shows. Saves nothing and needs no Lightning."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from hpo_cli.engine.assembly import build_system, check_components, load_splits
from hpo_cli.engine.backend import Backend
from hpo_cli.engine.batches import DeviceBatches, Shard, dtype_of, order_of, tensors
from hpo_cli.engine.preflight import check_fit, horizon
from hpo_cli.engine.progress import Horizon
from hpo_cli.engine.step import Stepper
from hpo_cli.engine.system import System
from hpo_cli.errors import RunFailedError
from hpo_cli.plan import RunPlan

CURVE_POINTS = 120


@dataclass(frozen=True)
class Layer:
    """One leaf of the network. output_shape: of a single sample."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class Trial:
    """What one batch showed. frozen: parameters that do not train.   lr_values: the rate at each of lr_steps."""

    layers: tuple[Layer, ...]
    parameters: int
    frozen: int
    started_from: str
    batch_size: int
    loss: float
    gradient_norm: float
    step_seconds: float
    epochs: int
    total_steps: int
    lr_steps: tuple[int, ...]
    lr_values: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return asdict(self)


def try_plan(plan: RunPlan) -> Trial:
    """Load the data, build everything, and take one step that nothing keeps. Raises ConfigError, RunFailedError."""
    torch.set_num_threads(plan.trainer.threads or 1)
    check_components(plan)
    splits = load_splits(plan.data, allow=plan.allow_targets)
    system = build_system(plan, splits)
    check_fit(plan, system, splits)
    layers = describe(system)
    dtype = dtype_of(plan)
    system.model.to(dtype)
    pair = tensors(splits.train, device=torch.device("cpu"), dtype=dtype)
    source = DeviceBatches(pair, order=order_of(plan, carries=bool(system.carriers)), shard=Shard())
    until = horizon(system.settings, source.num_samples, max_steps=plan.trainer.max_steps)
    stepper = Stepper(system, Backend(), seed=plan.seed)
    x, y = next(source.batches(0, start=0, batch_size=plan.batch_size))
    system.train()
    norm = _gradient_norm(stepper, x, y)
    seconds = _time_step(stepper, x, y, until)
    steps = tuple(dict.fromkeys(round(i * (until.total_steps - 1) / CURVE_POINTS) for i in range(CURVE_POINTS + 1)))
    return Trial(
        layers=layers,
        parameters=sum(parameter.numel() for parameter in system.model.parameters()),
        frozen=sum(parameter.numel() for parameter in system.model.parameters() if not parameter.requires_grad),
        started_from=system.started_from,
        batch_size=len(x),
        loss=_finite(stepper.losses[0].item()),
        gradient_norm=norm,
        step_seconds=seconds,
        epochs=plan.epochs,
        total_steps=until.total_steps,
        lr_steps=steps,
        lr_values=tuple(stepper.rates(step, until).lr for step in steps),
    )


def describe(system: System) -> tuple[Layer, ...]:
    """The leaf layers in the order in which a sample passes them."""
    found: list[Layer] = []
    names = {module: name for name, module in system.model.named_modules() if not list(module.children())}

    def note(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: Any) -> None:  # noqa: ARG001
        parameters = sum(parameter.numel() for parameter in module.parameters())
        given = output[0] if isinstance(output, tuple) else output
        found.append(Layer(names[module], type(module).__name__, tuple(given.shape[1:]), parameters))

    handles = [module.register_forward_hook(note) for module in names]
    system.model.eval()
    with torch.no_grad():
        system.model(system.zeros(2))
    for handle in handles:
        handle.remove()
    return tuple(found)


def _gradient_norm(stepper: Stepper, x: torch.Tensor, y: torch.Tensor) -> float:
    loss = stepper.loss_of(x, y)
    loss.backward()
    gradients = [p.grad for p in stepper.system.model.parameters() if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(gradient) for gradient in gradients]))
    stepper.system.optimizer.zero_grad()
    return float(norm)


def _time_step(stepper: Stepper, x: torch.Tensor, y: torch.Tensor, until: Horizon) -> float:
    """Seconds of the second step; the first one also sets things up."""
    rates = stepper.rates(0, until)
    for _ in range(2):
        began = time.perf_counter()
        stepper.update([(x, y)], rates=rates, place=(0, 0), sizes=[len(x)])
    return time.perf_counter() - began


def _finite(loss: float) -> float:
    if not math.isfinite(loss):
        raise RunFailedError(f"the loss of the first batch is {loss}: check the data's range and the initialisation")
    return loss
