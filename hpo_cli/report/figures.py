"""Numbers, durations and settings in as few characters as a page needs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

NOTHING = "-"
_LARGEST_WHOLE = 1e6
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def figure(value: object, *, digits: int = 4) -> str:
    """A number in `digits` significant digits; names as they are, several values joined by commas.

    >>> figure(0.98765), figure(32), figure(1e-5), figure(None), figure((0.1, 32)), figure(True)
    ('0.9877', '32', '1e-05', '-', '0.1, 32', 'true')
    """
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(figure(one, digits=digits) for one in value)
    if not isinstance(value, float) or not math.isfinite(value):
        return str(value)
    is_whole = value.is_integer() or abs(value) >= 10**digits
    return f"{value:.0f}" if is_whole and abs(value) < _LARGEST_WHOLE else f"{value:.{digits}g}"


def duration(seconds: float | None) -> str:
    """A span of time in its two largest units.

    >>> duration(0.42), duration(75), duration(7322), duration(200000)
    ('0.4 s', '1 min 15 s', '2 h 2 min', '2 d 7 h')
    """
    if seconds is None:
        return NOTHING
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for large, small, names in ((_DAY, _HOUR, "d h"), (_HOUR, _MINUTE, "h min"), (_MINUTE, 1, "min s")):
        if whole >= large:
            first, second = names.split()
            return f"{whole // large} {first} {whole % large // small} {second}"
    return f"{whole} s"


def described(setting: Mapping[str, Any]) -> str:
    """A setting as words: `optimizer=sgd lr=0.01`; `(as configured)` for one that changes nothing."""
    return " ".join(f"{key}={figure(value)}" for key, value in setting.items()) or "(as configured)"
