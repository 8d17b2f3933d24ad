"""Several processes for one run: the first starts the others, each reads the plan from the run's folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch.distributed as dist

from hpo_cli.engine.lightning import ClusterEnvironment

_VARIABLES = ("HPO_RUN_RANK", "HPO_RUN_WORLD", "HPO_RUN_PORT")


@dataclass(frozen=True)
class Ranks:
    """This process's place among those of a run."""

    rank: int
    world: int
    port: int


def ranks_from_environment() -> Ranks:
    """The place that the first process gave to this one."""
    rank, world, port = (int(os.environ[name]) for name in _VARIABLES)
    return Ranks(rank, world, port)


@contextmanager
def started_ranks(folder: Path, world: int, *, on_loss: Callable[[str], None]) -> Iterator[Ranks]:
    """Start the other `world - 1` processes of the run in `folder`; wait for them, or end them after an error.

    on_loss: called with the reason when one of them died and this process, waiting for it, did not notice in time; the
    program ends after that.
    """
    port = _free_port()
    others = [_start(folder, Ranks(rank, world, port)) for rank in range(1, world)]
    done = threading.Event()
    threading.Thread(target=_watch, args=(folder, others, done, on_loss), daemon=True).start()
    try:
        yield Ranks(0, world, port)
        done.set()
    except BaseException:
        done.set()
        for process in others:
            process.terminate()
        raise
    finally:
        for process in others:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
        if dist.is_initialized():
            dist.destroy_process_group()  # the next run of this process has other partners


GRACE_S = 20
"""How long the first process has to find out by itself that another one died, as torch's exchanges do once they run."""


def _watch(
    folder: Path, others: list[subprocess.Popen[bytes]], done: threading.Event, on_loss: Callable[[str], None]
) -> None:
    """End the program when a process has died and the first one hangs in waiting for it, deaf to signals."""
    while not done.wait(0.5):
        dead = [rank for rank, process in enumerate(others, start=1) if process.poll()]
        if dead and not done.wait(GRACE_S):
            log = (folder / f"rank-{dead[0]}.log").read_text(encoding="utf-8", errors="replace").strip()
            on_loss(f"process {dead[0]} of the run ended: {log.splitlines()[-1] if log else 'it said nothing'}")
            for process in others:
                process.kill()
            os._exit(1)


def _start(folder: Path, ranks: Ranks) -> subprocess.Popen[bytes]:
    values = zip(_VARIABLES, (ranks.rank, ranks.world, ranks.port), strict=True)
    environment = {**os.environ, **{name: str(value) for name, value in values}}
    command = [sys.executable, "-m", "hpo_cli.engine.rank", str(folder)]
    with (folder / f"rank-{ranks.rank}.log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - ourselves
            command,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C goes to the first process, which tells the others between two steps
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class LocalRanks(ClusterEnvironment):
    """Tells Lightning that the processes exist already, all on this machine."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks

    @property
    def creates_processes_externally(self) -> bool:
        """Lightning starts none."""
        return True

    @property
    def main_address(self) -> str:
        """Where the first process listens."""
        return "127.0.0.1"

    @property
    def main_port(self) -> int:
        """The port where it listens."""
        return self._ranks.port

    @staticmethod
    def detect() -> bool:
        """Never chosen by itself."""
        return False

    def world_size(self) -> int:
        """How many processes there are."""
        return self._ranks.world

    def set_world_size(self, size: int) -> None:
        """Lightning's wish is what was started."""

    def global_rank(self) -> int:
        """Which one this is."""
        return self._ranks.rank

    def set_global_rank(self, rank: int) -> None:
        """Fixed at the start."""

    def local_rank(self) -> int:
        """The same, on one machine."""
        return self._ranks.rank

    def node_rank(self) -> int:
        """One machine alone."""
        return 0
