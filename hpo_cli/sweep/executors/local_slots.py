"""How many runs a machine has room for, and what each of them gets: a GPU, or a share of the cores. No torch."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MOST_SLOTS = 8
"""Of the cores' slots by default: more processes than that fight for memory."""

_DRIVER = Path("/proc/driver/nvidia/gpus")


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; none where torch knows no CUDA."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not _torch_has_cuda():
        return ()
    if given is not None:
        return _listed(given)
    return tuple(map(str, range(_num_installed())))


def cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def gpus_for(plan: Mapping[str, Any], gpus: Sequence[str] | None = None) -> tuple[str, ...]:
    """The GPUs that runs of a plan would use. gpus: those there are."""
    accelerator = plan["trainer"]["accelerator"]
    return () if accelerator in ("cpu", "mps") else tuple(visible_gpus() if gpus is None else gpus)


def default_slots(plan: Mapping[str, Any], *, gpus: Sequence[str] | None = None, num_cores: int | None = None) -> int:
    """How many runs of a plan at once: one a GPU, else one a core, at most 8, fewer when each has several threads.

    plan: `RunPlan.to_dict()`.   gpus, num_cores: those there are, when they are known.
    """
    devices = int(plan["trainer"].get("devices") or 1)
    if found := gpus_for(plan, gpus):
        return max(1, len(found) // devices)
    threads = int(plan["trainer"].get("threads") or 1) * devices
    return max(1, min(MOST_SLOTS, (num_cores or cores()) // threads))


def gpu_of(slot: int, *, gpus: Sequence[str], devices: int = 1) -> str | None:
    """What CUDA_VISIBLE_DEVICES is to be for a run in a slot; None leaves it alone. More slots share them."""
    if not gpus:
        return None
    first = slot * devices % len(gpus)
    return ",".join(gpus[(first + i) % len(gpus)] for i in range(min(devices, len(gpus))))


def _listed(given: str) -> tuple[str, ...]:
    """As CUDA reads it: up to the first that is none."""
    names: list[str] = []
    for name in map(str.strip, given.split(",")):
        if not name or name.startswith("-"):
            break
        names.append(name)
    return tuple(names)


def _num_installed() -> int:
    try:
        return len(list(_DRIVER.iterdir()))
    except OSError:
        pass
    command = shutil.which("nvidia-smi")
    if command is None:
        return 0
    try:
        done = subprocess.run([command, "-L"], capture_output=True, text=True, timeout=20, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in done.stdout.splitlines()) if done.returncode == 0 else 0


def _torch_has_cuda() -> bool:
    """By its version file: nothing of torch is imported."""
    found = importlib.util.find_spec("torch")
    if found is None or not found.submodule_search_locations:
        return False
    try:
        text = (Path(found.submodule_search_locations[0]) / "version.py").read_text(encoding="utf-8")
    except OSError:
        return True
    lines = [line for line in text.splitlines() if line.startswith(("cuda", "hip"))]
    return not lines or any(not line.partition("=")[2].strip().startswith("None") for line in lines)
