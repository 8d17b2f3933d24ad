"""Halton's sequence, scrambled: points that fill a cube more evenly than random ones, each a function of its index."""

from __future__ import annotations

import math
from functools import lru_cache

from hpo_cli.sweep.search.seeds import rng_of

_BITS = 36
"""Digits beyond so many bits are not told apart."""


def halton(index: int, dim: int, *, seed: int | None = None) -> float:
    """Coordinate `dim` (from 0) of point `index` (from 0), in [0, 1).

    The digits of the index in base p, the prime of that number, mirrored at the point; every digit goes through a
    random permutation of its own, which takes away the stripes of large primes. seed: None leaves the digits alone.
    Source: Halton 1960; Owen 2017, A randomized Halton algorithm in R.
    >>> [halton(index, 0) for index in range(4)], round(halton(1, 1), 3)
    ([0.0, 0.5, 0.25, 0.75], 0.333)
    """
    base = primes(dim + 1)[dim]
    value, weight = 0.0, 1.0 / base
    for place in range(math.ceil(_BITS / math.log2(base))):
        index, digit = divmod(index, base)
        value += weight * (digit if seed is None else _permutation(base, place, seed)[digit])
        weight /= base
    return min(value, 1.0 - 2.0**-53)


@lru_cache(maxsize=1 << 14)
def _permutation(base: int, place: int, seed: int) -> tuple[int, ...]:
    digits = list(range(base))
    rng_of(seed, base, place).shuffle(digits)
    return tuple(digits)


@lru_cache(maxsize=64)
def primes(count: int) -> tuple[int, ...]:
    """The first primes.

    >>> primes(5)
    (2, 3, 5, 7, 11)
    """
    found: list[int] = []
    number = 2
    while len(found) < count:
        if all(number % prime for prime in found):
            found.append(number)
        number += 1
    return tuple(found)
