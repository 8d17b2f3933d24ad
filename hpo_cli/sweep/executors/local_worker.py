"""One worker of the local executor, as this side knows it, and what it is sent. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from multiprocessing.connection import Connection
from typing import Any

from hpo_cli.sweep.executors.contract import Adoption, Job
from hpo_cli.sweep.executors.local_endings import Active
from hpo_cli.sweep.executors.local_slots import gpu_of
from hpo_cli.sweep.executors.server_link import Server

_NOT_SENT = ("timeout_s",)


@dataclass
class Worker:
    """A process, or the wish for one. gone: its connection is closed; goes: it takes no further job."""

    name: int
    slot: int
    link: Connection
    server: Server
    pid: int = 0
    active: Active | None = None
    goes: bool = False
    gone: bool = False


def task_of(job: Job, slot: int, *, threads: int, gpus: Sequence[str]) -> dict[str, Any]:
    """A job in plain types, as `engine.worker_task.Task` takes it. threads: cores of a slot.   gpus: of all slots."""
    sent = {one.name: getattr(job, one.name) for one in fields(job) if one.name not in _NOT_SENT}
    devices = int(job.plan["trainer"].get("devices") or 1)
    return {
        **sent,
        "folder": str(job.folder),
        "plan": dict(job.plan),
        "begin": dict(job.begin),
        "parent": None if job.parent is None else dict(job.parent),
        "adopt": None if job.adopt is None else _adoption(job.adopt),
        "cores": threads,
        "gpu": gpu_of(slot, gpus=gpus, devices=devices),
    }


def _adoption(adopt: Adoption) -> dict[str, Any]:
    return {**vars(adopt), "changes": dict(adopt.changes)}


def has_hung_up(link: Connection) -> bool:
    """Whether an idle worker's connection is at its end: it has nothing to say otherwise."""
    try:
        return link.closed or link.poll()
    except OSError:
        return True
