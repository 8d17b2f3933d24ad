"""Nested settings as flat dotted keys, the way a person types them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NOT_TYPED = ("plan_id", "choices")


def flatten(nested: Mapping[str, Any]) -> dict[str, Any]:
    """{"model.depth": 2} for {"model": {"depth": 2}}; lists are values.

    >>> flatten({"lr": 0.1, "model": {"depth": 2, "size": {"width": [4, 8]}}})
    {'lr': 0.1, 'model.depth': 2, 'model.size.width': [4, 8]}
    """
    return dict(_pairs(nested, ""))


def flatten_plan(plan: Mapping[str, Any]) -> dict[str, Any]:
    """A plan's settings by the words that set them: a group for its option, dotted keys for the rest."""
    choices = plan.get("choices")
    settings = {key: value for key, value in plan.items() if key not in _NOT_TYPED}
    return {**(choices if isinstance(choices, dict) else {}), **flatten(settings)}


def _pairs(nested: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in nested.items():
        if isinstance(value, dict) and value:
            yield from _pairs(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
