"""Horizontal bars of characters."""

from __future__ import annotations

_EIGHTHS = " ▏▎▍▌▋▊▉█"


def bar(share: float, *, width: int, drawn: bool = True) -> str:
    """A bar of `share` (0 .. 1) of `width` columns, to an eighth of one; what is not nothing can be seen.

    drawn: False for streams that have no block characters.
    >>> bar(0.5, width=4), bar(0.3, width=4), bar(0, width=4), bar(0.5, width=4, drawn=False)
    ('██', '█▏', '', '##')
    """
    if not drawn:
        return "#" * max(round(share * width), int(share > 0))
    eighths = max(round(8 * share * width), int(share > 0))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
