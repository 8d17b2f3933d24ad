"""How a job of a local process ended, in the words of the contract."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hpo_cli.sweep.executors.contract import Ended, Job


@dataclass
class Active:
    """A job that is under way. number: of its task.   ask: how it was asked to end, and by whom."""

    job: Job
    number: int
    asked: Literal["", "save", "kill", "timeout"] = ""
    deadline: float | None = None
    has_begun: bool = False


def judged(active: Active, done: Mapping[str, Any]) -> Ended:
    """What a worker said. A stop that nobody here has asked for is the machine's doing."""
    if done["status"] == "interrupted" and not active.asked:
        return Ended(active.job, "failed", f"was told to end by {done['reason']}, not by the sweep", "machine")
    return Ended(active.job, done["status"], done["reason"], done["cause"])


def lost(active: Active, why: str) -> Ended:
    """A job whose process is no more."""
    if active.asked == "timeout":
        limit = active.job.timeout_s or 0.0
        return Ended(active.job, "failed", f"no end after {limit:g} s (sweep.timeout_minutes)", "machine")
    if active.asked:
        return Ended(active.job, "interrupted", "ended at once", "asked")
    return Ended(active.job, "failed", why, "machine")


def death(status: int | None) -> str:
    """What ended a process, in words. status: of waitpid, None where nobody knows."""
    if status is None:
        return "its process ended"
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGKILL:
        return f"killed by signal 9 (the machine's memory may be short: {_memory_left()})"
    if code < 0:
        return f"killed by signal {-code} ({signal.Signals(-code).name})"
    return f"its process ended by itself, with exit code {code}"


def _memory_left() -> str:
    """What the machine has, in words."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "lower sweep.workers or batch_size"
    found = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}
    free, total = (found.get(name, 0) / (1 << 20) for name in ("MemAvailable", "MemTotal"))
    return f"{free:.1f} of {total:.1f} GiB are free now; lower sweep.workers or batch_size"
