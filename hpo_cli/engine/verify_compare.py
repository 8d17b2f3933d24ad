"""Compares two runs that should be one: weights, state, per-step losses, validations, best files, nudges, result."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from hpo_cli.engine import checkpoints
from hpo_cli.engine.differences import differences as state_differences
from hpo_cli.errors import UserError
from hpo_cli.record.folder import CHECKPOINTS, METRICS, RESULT
from hpo_cli.record.ledger import read_ledger
from hpo_cli.record.line import living_line
from hpo_cli.record.metrics import read_metrics
from hpo_cli.record.weights import numbered

TIMELESS = ("seconds",)
"""Keys of result.json that no two runs have in common."""


def differences(straight: Path, killed: Path) -> Iterator[str]:
    """What differs between two run folders, the first of each kind, one line each; nothing when they are the same."""
    yield from _of_metrics(straight, killed)
    yield from _of_states(straight, killed)
    yield from _of_best(straight, killed)
    yield from _of_results(straight, killed)
    yield from _of_nudges(straight, killed)


def newest_state(folder: Path) -> checkpoints.State:
    """The last checkpoint of a run. Raises UserError when there is none or it cannot be read."""
    found = numbered(folder / CHECKPOINTS, "step-")
    if not found:
        raise UserError(f"{folder}: no checkpoint")
    return checkpoints.load(found[-1])


def validated_steps(folder: Path) -> list[int]:
    """The steps after which the run was validated."""
    rows = read_metrics(folder / METRICS)
    return [row["step"] for row in rows if any(name.startswith("val/") for name in row)]


def _of_metrics(straight: Path, killed: Path) -> Iterator[str]:
    if (straight / METRICS).read_bytes() == (killed / METRICS).read_bytes():
        return
    rows = [read_metrics(folder / METRICS) for folder in (straight, killed)]
    yield next(_of_rows(*rows), f"{METRICS}: the rows are the same, the bytes are not")
    if (expected := validated_steps(straight)) != (found := validated_steps(killed)):
        yield f"validations: after steps {expected} straight, after {found} killed"


def _of_rows(straight: list[dict[str, Any]], killed: list[dict[str, Any]]) -> Iterator[str]:
    for expected, found in zip_longest(straight, killed):
        if expected is None or found is None or expected["step"] != found["step"]:
            steps = ["no row" if row is None else f"step {row['step']}" for row in (expected, found)]
            yield f"{METRICS}: {steps[0]} straight where there is {steps[1]} killed"
            return
        for name in dict.fromkeys([*expected, *found]):
            if repr(expected.get(name)) != repr(found.get(name)):
                yield f"step {expected['step']}, {name}: {expected.get(name)!r} straight, {found.get(name)!r} killed"


def _of_states(straight: Path, killed: Path) -> Iterator[str]:
    states = [newest_state(folder) for folder in (straight, killed)]
    yield from first_difference(*states)


def _of_best(straight: Path, killed: Path) -> Iterator[str]:
    names = [sorted(path.name for path in (folder / CHECKPOINTS).glob("best-*.pt")) for folder in (straight, killed)]
    if names[0] != names[1]:
        yield f"best weights: {names[0]} straight, {names[1]} killed"
        return
    for name in names[0]:
        pair = [checkpoints.load(folder / CHECKPOINTS / name) for folder in (straight, killed)]
        yield from first_difference(*pair, within=f"{name}, ")


def _of_results(straight: Path, killed: Path) -> Iterator[str]:
    results = [json.loads((folder / RESULT).read_text(encoding="utf-8")) for folder in (straight, killed)]
    kept = [{key: value for key, value in result.items() if key not in TIMELESS} for result in results]
    yield from first_difference(*kept, within=f"{RESULT}, ")


def _of_nudges(straight: Path, killed: Path) -> Iterator[str]:
    chains = [living_line(read_ledger(folder).events).chain for folder in (straight, killed)]
    kept = [[(event["step"], event.get("knobs")) for event in chain] for chain in chains]
    if kept[0] != kept[1]:
        yield f"nudges: {kept[0]} straight, {kept[1]} killed"


def first_difference(straight: Any, killed: Any, *, within: str = "") -> list[str]:
    """Where two states, results or weights differ first; empty for equal bits."""
    found = state_differences(straight, killed, most=1, names=("straight", "killed"))
    return [f"{within}{text}" for text in found]
