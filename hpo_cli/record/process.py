"""Which process this is, so that another one on the same machine can tell whether it still lives."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Life = Literal["alive", "dead", "unknown"]
_GONE = ("Z", "X", "x")  # states of a process that has ended and whose parent has not yet asked how


@dataclass(frozen=True)
class Process:
    """A process by all that makes it unique. boot, namespace: ids of the kernel's start and of the process ids' space.

    start: when it began, in clock ticks since the boot. The last three are empty where there is no Linux /proc.
    """

    host: str
    pid: int
    boot: str
    namespace: str
    start: str

    def to_json(self) -> dict[str, Any]:
        """All fields in types that JSON knows."""
        return asdict(self)


def this_process() -> Process:
    """The process that asks."""
    pid = os.getpid()
    return Process(socket.gethostname(), pid, _boot(), _namespace(), _stat(pid)[1])


def life_of(holder: Process) -> Life:
    """Whether `holder` lives. Unknown from another machine, boot or container, and without a Linux /proc."""
    here = (socket.gethostname(), _boot(), _namespace())
    if "" in here or (holder.host, holder.boot, holder.namespace) != here or holder.pid <= 0:
        return "unknown"
    try:
        os.kill(holder.pid, 0)
    except (ProcessLookupError, OverflowError):
        return "dead"
    except PermissionError:  # another user's: it exists
        pass
    state, start = _stat(holder.pid)
    is_another = "" not in (start, holder.start) and start != holder.start
    return "dead" if state in _GONE or is_another else "alive"


def is_from_an_earlier_boot(holder: Process) -> bool:
    """Whether a machine of this machine's name has been started anew since: good enough to show, not to act on."""
    boot = _boot()
    return holder.host == socket.gethostname() and "" not in (boot, holder.boot) and boot != holder.boot


def _boot() -> str:
    return _read("/proc/sys/kernel/random/boot_id").strip()


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - no file's path
    except OSError:
        return ""


def _stat(pid: int) -> tuple[str, str]:
    """State and start of a process, empty where they cannot be read. The name before them may hold anything."""
    words = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (words[0], words[19]) if len(words) > 19 else ("", "")  # noqa: PLR2004 - fields 3 and 22 of proc(5)


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""
