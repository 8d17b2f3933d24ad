"""One word that is swept, as a dimension of the space. Values of lists stay as they were written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep, Sweep
from hydra.errors import HydraException

from hpo_cli.sweep.space import Condition, Dimension

_CONFIDENCES = ("low", "medium", "high")


def dimension_of(override: Override) -> Dimension:
    """The dimension that a sweep over one key is. Raises HydraException for a tag that means nothing."""
    key, swept = override.get_key_element(), override.value()
    tags = _tags(key, override)
    if isinstance(swept, IntervalSweep):
        whole: Any = (swept.start, swept.end)  # floats, says Hydra's annotation; int(interval(1,8)) has none
        kind = {"kind": "int"} if all(isinstance(end, int) for end in whole) else {}
        return Dimension(key, (key,), low=swept.start, high=swept.end, **{**kind, **tags})
    if isinstance(swept, RangeSweep) and not swept.shuffle and (ends := _ends(list(swept.range()))):
        return Dimension(key, (key,), **{**tags, **ends})
    of_list = {name: tag for name, tag in tags.items() if name not in ("scale", "kind")}
    return Dimension(key, (key,), choices=tuple(dict.fromkeys(override.sweep_string_iterator())), **of_list)


def _ends(values: Sequence[Any]) -> dict[str, Any]:
    """The fields of a range that has these values; none where they do not rise."""
    if len(values) < 2 or values[0] > values[-1]:  # noqa: PLR2004
        return {}
    if all(isinstance(value, int) for value in values):
        return {"low": values[0], "high": values[-1], "step": values[1] - values[0], "kind": "int"}
    return {"low": values[0], "high": values[-1], "step": float(f"{values[1] - values[0]:.12g}"), "kind": "float"}


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
