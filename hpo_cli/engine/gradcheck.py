"""Does autograd tell the truth? Gradients of the whole model and loss against central differences, in float64.

(f(x + h) - f(x - h)) / 2h differs from the derivative by h^2 f''' / 6 and by the rounding of f over h; h is the cube
root of float64's precision, where the two are about equal (Press et al., Numerical Recipes, section 5.7).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import nn

from hpo_cli.engine.assembly import build_system, check_components, load_splits
from hpo_cli.engine.backend import Backend
from hpo_cli.engine.batches import DeviceBatches, Pair, Shard, order_of, tensors
from hpo_cli.engine.preflight import check_fit
from hpo_cli.engine.randomness import STEP, derive, seed_everywhere
from hpo_cli.engine.step import Stepper
from hpo_cli.engine.system import System
from hpo_cli.errors import ConfigError, RunFailedError
from hpo_cli.plan import RunPlan

EPSILON = torch.finfo(torch.float64).eps
STEP_SIZE = EPSILON ** (1 / 3)
TOLERANCE = 1e-4
"""Largest relative error of a good gradient."""

NOISE = 8.0
"""The rounding error of the loss, in units of its last place."""

Verdict = Literal["ok", "kink", "bad"]


@dataclass(frozen=True)
class Compared:
    """A slope along one direction. error: |autograd - numeric| / the larger of the two.

    kink: the slope from the left is another than that from the right, as at relu's zero, so that neither is wrong.
    """

    autograd: float
    numeric: float
    error: float
    verdict: Verdict


@dataclass(frozen=True)
class TensorCheck:
    """One parameter tensor. error: the largest of its slopes that are not at a kink; norm: of its gradient.

    compared: slopes that were compared, entries and one direction; kinks: how many of them lie at a kink.
    """

    name: str
    shape: tuple[int, ...]
    norm: float
    error: float
    compared: int
    kinks: int
    verdict: Verdict


@dataclass(frozen=True)
class GradientCheck:
    """All tensors. left_out: what training does and this check does not."""

    loss: float
    samples: int
    tensors: tuple[TensorCheck, ...]
    left_out: tuple[str, ...]

    @property
    def bad(self) -> tuple[TensorCheck, ...]:
        """The tensors whose gradient is wrong."""
        return tuple(tensor for tensor in self.tensors if tensor.verdict == "bad")

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return {"good": not self.bad, "tolerance": TOLERANCE, **asdict(self)}


def check_gradients(plan: RunPlan, *, samples: int, entries: int) -> GradientCheck:
    """Compare every parameter's gradient on the first `samples` of training. entries: single ones a tensor.

    Raises ConfigError, RunFailedError.
    """
    torch.set_num_threads(plan.trainer.threads or 1)
    check_components(plan)
    splits = load_splits(plan.data, allow=plan.allow_targets)
    system = build_system(plan, splits)
    check_fit(plan, system, splits)
    left_out = tuple(_left_out(plan, system))
    system.augment = None
    for module in (system.model, system.criterion):
        module.double()
    pair = tensors(splits.train, device=torch.device("cpu"), dtype=torch.float64)
    source = DeviceBatches(pair, order=order_of(plan, carries=bool(system.carriers)), shard=Shard())
    if samples > source.num_samples:
        rule = f"must not exceed the {source.num_samples} training samples"
        raise ConfigError("--samples", samples, rule=rule, fix="lower it")
    batch = next(source.batches(0, start=0, batch_size=samples))
    loss = _Loss(system, batch, seed=plan.seed)
    generator = torch.Generator().manual_seed(derive(plan.seed, STEP, 1) >> 1)
    value, found = loss.value(), tuple(_checks(system, loss, entries, generator))
    return GradientCheck(value, samples, found, left_out)


def _left_out(plan: RunPlan, system: System) -> Iterator[str]:
    if system.augment is not None:
        yield f"augment={plan.augment.option}"
    for name in ("mixup", "cutmix"):
        if value := getattr(system.settings, name):
            yield f"regularization.{name}={value:g}"
    if plan.finetune.freeze:
        yield "frozen layers"


class _Loss:
    """The training loss of one batch as a function of the parameters: equal parameters, equal loss."""

    def __init__(self, system: System, batch: Pair, *, seed: int) -> None:
        self._system, self._batch = system, batch
        self._stepper = Stepper(system, Backend(), seed=seed)
        self._seed = derive(seed, STEP, 0, 0, 0)
        system.train()
        self._buffers = [
            (buffer, buffer.clone()) for module in (system.model, system.criterion) for buffer in module.buffers()
        ]

    def __call__(self) -> torch.Tensor:
        """The loss with dropout's draws, running statistics and hidden state as at the first call."""
        seed_everywhere(self._seed)
        self._system.reset_carried()
        with torch.no_grad():
            for buffer, start in self._buffers:
                buffer.copy_(start)
        return self._stepper.loss_of(*self._batch)

    def value(self) -> float:
        """The loss without a graph. Raises RunFailedError when it is not finite."""
        with torch.no_grad():
            found = self().item()
        if found - found != 0:
            raise RunFailedError(f"the loss is {found}: check the data's range and the initialisation")
        return found


def _checks(system: System, loss: _Loss, entries: int, generator: torch.Generator) -> Iterator[TensorCheck]:
    named = dict(_trainable(system))
    gradients = torch.autograd.grad(loss(), list(named.values()), allow_unused=True)
    for (name, parameter), gradient in zip(named.items(), gradients, strict=True):
        known = torch.zeros_like(parameter) if gradient is None else gradient
        yield _check(name, parameter, known, loss, list(_directions(parameter, entries, generator)))


def _trainable(system: System) -> Iterator[tuple[str, nn.Parameter]]:
    for prefix, module in (("", system.model), ("loss.", system.criterion)):
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                yield prefix + name, parameter


def _directions(parameter: nn.Parameter, entries: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """One-hot tensors at random entries, then a random direction through all of them, of length 1."""
    size = parameter.numel()
    for entry in torch.randperm(size, generator=generator)[:entries].tolist():
        direction = torch.zeros(size, dtype=parameter.dtype)
        direction[entry] = 1.0
        yield direction.reshape(parameter.shape)
    whole = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    yield whole / whole.norm()


def _check(
    name: str, parameter: nn.Parameter, gradient: torch.Tensor, loss: _Loss, directions: list[torch.Tensor]
) -> TensorCheck:
    found = [compare((gradient * v).sum().item(), _along(parameter, v, loss)) for v in directions]
    kinks = sum(one.verdict == "kink" for one in found)
    verdicts: list[Verdict] = [one.verdict for one in found]
    verdict: Verdict = "bad" if "bad" in verdicts else "kink" if kinks == len(found) else "ok"
    error = max((one.error for one in found if one.verdict != "kink"), default=float("nan"))
    return TensorCheck(name, tuple(parameter.shape), gradient.norm().item(), error, len(found), kinks, verdict)


def _along(parameter: nn.Parameter, direction: torch.Tensor, loss: _Loss) -> Callable[[float], float]:
    """The loss as a function of how far the parameter moves along `direction`."""
    start = parameter.detach().clone()

    def moved(distance: float) -> float:
        with torch.no_grad():
            parameter.copy_(start + distance * direction)
            value = loss.value()
            parameter.copy_(start)
        return value

    return moved


def compare(autograd: float, function: Callable[[float], float]) -> Compared:
    """The slope that autograd found at 0 beside that of central differences.

    Where they differ, a step a tenth as long decides: a smooth function's difference stays the same, and its slopes to
    the left and to the right come ten times as near to each other. At a kink, one of the two is not so.
    """
    middle = function(0.0)
    wide = _Slopes.of(function, middle, STEP_SIZE)
    error = wide.error(autograd)
    if error <= TOLERANCE:
        return Compared(autograd, wide.central, error, "ok")
    narrow = _Slopes.of(function, middle, STEP_SIZE / 10)
    if narrow.error(autograd) <= TOLERANCE:
        return Compared(autograd, narrow.central, narrow.error(autograd), "ok")
    is_kink = narrow.error(wide.central) > TOLERANCE or narrow.gap > max(0.5 * wide.gap, narrow.noise)
    return Compared(autograd, wide.central, error, "kink" if is_kink else "bad")


@dataclass(frozen=True)
class _Slopes:
    """central: of the differences over [-h, h].   gap: between those over [-h, 0] and [0, h].   noise: rounding's."""

    central: float
    gap: float
    noise: float

    @classmethod
    def of(cls, function: Callable[[float], float], middle: float, h: float) -> _Slopes:
        above, below = function(h), function(-h)
        noise = NOISE * EPSILON * max(1.0, abs(middle)) / h
        return cls((above - below) / (2 * h), abs((above - middle) - (middle - below)) / h, noise)

    def error(self, slope: float) -> float:
        """Relative to the larger of the two, or to the least that rounding lets be told from nothing."""
        return abs(slope - self.central) / max(abs(slope), abs(self.central), self.noise / TOLERANCE)
