"""The further processes of a run as forks instead of new programs: a start in a fraction of the time."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from multiprocessing.context import ForkProcess
from pathlib import Path

from hpo_cli.engine import rank, ranks
from hpo_cli.engine.ranks import Ranks


class ForkedRank:
    """What `engine.ranks` asks of a process, for a fork."""

    def __init__(self, process: ForkProcess) -> None:
        self._process = process
        self.pid = process.pid

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("a process of the run", timeout or 0.0)
        return code

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def kill(self) -> None:
        """End it."""
        self._process.kill()


def fork_ranks() -> None:
    """Make this process fork the further processes of its run. Only for a fork: nothing is put back."""
    ranks._start = _start  # type: ignore[assignment]  # noqa: SLF001 - the one place where they are started


def _start(folder: Path, place: Ranks) -> ForkedRank:
    process = multiprocessing.get_context("fork").Process(target=_child, args=(folder, place))
    process.start()
    return ForkedRank(process)


def _child(folder: Path, place: Ranks) -> None:
    os.setsid()  # as a new program would be started
    with (folder / f"rank-{place.rank}.log").open("wb") as log:
        for descriptor in (1, 2):
            os.dup2(log.fileno(), descriptor)
    names = ("HPO_RUN_RANK", "HPO_RUN_WORLD", "HPO_RUN_PORT")
    os.environ.update(zip(names, map(str, (place.rank, place.world, place.port)), strict=True))
    sys.exit(rank.main(folder))
