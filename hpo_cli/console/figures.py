"""Numbers, durations and ages in as few characters as a person needs."""

from __future__ import annotations

from datetime import UTC, datetime

NOTHING = "-"
_LONGEST_WHOLE = 1e6
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def figure(value: object, *, digits: int = 4) -> str:
    """A number in `digits` significant digits; whole numbers whole; anything else as it is.

    >>> figure(0.98765), figure(12), figure(0.05), figure(1e-7), figure(None), figure(12345.678)
    ('0.9877', '12', '0.05', '1e-07', '-', '12346')
    """
    if value is None:
        return NOTHING
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    is_long = 10**digits <= abs(value) < _LONGEST_WHOLE
    if is_long or (value.is_integer() and abs(value) < _LONGEST_WHOLE):
        return f"{value:.0f}"
    return f"{value:.{digits}g}"


def duration(seconds: float | None) -> str:
    """A span of time.

    >>> duration(0.42), duration(75), duration(7322), duration(200000), duration(None)
    ('0.4 s', '1 min 15 s', '2 h 2 min', '2 d 7 h', '-')
    """
    if seconds is None:
        return NOTHING
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def age(moment: str, *, now: float) -> str:
    """How old an ISO 8601 moment is. now: seconds since 1970.

    >>> age("2026-01-01T00:00:00+00:00", now=1767225600 + 7200)
    '2 h'
    """
    try:
        then = datetime.fromisoformat(moment)
    except ValueError:
        return NOTHING
    passed = now - (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp()
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if passed >= unit:
            return f"{int(passed // unit)} {name}"
    return f"{max(0, int(passed))} s"
