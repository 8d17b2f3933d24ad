"""A job where a Hydra launcher has put it: the launcher's process has it done by a warm worker. No torch here."""

from __future__ import annotations

import atexit
import json
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hpo_cli.record.atomic import write_json
from hpo_cli.sweep.executors.contract import Adoption, Ended, Job
from hpo_cli.sweep.executors.local import LocalExecutor

POLL_S = 0.5
_here: dict[tuple[int, int], LocalExecutor] = {}
"""(process, cores) -> what trains beside this process; kept from one job to the next."""


class DoJob:
    """The task function that a launcher is given: does job number `config.job` of `folder`. Pickles."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, config: Any) -> dict[str, str]:
        """Train; how it ended, which is also left in the folder at once."""
        number = int(config.job)
        sent = json.loads((self.folder / f"{number}.json").read_text())
        ended = _done(job_from(sent["job"]), cores=sent["cores"], order=self.folder / f"{number}.end")
        answer = {"status": ended.status, "reason": ended.reason, "cause": ended.cause}
        with suppress(OSError):
            write_json(self.folder / f"{number}.answer.json", answer)
        return answer


def write_job(folder: Path, number: int, job: Job, *, cores: int) -> None:
    """A job as a file, `<number>.json`."""
    write_json(folder / f"{number}.json", {"job": asdict(job) | {"folder": str(job.folder)}, "cores": cores})


def job_from(sent: dict[str, Any]) -> Job:
    """The job in such a file."""
    adopt = sent["adopt"]
    place = {"folder": Path(sent["folder"]), "adopt": None if adopt is None else Adoption(**adopt)}
    return Job(**{**sent, **place, "allow": tuple(sent["allow"])})


def close_here() -> None:
    """End what trains beside this process."""
    for place, executor in list(_here.items()):
        del _here[place]
        if place[0] == os.getpid():
            executor.close()


def _done(job: Job, *, cores: int, order: Path) -> Ended:
    """The job's end; on the way it obeys what appears in the file `order`: save or kill."""
    executor = _executor(cores)
    executor.start(job)
    obeyed = ""
    while not (ended := executor.wait(POLL_S)):
        asked = _asked(order)
        if asked not in ("", obeyed):
            executor.end(job, "kill" if asked == "kill" else "save")
            obeyed = asked
    return ended[0]


def _asked(order: Path) -> str:
    try:
        return order.read_text()
    except OSError:
        return ""


def _executor(cores: int) -> LocalExecutor:
    place = os.getpid(), cores
    if place not in _here:
        if not _here:
            atexit.register(close_here)
        _here[place] = LocalExecutor(1, cores=cores)
    return _here[place]
