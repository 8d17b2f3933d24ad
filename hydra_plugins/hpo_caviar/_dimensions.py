"""One word that is swept, as a dimension of the space. Values of lists stay as they were written."""

from __future__ import annotations

import re
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, Sweep
from hydra.errors import HydraException

from hpo_cli.sweep.space import Condition, Dimension

_CONFIDENCES = ("low", "medium", "high")


def dimension_of(override: Override) -> Dimension:
    """The dimension that a sweep over one key is. Raises HydraException for a tag that means nothing."""
    key = override.get_key_element()
    tags = _tags(key, override)
    if override.is_interval_sweep():
        interval = override.value()
        assert isinstance(interval, IntervalSweep)  # noqa: S101 - what the grammar promises
        if isinstance(interval.start, int) and isinstance(interval.end, int):
            tags["kind"] = "int"
        return Dimension(key, (key,), low=interval.start, high=interval.end, **tags)
    values = list(override.sweep_iterator()) if override.is_range_sweep() else []
    if len(values) > 1 and values[0] < values[-1] and not override.value().shuffle:  # type: ignore[operator, union-attr]
        kind = "int" if all(isinstance(value, int) for value in values) else "float"
        step = float(f"{values[1] - values[0]:.12g}")  # type: ignore[operator]
        ends = {"low": values[0], "high": values[-1], "step": int(step) if kind == "int" else step}
        return Dimension(key, (key,), **{**tags, "kind": kind, **ends})
    for name in ("scale", "kind"):  # a list has neither
        tags.pop(name, None)
    return Dimension(key, (key,), choices=tuple(dict.fromkeys(override.sweep_string_iterator())), **tags)


def _tags(key: str, override: Override) -> dict[str, Any]:
    """The fields that `tag(...)` sets: log, int, prior:V, low, medium, high, if:KEY:VALUE|VALUE."""
    swept = override.value()
    found: dict[str, Any] = {}
    for tag in sorted(map(str, swept.tags)) if isinstance(swept, Sweep) else ():
        name, _, rest = tag.partition(":")
        if tag == "log":
            found["scale"] = "log"
        elif tag in ("int", "float"):
            found["kind"] = tag
        elif tag in _CONFIDENCES:
            found["confidence"] = tag
        elif name == "prior" and rest:
            found["prior"] = rest if override.is_choice_sweep() else float(rest)
        elif name == "if" and (mark := re.search("[:=]", rest)):
            condition, values = rest[: mark.start()], rest[mark.end() :]
            found["when"] = (*found.get("when", ()), Condition(condition, tuple(values.split("|"))))
        else:
            raise HydraException(f"{key}: the tag {tag} means nothing here; there are log, int, prior:V, if:KEY:VALUE")
    return found
