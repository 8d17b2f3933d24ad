"""The live training system: model, loss, optimizer, schedule and the settings that may change between two steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from hpo_cli.components.data.arrays import DataSpec
from hpo_cli.components.layers import last_linear
from hpo_cli.components.metrics import Measure
from hpo_cli.components.schedules import Schedule
from hpo_cli.engine.averaging import WeightAverage


@dataclass
class Settings:
    """Numbers that the loop reads at every step; the hot knobs that live in no other object.

    momentum: what the schedule's momentum factor multiplies; None when the schedule leaves momentum alone.
    """

    lr: float
    lr_decay: float | None
    batch_size: int
    epochs: int
    accumulate: int
    scale_lr: Literal["none", "linear", "sqrt"]
    base_size: int
    max_steps: int | None
    warmup_steps: int
    l1: float
    l2: float
    mixup: float
    cutmix: float
    ema: float | None
    clip_norm: float | None
    clip_value: float | None
    early_stopping: int | None
    momentum: float | None = None


@dataclass
class System:
    """Everything that a step touches."""

    model: nn.Module
    criterion: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    settings: Settings
    spec: DataSpec
    measure: Measure
    num_outputs: int
    augment: nn.Module | None = None
    frozen_norms: tuple[nn.Module, ...] = ()
    average: WeightAverage | None = None
    carriers: Mapping[str, Any] = field(default_factory=dict)
    """Modules whose hidden state goes on from one batch to the next."""
    started_from: str = ""
    """Which weights training starts from, in words; empty for fresh ones."""
    schedule_keys: Mapping[str, Any] = field(default_factory=dict)
    """What `schedule` was built from: its option, its `_target_` and its keys."""
    allow_targets: tuple[str, ...] = ()
    """Module prefixes that a new schedule's `_target_` may have beside our own."""
    expressible: frozenset[str] = frozenset()
    """The hot keys that the run's config has."""
    _features: list[torch.Tensor] = field(default_factory=list)

    def zeros(self, num_samples: int) -> torch.Tensor:
        """Samples of zeros (or of the first token) in the shape that the model takes, where the model is."""
        weight = next(self.model.parameters())
        dtype = torch.int64 if self.spec.num_tokens is not None else weight.dtype
        return torch.zeros(num_samples, *self.spec.input_shape, dtype=dtype, device=weight.device)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The criterion's mean loss of a batch, a scalar. Call it after the forward pass that gave `outputs`."""
        loss: torch.Tensor = self.criterion(outputs, targets, *self._features)
        return loss

    def keep_features(self) -> None:
        """Note the inputs of the last linear layer at each forward pass, for a criterion that looks at them."""
        layer = last_linear(self.model)
        if layer is not None:
            layer.register_forward_pre_hook(lambda _, inputs: self._features.__setitem__(slice(None), [inputs[0]]))

    def train(self) -> None:
        """Get ready for training steps."""
        self.model.train()
        self.criterion.train()
        for norm in self.frozen_norms:
            norm.eval()
        _call(self.optimizer, "train")

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Inside, the model is as it is judged: evaluation mode, averaged weights. Not to be nested."""
        was_training = self.model.training
        carried = {name: module.carried() for name, module in self.carriers.items()}
        self.model.eval()
        self.criterion.eval()
        if was_training:
            _call(self.optimizer, "eval")
        try:
            with self.average.lent() if self.average is not None else nullcontext():
                yield
        finally:
            if was_training:
                self.train()
            for name, module in self.carriers.items():
                module.carry(carried[name])

    @contextmanager
    def looked_at(self) -> Iterator[None]:
        """Inside, the model can be called for the shapes of what it gives; afterwards it is as it was before."""
        modes = {module: module.training for module in self.model.modules()}
        carried = {name: module.carried() for name, module in self.carriers.items()}
        self.model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            for module, training in modes.items():
                module.training = training
            for name, module in self.carriers.items():
                module.carry(carried[name])

    def judged_weights(self) -> dict[str, torch.Tensor] | None:
        """The weights that the optimizer evaluates where they are not those that it trains; None where they are."""
        if not hasattr(self.optimizer, "eval"):
            return None
        _call(self.optimizer, "eval")
        weights = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        _call(self.optimizer, "train")
        return weights

    def reset_carried(self) -> None:
        """Forget hidden state, as at the start of a text."""
        for module in self.carriers.values():
            module.carry({})


def _call(optimizer: torch.optim.Optimizer, mode: str) -> None:
    """Schedule-free optimizers hold other weights for training than for evaluation."""
    switch = getattr(optimizer, mode, None)
    if switch is not None:
        switch()
