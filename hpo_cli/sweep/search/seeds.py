"""Random numbers of a proposal: a function of the sweep's seed and the trial's number, not of history."""

from __future__ import annotations

import hashlib
import random


def seed_of(*parts: int | str) -> int:
    """A seed of 31 bits made of all parts in their order; neighbouring numbers give unrelated seeds.

    >>> seed_of(0, 7) == seed_of(0, 7) != seed_of(7, 0)
    True
    """
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1


def rng_of(*parts: int | str) -> random.Random:
    """A generator seeded by `seed_of` the parts."""
    return random.Random(seed_of(*parts))
