"""Trains in processes of this machine, which have torch and Lightning imported when a job comes. No torch here."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, Literal, Self

from hpo_cli.sweep.executors.contract import Ended, Job, Row
from hpo_cli.sweep.executors.folder_rows import FolderRows
from hpo_cli.sweep.executors.local_endings import Active, death, judged, lost
from hpo_cli.sweep.executors.local_slots import cores as all_cores
from hpo_cli.sweep.executors.local_slots import default_slots, gpus_for
from hpo_cli.sweep.executors.local_worker import Worker, has_hung_up, task_of
from hpo_cli.sweep.executors.server_link import Server, likely_modules

__all__ = ["LocalExecutor", "default_slots"]

WARM_TASKS = 200
"""Jobs of one warm worker."""
CLOSE_S = 60.0
"""How long `close` lets jobs save before it ends them."""


class LocalExecutor:
    """See contract.Executor. worker: `warm` processes take job after job, `fork` gives each job a fresh one.

    gpus: as CUDA_VISIBLE_DEVICES names them, one a slot; None: those that the preloaded plan would use.
    cores: to be shared by the slots; None: all.   preload: the plan whose components are imported beforehand.
    """

    def __init__(
        self,
        slots: int,
        *,
        worker: Literal["warm", "fork"] = "warm",
        gpus: Sequence[str] | None = None,
        cores: int | None = None,
        preload: Mapping[str, Any] | None = None,
    ) -> None:
        self._slots, self._most = max(1, slots), WARM_TASKS if worker == "warm" else 1
        self._cores, self._preload = cores or all_cores(), preload
        self._gpus = tuple(gpus) if gpus is not None else gpus_for(preload) if preload else ()
        self._names = itertools.count(1)
        self._workers: dict[int, Worker] = {}
        self._ended: list[Ended] = []
        self._rows = FolderRows()
        self._server: Server | None = Server(plan=preload)
        self._retired: list[Server] = []

    def expect(self, plan: Mapping[str, Any], *, slots: int, worker: Literal["warm", "fork"]) -> None:
        """Say what is to come, where that was not known when the server began to import.

        Before the first job: the server has the time until then for what all plans need.
        """
        self._preload, self._gpus, self._most = plan, gpus_for(plan), WARM_TASKS if worker == "warm" else 1
        self.slots = slots
        if self._server is not None:
            self._server.learn(likely_modules(plan))

    @property
    def slots(self) -> int:
        """How many jobs may run at once."""
        return self._slots

    @slots.setter
    def slots(self, number: int) -> None:
        self._slots = max(1, number)
        for worker in list(self._workers.values()):
            if worker.slot >= self._slots and worker.active is None:
                self._dismiss(worker)

    @property
    def threads(self) -> int:
        """Cores of one slot."""
        return max(1, self._cores // self._slots)

    def start(self, job: Job) -> None:
        """See contract.Executor."""
        worker = self._worker()
        worker.active = Active(job, next(self._names))
        self._rows.forget(job.folder)
        try:
            worker.link.send(
                ("task", worker.active.number, task_of(job, worker.slot, threads=self.threads, gpus=self._gpus))
            )
        except OSError:
            self._lose(worker, "its process ended before it began")

    def wait(self, timeout_s: float) -> Sequence[Ended]:
        """See contract.Executor."""
        until = time.monotonic() + timeout_s
        while True:
            self._hear(0.0 if self._ended else self._pause(until))
            if self._ended or time.monotonic() >= until:
                ended, self._ended = self._ended, []
                return ended

    def rows(self, job: Job) -> Sequence[Row]:
        """See contract.Executor. A run that goes on tells its rows from the start once more."""
        return self._rows.new(job.folder)

    def end(self, job: Job, how: Literal["save", "kill"]) -> None:
        """See contract.Executor."""
        worker = next((one for one in self._workers.values() if one.active and one.active.job is job), None)
        if worker is None or worker.active is None:
            return
        worker.active.asked = how
        if how == "save" and worker.server.is_ready:
            self._tell(worker, "stop", worker.active.number)
        elif worker.server.is_ready:
            self._kill(worker)
        else:  # nothing has begun: the server will find nobody at the other end
            self._finish(worker, Ended(job, "interrupted", "had not begun", "asked"))
            self._drop(worker)

    def close(self) -> None:
        """See contract.Executor. Returns when nothing of it is left."""
        for worker in list(self._workers.values()):
            if worker.active is not None:
                self.end(worker.active.job, "save")
            else:
                self._dismiss(worker)
        until = time.monotonic() + CLOSE_S
        while any(worker.active for worker in self._workers.values()):
            self._hear(max(0.0, until - time.monotonic()))
            if time.monotonic() >= until:
                for worker in self._workers.values():
                    self._kill(worker)
                until = time.monotonic() + CLOSE_S
        for worker in list(self._workers.values()):
            self._drop(worker)
        servers = [*self._retired, *([self._server] if self._server else [])]
        self._server, self._retired = None, []
        for server in servers:
            server.close()
        for server in servers:
            server.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # workers ---------------------------------------------------------------------------------------------------------

    def _worker(self) -> Worker:
        """One that waits for a job, or a new one in the first free slot."""
        idle = [worker for worker in self._workers.values() if worker.active is None and not worker.goes]
        for worker in sorted(idle, key=lambda one: one.slot):
            if worker.slot < self._slots and not worker.gone and not has_hung_up(worker.link):
                return worker
            self._drop(worker)
        taken = {worker.slot for worker in self._workers.values() if worker.active is not None}
        slot = next(number for number in itertools.count() if number not in taken)
        server = self._server = self._live_server()
        name = next(self._names)
        worker = Worker(name, slot, server.fork(name, most=self._most), server)
        self._workers[name] = worker
        return worker

    def _live_server(self) -> Server:
        server = self._server
        if server is not None and server.process.poll() is None:
            return server
        if server is not None:
            self._retired.append(server)
        return Server(plan=self._preload)

    def _tell(self, worker: Worker, *message: object) -> None:
        try:
            worker.link.send(message)
        except OSError:
            worker.gone = True

    def _dismiss(self, worker: Worker) -> None:
        """Let an idle worker go."""
        self._tell(worker, "quit")
        self._drop(worker)

    def _drop(self, worker: Worker) -> None:
        worker.link.close()
        self._workers.pop(worker.name, None)

    def _kill(self, worker: Worker) -> None:
        if worker.server.process.poll() is None:
            worker.server.kill(worker.name)
        elif worker.pid and not worker.gone:  # its server is no more, and it lives: it holds its connection
            try:
                os.killpg(worker.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                worker.gone = True

    # what is heard ---------------------------------------------------------------------------------------------------

    def _pause(self, until: float) -> float:
        """Seconds until something is due."""
        dues = [until, *(one.active.deadline for one in self._workers.values() if one.active and one.active.deadline)]
        return max(0.0, min(dues) - time.monotonic())

    def _hear(self, timeout_s: float) -> None:
        """Take in all that there is to hear; waits so long for the first of it."""
        servers = {one.server.link: one.server for one in self._workers.values() if not one.server.link.closed}
        if self._server is not None and not self._server.link.closed:
            servers[self._server.link] = self._server
        workers = {one.link: one for one in self._workers.values() if not one.gone}
        for link in wait([*servers, *workers], timeout_s):
            if link in workers:
                self._hear_worker(workers[link])
        for link, server in servers.items():  # after the workers: their last words come first
            self._hear_server(link, server)
        self._look_at_clock()

    def _hear_worker(self, worker: Worker) -> None:
        try:
            while not worker.link.closed and worker.link.poll():
                self._take(worker, worker.link.recv())
        except (EOFError, OSError):
            worker.gone = True
            if worker.active is None:
                self._drop(worker)
            elif worker.server.process.poll() is not None or worker.server.link.closed:
                self._lose(worker, f"its process ended, and so did their server ({worker.server.last_words()})")

    def _take(self, worker: Worker, message: tuple[Any, ...]) -> None:
        active = worker.active
        match message:
            case ("began", number) if active and active.number == number:
                active.has_begun = True
                limit = active.job.timeout_s
                active.deadline = None if limit is None else time.monotonic() + limit
            case ("ended", number, done, known) if active and active.number == number:
                worker.goes = known["goes"]
                worker.server.learn(known["modules"])
                self._finish(worker, judged(active, done))
                if worker.goes or worker.server.link.closed:  # without its server, nobody could say how it ended
                    self._drop(worker)
                elif worker.slot >= self._slots:
                    self._dismiss(worker)

    def _hear_server(self, link: Connection, server: Server) -> None:
        try:
            while not link.closed and link.poll():
                match link.recv():
                    case ("ready",):
                        server.is_ready = True
                    case ("forked", name, pid):
                        if name in self._workers:
                            self._workers[name].pid = pid
                    case ("exited", name, status, why):
                        if name in self._workers:
                            self._bury(self._workers[name], status, why)
        except (EOFError, OSError):
            self._mourn(server)

    def _bury(self, worker: Worker, status: int | None, why: str) -> None:
        """A worker's process has ended. What it said before counts."""
        try:
            while worker.name in self._workers and worker.link.poll():
                self._take(worker, worker.link.recv())
        except (EOFError, OSError):
            pass
        if worker.name in self._workers:
            self._lose(worker, why or death(status))

    def _mourn(self, server: Server) -> None:
        """A server has ended: its workers save and end, and say so or not."""
        server.link.close()
        server.process.wait()
        if server is self._server:
            self._server = None
        if server not in self._retired:
            self._retired.append(server)
        for worker in [one for one in self._workers.values() if one.server is server]:
            if worker.gone or not worker.pid:
                self._lose(worker, f"the server of the workers ended ({server.last_words()})")
            elif worker.active is None:
                self._drop(worker)

    def _look_at_clock(self) -> None:
        now = time.monotonic()
        for worker in list(self._workers.values()):
            active = worker.active
            if active is not None and active.deadline is not None and now >= active.deadline:
                active.asked, active.deadline = active.asked or "timeout", None
                self._kill(worker)

    def _lose(self, worker: Worker, why: str) -> None:
        active = worker.active
        if active is not None:
            self._finish(worker, lost(active, why))
        self._drop(worker)

    def _finish(self, worker: Worker, ended: Ended) -> None:
        worker.active = None
        self._ended.append(ended)
