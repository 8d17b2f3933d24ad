"""One rung of successive halving: the trials that reached it, best first, and which of them wait there."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from heapq import heappop, heappush

Entry = tuple[float, int]
"""(cost, trial): of equal costs the earlier trial comes first."""


class Rung:
    """Adding a trial and finding the best one that waits take O(log n)."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._waiting: list[Entry] = []
        self._gone: set[int] = set()
        self.num_waiting = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, trial: int, *, cost: float) -> None:
        """A trial has reached the rung, and waits."""
        self.num_waiting += 1
        insort(self._entries, (cost, trial))
        heappush(self._waiting, (cost, trial))

    def leave(self, trial: int) -> None:
        """A trial waits no longer: it was promoted, or is over. It keeps its place among those that were here."""
        self.num_waiting -= trial not in self._gone
        self._gone.add(trial)

    def best_waiting(self) -> Entry | None:
        """The best trial that waits, None where none with a value does."""
        while self._waiting and self._waiting[0][1] in self._gone:
            heappop(self._waiting)
        return self._waiting[0] if self._waiting and self._waiting[0][0] < math.inf else None

    def rank(self, entry: Entry) -> int:
        """How many of those that reached the rung are better."""
        return bisect_left(self._entries, entry)

    def waits(self, trial: int) -> bool:
        """Whether a trial that reached the rung is still there."""
        return trial not in self._gone

    def best(self, count: int) -> Sequence[Entry]:
        """The best `count` of all that reached the rung, whether they wait or not."""
        return self._entries[:count]
