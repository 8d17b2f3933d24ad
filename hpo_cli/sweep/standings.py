"""The words for how trials stand: one word for one state, wherever it is told."""

from __future__ import annotations

from collections.abc import Mapping

from hpo_cli.sweep.fold import SweepState

ORDER = ("finished", "running", "waiting", "paused", "stopped", "failed")
_AT_WORK = ("running", "paused", "running?")


def standing_word(status: str, state: SweepState, *, standing: str = "running") -> str:
    """A trial's status as people read it. standing: the sweep's own, since nobody trains in one that died.

    A trial that was stopped at an epoch until it is promoted is `at its rung`; a member of a population just waits.
    """
    if status == "paused":
        return "waiting" if state.settings.scheduler == "pbt" else "at its rung"
    return "was running" if status == "running" and standing not in _AT_WORK else status


def counted_words(counts: Mapping[str, int], state: SweepState, *, standing: str = "running") -> list[str]:
    """`12 finished`, `2 running`, `3 at their rungs`: a part for each standing that any trial has."""
    merged: dict[str, int] = {}
    for status in ORDER:
        word = standing_word(status, state, standing=standing)
        merged[word] = merged.get(word, 0) + counts.get(status, 0)
    return [f"{number} {_plural(word, number)}" for word, number in merged.items() if number]


def _plural(word: str, number: int) -> str:
    many = {"at its rung": "at their rungs", "was running": "were running"}
    said = many.get(word, word) if number > 1 else word
    goes = "go" if number > 1 else "goes"
    return f"{said} ({goes} on when it is resumed)" if word == "was running" else said


def plural(number: int, what: str) -> str:
    """`1 trial`, `2 trials`.

    >>> plural(1, "epoch"), plural(3, "epoch")
    ('1 epoch', '3 epochs')
    """
    return f"{number} {what}{'' if number == 1 else 's'}"
