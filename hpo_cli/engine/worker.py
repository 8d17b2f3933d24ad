"""A worker process, forked from a server that has everything imported: trains run after run, or a single one.

It obeys the process at the other end of its connection alone: Ctrl-C in the terminal does not reach it. When that
process is gone, it lets its run save and end, and goes too.

Messages to it: ("task", number, fields), ("stop", number), ("quit",).
Its own: ("began", number), ("ended", number, fields of Done, what it knows of itself).
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

from hpo_cli.engine.stop import StopFlag
from hpo_cli.engine.worker_job import do
from hpo_cli.engine.worker_keep import KeptSplits, Surface, resident_bytes
from hpo_cli.engine.worker_task import GRACE_S, OUTPUT, Done, task_from
from hpo_cli.plan import RunPlan

MOST_TASKS = 200
"""So many runs, and a worker makes room for a fresh one."""

GROWTH_BYTES = 500 << 20
"""A worker goes, too, once it has more than twice the memory of its first run and so much more."""

_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux


class ToldFlag(StopFlag):
    """Set by SIGTERM, or by whoever has asked for this run. Ctrl-C is none of its business."""

    def install(self) -> None:
        """Take SIGTERM; see StopFlag."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._note)

    def tell(self) -> None:
        """Ask for a stop, as SIGTERM does."""
        self.signum = signal.SIGTERM


class Worker:
    """Does the tasks that come through a connection, one after the other, in this process's main thread."""

    def __init__(self, link: Connection, *, check: Callable[..., RunPlan] | None = None) -> None:
        self._link, self._check = link, check
        self._tasks: queue.SimpleQueue[tuple[int, Mapping[str, Any]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._number, self._flag = 0, ToldFlag()
        self._stopped: set[int] = set()
        self._is_alone = False
        self._load, self._surface = KeptSplits(), Surface()
        self._num_done = self._first_bytes = 0

    def serve(self, *, most: int = MOST_TASKS) -> None:
        """Return when told to, when nobody is there to tell, or when a fresh process is the better one."""
        threading.Thread(target=self._listen, name="link", daemon=True).start()
        while (next_task := self._tasks.get()) is not None:
            number, sent = next_task
            with self._lock:
                self._number, self._flag = number, ToldFlag()
                if number in self._stopped or self._is_alone:
                    self._flag.tell()
            self._flag.install()
            self._say("began", number)
            done = self._do(sent)
            self._stopped.discard(number)
            self._num_done += 1
            goes = done.status == "failed" or self._num_done >= most or self._has_grown()
            self._say("ended", number, asdict(done), {"goes": goes, "modules": _learnt()})
            if goes:
                return
            self._surface.restore()  # while whoever waits decides what comes next

    def _do(self, sent: Mapping[str, Any]) -> Done:
        task = task_from(sent)
        if task.gpu is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = task.gpu
        with _Output() as output:
            return do(task, stop=self._flag, check=self._check, load=self._load, ready=output.open)

    def _has_grown(self) -> bool:
        now = resident_bytes()
        self._first_bytes = self._first_bytes or now
        return now > 2 * self._first_bytes + GROWTH_BYTES

    def _say(self, *message: object) -> None:
        with suppress(OSError):  # nobody is there: the listener has seen it
            self._link.send(message)

    def _listen(self) -> None:
        try:
            while True:
                self._obey(self._link.recv())
        except (EOFError, OSError):
            self._go_alone()

    def _obey(self, message: tuple[Any, ...]) -> None:
        match message:
            case ("task", number, sent):
                self._tasks.put((number, sent))
            case ("stop", number):
                with self._lock:
                    self._stopped.add(number)
                    if number == self._number:
                        self._flag.tell()
            case ("quit",):
                self._tasks.put(None)

    def _go_alone(self) -> None:
        """Nobody is there any more: let the run save, and leave nothing behind."""
        with self._lock:
            self._is_alone = True
            self._flag.tell()
        self._tasks.put(None)
        time.sleep(GRACE_S)
        os.killpg(0, signal.SIGKILL)


class _Output:
    """What a run prints goes nowhere until there is a folder, then into its `worker.log`; an empty one is removed."""

    def __init__(self) -> None:
        self._path: Path | None = None

    def __enter__(self) -> Self:
        return self

    def open(self, folder: Path) -> None:
        self._path = folder / OUTPUT
        _print_to(self._path)

    def __exit__(self, *error: object) -> None:
        _print_to(Path(os.devnull))
        if self._path is not None:
            with suppress(OSError):
                if not self._path.stat().st_size:
                    self._path.unlink()


def _print_to(path: Path) -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    for number in (1, 2):
        os.dup2(descriptor, number)
    os.close(descriptor)


_known_modules: set[str] = set()


def _learnt() -> list[str]:
    """Modules that were imported since this was asked for the last time."""
    names = set(sys.modules) - _known_modules
    _known_modules.update(names)
    return sorted(names)


def run_forked(link: Connection, *, most: int, parent: int, check: Callable[..., RunPlan] | None) -> None:
    """All of a forked process's life; does not return.

    most: so many tasks.   parent: the process that forked it: when that one dies, this one's run saves and ends.
    """
    code = 0
    try:
        atexit._clear()  # noqa: SLF001 - the server's are not ours
        os.setsid()
        _die_with(parent)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _print_to(Path(os.devnull))
        gc.enable()
        _known_modules.update(sys.modules)
        Worker(link, check=check).serve(most=most)
        atexit._run_exitfuncs()  # noqa: SLF001 - os._exit leaves them out
    except BaseException:  # noqa: BLE001 - what is left is to say so by the exit code
        code = 1
    finally:
        os._exit(code)


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
