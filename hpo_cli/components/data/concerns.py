"""What a survey of a data set warns of, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpo_cli.components.data.balance import IMBALANCED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hpo_cli.components.data.findings import Copies
    from hpo_cli.components.data.survey import Survey, Target

FEW = 10
"""A class with fewer training samples can hardly be learnt."""


def concerns(found: Survey) -> Iterator[str]:
    """What may spoil a run, a line each."""
    for target in found.targets:
        yield from _class_warnings(target, is_only=found.task == "classification")
    if found.copies:
        yield from _copy_warnings(found.copies)
    constant = [feature.name for feature in found.features if feature.is_constant]
    if constant:
        yield f"{_several(len(constant), 'feature is', 'features are')} constant: {_listed(constant)}"
    if found.flat:
        yield f"{_several(len(found.flat), 'sample is', 'samples are')} nearly empty: row {_listed(found.flat)}"
    if found.text and found.text.unseen:
        many = _several(len(found.text.unseen), "character", "characters")
        yield f"{many} of val never in training: {_listed([repr(one) for one in found.text.unseen])}"


def _class_warnings(target: Target, *, is_only: bool) -> Iterator[str]:
    ratio, counts = target.imbalance, (target.class_counts or {}).get("train", {})
    if ratio is not None and ratio > IMBALANCED:
        hint = "; try loss.class_weights=balanced" if is_only else ""
        yield f"the largest {target.name} has {ratio:.0f} times the samples of the smallest{hint}"
    few = [f"{name} ({count})" for name, count in counts.items() if count < FEW]
    if few:
        yield f"fewer than {FEW} training samples of {target.name} {_listed(few)}"


def _copy_warnings(copies: Copies) -> Iterator[str]:
    for part, count in (("validation", copies.in_val), ("test", copies.in_test)):
        if count:
            many = _several(count, f"{part} sample is", f"{part} samples are")
            yield f"{many} in training too, which flatters its score"
    if copies.contradictions:
        many = _several(copies.contradictions, "sample has", "samples have")
        yield f"{many} an equal with another target: no model can have both right"


def _several(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"


def _listed(names: Sequence[object], most: int = 5) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + rest
