"""What a scheduler asks for when a slot is free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class New:
    """A trial that the search is to propose. until: the epoch at which it stops and waits; None: its last one.

    notes: of the scheduler, kept with the trial, such as its bracket.
    """

    until: int | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class GoOn:
    """A waiting trial trains on, to epoch `until` (None: to its end). why: for people."""

    trial: int
    until: int | None = None
    why: str = ""


@dataclass(frozen=True)
class Exploit:
    """A waiting trial takes over the state of trial `source`, with `changes` of hot knobs, and trains on.

    changes: key -> new value.   otherwise: the epoch to train to where the source has no state to give.
    """

    trial: int
    source: int
    changes: Mapping[str, Any]
    until: int | None = None
    otherwise: int | None = None
    why: str = ""


Order = New | GoOn | Exploit
