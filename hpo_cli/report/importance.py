"""Which hyperparameters decided how good a trial was, beside the order in which they usually matter."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from hpo_cli.report.dimensions import condition_of, drawn_dimensions, value_of
from hpo_cli.report.expected import tier_of
from hpo_cli.report.fair import Fair, fair_values
from hpo_cli.report.ped_anova import Table, by_ped_anova

if TYPE_CHECKING:
    from hpo_cli.sweep.fold import SweepState
    from hpo_cli.sweep.space import Dimension

Method = Literal["PED-ANOVA", "rank correlation", "one at a time", "none"]
ENOUGH = 20  # trials for PED-ANOVA
_FEWEST = 6  # trials for a rank correlation
_NEGLIGIBLE = 0.05


@dataclass(frozen=True)
class Importance:
    """One dimension.

    share: of all importance, 0 .. 1, or None where it could not be measured; all shares add up to 1, or to 0.
    trials: in which it was active.   tier: where the catalogue's order has it, 1 first; None where it does not name it.
    condition: when it is active; empty for always.
    """

    name: str
    share: float | None
    trials: int
    tier: int | None
    condition: str = ""

    @property
    def when(self) -> str:
        """Its condition and trials in words, empty for always; a name such as `adam: lr` says the condition itself."""
        if not self.condition:
            return ""
        told = "" if ": " in self.name else f"if {self.condition}: "
        return f"{told}{self.trials} trials"


@dataclass(frozen=True)
class Importances:
    """All dimensions, the most important first. cautions: lines about what the figures are worth."""

    method: Method
    rows: tuple[Importance, ...]
    cautions: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """All fields in types that JSON knows."""
        return {"method": self.method, "rows": [vars(row) for row in self.rows], "cautions": list(self.cautions)}


def importances(state: SweepState) -> Importances:
    """The importance of every dimension for the first aim: by PED-ANOVA from 20 trials on, else by ranks.

    A sensitivity sweep, which changes one dimension at a time, has each one's spread of values instead.

    Trials are compared at one epoch (`fair_values`). A dimension that is not always active counts in the trials in
    which it is: PED-ANOVA weighs it by how many of all and of the best trials those are.
    Source: Watanabe, Bansal and Hutter 2023 (PED-ANOVA), with conditions as Optuna 5 does them.
    """
    fair = fair_values(state.trials)
    space = drawn_dimensions(state)  # what was tried before an edit counts too
    table = {number: _point(space, state.trial(number).setting) for number in fair.values}
    method: Method = "one at a time" if state.settings.search == "sensitivity" else _method(len(fair.values))
    costs = {n: (-v if state.aims[0].mode == "max" else v) for n, v in fair.values.items()}
    raw = _MEASURES[method](table, costs, space)
    total = sum(raw.values())
    rows = [
        Importance(
            name=one.name,
            share=raw[one.name] / (total or 1.0) if one.name in raw else None,
            trials=sum(one.name in point for point in table.values()),
            tier=tier_of(one.keys),
            condition=condition_of(one),
        )
        for one in space
    ]
    rows.sort(key=lambda row: -1.0 if row.share is None else row.share, reverse=True)
    return Importances(method, tuple(rows), tuple(_cautions(method, fair, rows, epochs=state.epochs)))


def _method(num_trials: int) -> Method:
    if num_trials < _FEWEST:
        return "none"
    return "PED-ANOVA" if num_trials >= ENOUGH and find_spec("optuna") else "rank correlation"


def _point(space: Sequence[Dimension], setting: Mapping[str, Any]) -> dict[str, Any]:
    found = {one.name: value_of(one, setting) for one in space if all(k in setting for k in one.keys)}
    inactive = {one.name for one in space if one.when and found.get(one.name) is None}
    return {name: value for name, value in found.items() if name not in inactive}


def _cautions(method: Method, fair: Fair, rows: Sequence[Importance], *, epochs: int) -> Iterator[str]:
    num = len(fair.values)
    if method == "none":
        yield f"importance needs {_FEWEST} trials with a value, and there are {num}"
        return
    if method == "one at a time":
        yield "the spread of values along each knob, the others as the base point has them; not how they act together"
    elif method == "rank correlation":
        yield f"by rank correlations over {num} trials: only trends that go one way show (PED-ANOVA from {ENOUGH} on)"
    else:
        yield f"by PED-ANOVA over {num} trials: how far the best ones differ from all, less what chance would give"
    if num < fair.total or (fair.epoch or 0) < epochs:
        yield f"compared at epoch {fair.epoch} of {epochs}, which {num} of {fair.total} trials reached"
    if all(not row.share for row in rows):
        yield "nothing that was varied shows any influence"
    yield "importance holds for the ranges that were searched: a knob whose range is narrow looks unimportant"
    yield from _surprises(rows)


def _surprises(rows: Sequence[Importance]) -> Iterator[str]:
    first = rows[0] if rows and rows[0].share is not None else None
    expected = [row for row in rows if row.tier == 1 and row.share is not None]
    if first is None or not expected or first.tier in (None, 1):
        return
    if all((row.share or 0) < _NEGLIGIBLE for row in expected):
        names = ", ".join(row.name for row in expected)
        yield f"{names} is expected first and hardly mattered here: its range may be narrow, or off to one side"


def _by_spread(table: Table, costs: Mapping[int, float], space: Sequence[Dimension]) -> dict[str, float]:
    """How far the values reach when one dimension alone leaves the base point, which is the first trial."""
    base = table.get(1)
    if base is None:
        return {}
    found: dict[str, float] = {}
    for one in space:
        along = [costs[n] for n, point in table.items() if _is_along(point, base, one.name)]
        if one.name in base and len(along) > 1:
            found[one.name] = max(along) - min(along)
    return found


def _is_along(point: Mapping[str, Any], base: Mapping[str, Any], name: str) -> bool:
    return {**point, name: None} == {**base, name: None}


def _by_ranks(table: Table, costs: Mapping[int, float], space: Sequence[Dimension]) -> dict[str, float]:
    """The squared rank correlation of numbers; of names, the share of the ranks' variance between them, corrected."""
    found = {}
    for one in space:
        pairs = [(point[one.name], costs[number]) for number, point in table.items() if one.name in point]
        if len(pairs) >= _FEWEST and len({repr(value) for value, _ in pairs}) > 1:
            share = len(pairs) / len(table)
            ranks = ranked([cost for _, cost in pairs])
            values = [value for value, _ in pairs]
            measure = _squared_correlation if all(map(_is_number, values)) else _between_names
            found[one.name] = share * measure(values, ranks)
    return found


def _squared_correlation(values: Sequence[float], ranks: Sequence[float]) -> float:
    """Without what as few trials would show by chance: the adjusted R squared of a line through the ranks."""
    if len(set(ranks)) == 1:
        return 0.0
    num = len(ranks)
    return max(0.0, 1 - (1 - statistics.correlation(ranked(values), ranks) ** 2) * (num - 1) / (num - 2))


def _between_names(values: Sequence[Any], ranks: Sequence[float]) -> float:
    """Epsilon squared (Kelley 1935): like a correlation ratio, but without its bias for many names."""
    groups: dict[str, list[float]] = {}
    for value, rank in zip(values, ranks, strict=True):
        groups.setdefault(repr(value), []).append(rank)
    mean, total = statistics.fmean(ranks), statistics.pvariance(ranks) * len(ranks)
    free = len(ranks) - len(groups)
    if total == 0 or free < 1:
        return 0.0
    between = sum(len(group) * (statistics.fmean(group) - mean) ** 2 for group in groups.values())
    return max(0.0, 1 - (total - between) / total * (len(ranks) - 1) / free)


def ranked(values: Sequence[float]) -> list[float]:
    """The ranks of values, from 1; equal ones share the mean of their ranks.

    >>> ranked([0.3, 0.1, 0.3])
    [2.5, 1.0, 2.5]
    """
    places: dict[float, list[int]] = {}
    for place, value in enumerate(sorted(values), start=1):
        places.setdefault(value, []).append(place)
    return [statistics.fmean(places[value]) for value in values]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _by_nothing(table: Table, costs: Mapping[int, float], space: Sequence[Dimension]) -> dict[str, float]:  # noqa: ARG001
    return {}


_MEASURES = {
    "PED-ANOVA": by_ped_anova,
    "rank correlation": _by_ranks,
    "one at a time": _by_spread,
    "none": _by_nothing,
}
