"""How much memory is left for copies."""

from __future__ import annotations

import contextlib
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
_SELF = Path("/proc/self/cgroup")
UNKNOWN = 1 << 30
"""Taken for granted where the system does not tell."""


def available_bytes() -> int:
    """Bytes that this process may still take without swapping: of the machine and of its control group."""
    found = [_machine(), _group()]
    return min((value for value in found if value is not None), default=UNKNOWN)


def _machine() -> int | None:
    value = _fields(_MEMINFO).get("MemAvailable:")
    return None if value is None else value << 10


def _group() -> int | None:
    """None without a limit. Pages of files that nobody uses count as free."""
    with contextlib.suppress(OSError, ValueError, StopIteration):
        place = next(line[3:] for line in _SELF.read_text().splitlines() if line.startswith("0::"))
        group = _CGROUP / place.lstrip("/")
        limit, used = int((group / "memory.max").read_text()), int((group / "memory.current").read_text())
        return max(0, limit - used + _fields(group / "memory.stat").get("inactive_file", 0))
    return None


def _fields(file: Path) -> dict[str, int]:
    """`name number` of each line."""
    with contextlib.suppress(OSError, ValueError):
        return {words[0]: int(words[1]) for line in file.read_text().splitlines() if len(words := line.split()) > 1}
    return {}
