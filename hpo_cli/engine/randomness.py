"""Randomness as a function of (seed, epoch, place in the epoch), never of history: a resumed run draws the same."""

from __future__ import annotations

import torch

_MASK = (1 << 64) - 1

INIT, ORDER, STEP = 1, 2, 3
"""Separate streams of one seed: initial weights, order of the samples, noise inside a step (dropout, augmentation)."""


def derive(seed: int, *parts: int) -> int:
    """A 64-bit seed for (seed, *parts); any change gives an unrelated one. Mixing: splitmix64 (Steele 2014)."""
    state = seed & _MASK
    for part in parts:
        state = (state + 0x9E3779B97F4A7C15 * (part + 1)) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


def epoch_order(num_samples: int, *, seed: int, epoch: int) -> torch.Tensor:
    """The order in which an epoch visits the samples: int64 indices on the CPU, the same for equal arguments."""
    generator = torch.Generator().manual_seed(derive(seed, ORDER, epoch) >> 1)
    return torch.randperm(num_samples, generator=generator)


def seed_everywhere(value: int) -> None:
    """Set torch's generators of the CPU and, where there is one, of the GPU."""
    torch.default_generator.manual_seed(value)
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(value)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(value)
