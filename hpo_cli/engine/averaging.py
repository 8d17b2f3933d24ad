"""An exponential moving average of the weights (regularization.ema), and lending it to the model for a while."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn


class WeightAverage:
    """`average = d * average + (1 - d) * weights` after each update; running statistics are averaged likewise.

    d is the smaller of the decay asked for and (1 + n) / (10 + n) after n updates, so that a short run's average
    forgets its start. Source: Polyak & Juditsky 1992; the ramp is that of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._num_updates = 0
        self._average = {name: tensor.detach().clone() for name, tensor in _floats(model).items()}

    @property
    def tensors(self) -> list[torch.Tensor]:
        """The averages themselves."""
        return list(self._average.values())

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Take the model's weights of now into the average."""
        self._num_updates += 1
        ramped = min(decay, (1 + self._num_updates) / (10 + self._num_updates))
        now = _floats(self._model)
        torch._foreach_lerp_(self.tensors, list(now.values()), 1.0 - ramped)

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Inside, the model has the average's weights; afterwards its own again, to the bit."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, tensor in _floats(self._model).items():
            tensor.data, self._average[name].data = self._average[name].data, tensor.data

    def state(self) -> dict[str, object]:
        """What a checkpoint needs."""
        return {"num_updates": self._num_updates, "average": dict(self._average)}

    def restore(self, state: Mapping[str, object]) -> None:
        """Go on from a state that `state` gave."""
        self._num_updates = int(state["num_updates"])  # type: ignore[call-overload]
        for name, tensor in state["average"].items():  # type: ignore[attr-defined]
            self._average[name].copy_(tensor)


def _floats(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers that can be averaged, each once, by its first name; counters are not."""
    found: dict[int, tuple[str, torch.Tensor]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if tensor.is_floating_point():
            found.setdefault(id(tensor), (name, tensor))
    return dict(found.values())
