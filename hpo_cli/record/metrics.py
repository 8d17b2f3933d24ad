"""The metrics of a run: rows of `step`, `epoch` and `name: value`, appended to `metrics.jsonl`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpo_cli.plan import direction
from hpo_cli.record.living import living_rows
from hpo_cli.record.metrics_writer import MetricsWriter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hpo_cli.record.jsonl import Row

__all__ = [
    "COUNTERS", "MetricsWriter", "Series", "best_of_each", "best_row", "living_rows", "names", "number", "read_metrics",
    "series",
]  # fmt: skip

COUNTERS = ("step", "epoch")


@dataclass(frozen=True)
class Series:
    """One metric over a run. values: None where it was not finite; steps and epochs: as long as values."""

    steps: tuple[int, ...]
    epochs: tuple[int | None, ...]
    values: tuple[float | None, ...]


def read_metrics(path: Path | str) -> list[Row]:
    """The living rows of a metrics file; torn and foreign lines are skipped. Raises OSError."""
    return living_rows(Path(path).read_bytes())


def series(rows: Iterable[Row], name: str) -> Series:
    """The values of one metric, by the rows that have it."""
    having = [row for row in rows if name in row]
    return Series(
        steps=tuple(row["step"] for row in having),
        epochs=tuple(_epoch(row) for row in having),
        values=tuple(number(row[name]) for row in having),
    )


def names(rows: Sequence[Row]) -> list[str]:
    """The metrics in the rows, in order of first appearance."""
    return [name for name in dict.fromkeys(key for row in rows for key in row) if name not in COUNTERS]


def best_row(rows: Sequence[Row], name: object, *, mode: object) -> dict[str, float | int | None]:
    """{value, step} of the row with the best finite value of metric `name`, or {}. mode: "min" or "max"."""
    values = [(value, row.get("step")) for row in rows if (value := number(row.get(str(name)))) is not None]
    if not values:
        return {}
    value, step = (min if mode == "min" else max)(values, key=lambda pair: pair[0])
    return {"value": value, "step": step}


def best_of_each(rows: Sequence[Row], *, modes: Mapping[str, str]) -> dict[str, dict[str, float | int | None]]:
    """{metric: {value, step}} of the best rows. Outside `modes`, losses and errors are better low."""
    return {name: best_row(rows, name, mode=modes.get(name) or direction(name)) for name in names(rows)}


def number(value: object) -> float | None:
    """`value` when it is a finite number, otherwise None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        return value if is_number and math.isfinite(value) else None  # type: ignore[arg-type, return-value]
    except OverflowError:  # an integer beyond every float
        return None


def _epoch(row: Row) -> int | None:
    epoch = row.get("epoch")
    return epoch if type(epoch) is int else None
