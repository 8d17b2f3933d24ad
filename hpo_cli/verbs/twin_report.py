"""What a pair of twins shows: validation by validation, and a verdict that claims no more than one seed can tell."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hpo_cli.console import styles
from hpo_cli.console.figures import figure
from hpo_cli.console.output import Line, Span, line
from hpo_cli.console.tables import Column, table
from hpo_cli.plan import Objective, direction
from hpo_cli.record.metrics import number

Winner = Literal["with", "without", ""]


@dataclass(frozen=True)
class Pair:
    """One validation of both. better: whether the nudge did better by the objective; None for equal or unknown."""

    epoch: int
    step: int
    without: float | None
    with_it: float | None
    mode: str

    @property
    def difference(self) -> float | None:
        """With the nudge less without."""
        return None if self.without is None or self.with_it is None else self.with_it - self.without

    @property
    def better(self) -> bool | None:
        """Whether the nudge did better; None for equal or unknown."""
        return None if not self.difference else (self.difference > 0) == (self.mode == "max")


@dataclass(frozen=True)
class Comparison:
    """Two children of one state. words: the nudge; settings: what it set; rows: the validations of each.

    failed: why those that failed did; num_val: validation samples.
    """

    parent: Path
    step: int
    words: tuple[str, ...]
    settings: Mapping[str, Any]
    folders: Mapping[str, Path]
    rows: Mapping[str, Sequence[Mapping[str, Any]]]
    failed: Mapping[str, str]
    objective: Objective
    num_val: int | None = None

    def pairs(self, name: str | None = None) -> list[Pair]:
        """The validations that both had, by a metric; default the objective."""
        name = name or self.objective.name
        mode = self.objective.mode if name == self.objective.name else direction(name)
        there = {row["step"]: row for row in self.rows["with"]}
        both = [(row, there[row["step"]]) for row in self.rows["without"] if row["step"] in there]
        return [
            Pair(row["epoch"], row["step"], number(row.get(name)), number(other.get(name)), mode) for row, other in both
        ]

    @property
    def winner(self) -> Winner:
        """Who was better at the last validation; a twin that failed has lost."""
        if self.failed:
            return "" if len(self.failed) > 1 else "without" if "with" in self.failed else "with"
        pairs = self.pairs()
        better = pairs[-1].better if pairs else None
        return "" if better is None else "with" if better else "without"

    def to_json(self) -> dict[str, Any]:
        """All of it in types that JSON knows."""
        names = [name for row in self.rows["without"][:1] for name in row if name.startswith("val/")]
        return {
            "parent": {"id": self.parent.name, "path": str(self.parent), "step": self.step},
            "nudge": list(self.words),
            "settings": dict(self.settings),
            "runs": {which: {"id": place.name, "path": str(place)} for which, place in self.folders.items()},
            "objective": vars(self.objective),
            "validations": [self._validation(name) for name in names],
            "failed": dict(self.failed),
            "winner": self.winner,
            "verdict": verdict(self),
        }

    def _validation(self, name: str) -> dict[str, Any]:
        values = [
            {"epoch": p.epoch, "step": p.step, "without": p.without, "with": p.with_it, "difference": p.difference}
            for p in self.pairs(name)
        ]
        return {"metric": name, "values": values}


def report(found: Comparison, *, kept: str = "") -> Iterator[Line]:
    """The page: a row a validation, the verdict, what to type next."""
    nudge = " ".join(found.words)
    yield line()
    yield line(
        Span("twins ", styles.QUIET), f"of {found.parent.name} from step {found.step}, by {found.objective.name}"
    )
    heads = [Column("epoch", "right"), *(Column(head, "right") for head in ("without", f"with {nudge}", "difference"))]
    rows = [
        [Span(str(pair.epoch)), Span(figure(pair.without)), Span(figure(pair.with_it)), _change(pair)]
        for pair in found.pairs()
    ]
    if rows:
        yield from table(heads, rows)
    yield line(Span("so    ", styles.QUIET), Span(verdict(found), styles.TITLE))
    if kept:
        yield line(Span("kept  ", styles.QUIET), kept)
    ids = " ".join(place.name for place in found.folders.values())
    yield line(Span("next  ", styles.QUIET), f"hpo-run curves {found.parent.name} {ids}")


def _change(pair: Pair) -> Span:
    if pair.difference is None:
        return Span(figure(None), styles.QUIET)
    sign = "+" if pair.difference > 0 else ""
    style = "" if pair.better is None else styles.GOOD if pair.better else styles.BAD
    return Span(f"{sign}{figure(pair.difference)}", style)


def verdict(found: Comparison) -> str:
    """Whether the nudge helped, in words."""
    nudge = " ".join(found.words)
    if found.failed:
        return "; ".join(f"{which} {nudge} it failed: {reason}" for which, reason in found.failed.items())
    pairs = found.pairs()
    last = pairs[-1] if pairs else None
    if last is None or last.difference is None:
        return "there is no validation that both have, so nothing can be said"
    if last.better is None:
        return f"{nudge} made no difference to {found.objective.name} at the last validation"
    num_better = sum(pair.better is last.better for pair in pairs)
    did = "helped" if last.better else "hurt"
    noise = _noise(last, found)
    often = f"at {num_better} of {len(pairs)} validations" if len(pairs) > 1 else "at the only validation"
    size = figure(abs(last.difference))
    value = f"{found.objective.name} {_better(last)} by {size}, {often}"
    if noise.is_within:
        return f"too close to call: with {nudge} {value} ({noise.text})"
    return f"{nudge} {did}: {value} ({noise.text})"


def _better(pair: Pair) -> str:
    return "better" if pair.better else "worse"


@dataclass(frozen=True)
class _Noise:
    """What a single pair cannot tell. is_within: the difference is no larger than the error of counting samples."""

    text: str
    is_within: bool = False


def _noise(last: Pair, found: Comparison) -> _Noise:
    alone = "one pair of one seed; another seed may say otherwise"
    if not (found.objective.name.endswith("accuracy") and found.num_val and last.without is not None):
        return _Noise(alone)
    difference, value = abs(last.difference or 0.0), min(1.0, max(0.0, last.without))
    error = 2 * math.sqrt(value * (1 - value) / found.num_val)
    counted = f"{round(difference * found.num_val)} of {found.num_val} validation samples"
    if difference < error:
        return _Noise(f"{counted}, where counting so few errs by ±{figure(error, digits=2)}; {alone}", is_within=True)
    return _Noise(f"{counted}; {alone}")
