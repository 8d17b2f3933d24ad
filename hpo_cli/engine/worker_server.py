"""The process that workers are forked from: it imports what runs need, once, and does nothing else.

It runs no parallel operation and touches no GPU, since a fork would inherit neither. Started by
hpo_cli.sweep.executors.server_link, which says through a connection what it wants:

("fork", worker, most) with the worker's end of a connection behind it, ("kill", worker), ("learn", modules).
It answers ("ready",), ("forked", worker, pid), ("exited", worker, status of waitpid or None, why).
Without anybody at the other end, it waits until its workers have saved and ended, and ends.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import reduction
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from hpo_cli.engine.worker_task import GRACE_S

NEEDED = (
    *("hpo_cli.engine.worker", "hpo_cli.engine.run", "hpo_cli.engine.loggers", "hpo_cli.components.mixing"),
    *("hpo_cli.components.data.bundled", "hpo_cli.components.optimizers.per_tensor", "hpo_cli.components.dropout"),
    *("torch.optim", "torch.optim.adam", "torch.optim.adamw", "torch.optim.sgd", "torch.utils.data"),
)
"""Imported before the first fork, whatever the plan is."""

_KEPT_OUT = ("torch._inductor", "triton", "tensorflow", "jax", "__")
"""Never imported beforehand: they start threads, or look for a GPU."""


def main(descriptor: int, *, modules: Sequence[str] = (), check: str = "") -> None:
    """Serve the connection until its other end is closed. check: `module:function` that tells whether a config is one.

    modules: what the runs to come are likely to need.
    """
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    server = Server(Connection(descriptor))
    checker = _prepare(modules, check)
    server.serve(checker)


def _prepare(modules: Sequence[str], check: str) -> Callable[..., Any] | None:
    module, _, function = check.partition(":")
    checker: Callable[..., Any] | None = getattr(importlib.import_module(module), function) if check else None
    for name in NEEDED:
        importlib.import_module(name)
    learn(modules)
    import torch

    from hpo_cli.engine.worker_keep import remember_entry_points
    from hpo_cli.record.start import remember_environment

    torch.set_num_threads(1)
    remember_entry_points()
    remember_environment()
    gc.collect()
    gc.freeze()  # a fork's collections need not walk through all that was imported, nor copy its pages
    return checker


def learn(modules: Sequence[str]) -> None:
    """Import what a run has needed, so that later forks have it. A fork without one imports it for itself."""
    for name in modules:
        if name not in sys.modules and not name.startswith(_KEPT_OUT) and _is_installed(name):
            with warnings.catch_warnings(), suppress(Exception):
                warnings.simplefilter("ignore")
                importlib.import_module(name)


def _is_installed(name: str) -> bool:
    """Whether it is of a package that is here anyway: code of the user's own is left to the runs."""
    package = sys.modules.get(name.partition(".")[0])
    return name.startswith("hpo_cli.") or "site-packages" in str(getattr(package, "__file__", ""))


class Server:
    """Forks workers and tells how they ended."""

    def __init__(self, link: Connection) -> None:
        self._link = link
        self._pids: dict[int, int] = {}
        self._woken, self._wakes = os.pipe()
        for end in (self._woken, self._wakes):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)

    def serve(self, check: Callable[..., Any] | None) -> None:
        """Return when the other end is closed and the last worker has ended."""
        self._check = check
        self._say("ready")
        while True:
            for found in wait([self._link, self._woken]):
                if found is self._link:
                    if not self._hear():
                        self._see_off()
                        return
                else:
                    self._reap()

    def _hear(self) -> bool:
        try:
            message = self._link.recv()
        except (EOFError, OSError):
            return False
        match message:
            case ("fork", worker, most):
                self._fork(worker, most)
            case ("kill", worker):
                self._kill(worker)
            case ("learn", modules):
                learn(modules)
                gc.freeze()
        return True

    def _fork(self, worker: int, most: int) -> None:
        descriptor = reduction.recv_handle(self._link)
        parent = os.getpid()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # threads of a library at rest
                pid = os.fork()
        except OSError as error:
            os.close(descriptor)
            self._say("exited", worker, None, f"no process can be started: {error.strerror}")
            return
        if pid == 0:
            self._become(descriptor, most=most, parent=parent)
        os.close(descriptor)
        self._pids[worker] = pid
        self._say("forked", worker, pid)

    def _become(self, descriptor: int, *, most: int, parent: int) -> None:
        from hpo_cli.engine.worker import run_forked

        signal.set_wakeup_fd(-1)
        for own in (self._link.fileno(), self._woken, self._wakes):
            os.close(own)
        run_forked(Connection(descriptor), most=most, parent=parent, check=self._check)

    def _kill(self, worker: int) -> None:
        pid = self._pids.get(worker)
        if pid is not None:
            for other in [*descendants(pid), pid]:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(other, signal.SIGKILL)
            _kill_group(pid)

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            while os.read(self._woken, 512):
                pass
        for worker, pid in list(self._pids.items()):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                continue
            _kill_group(pid)  # loader workers notice late by themselves
            status = os.waitpid(pid, 0)[1]
            del self._pids[worker]
            self._say("exited", worker, status, "")

    def _see_off(self) -> None:
        """The workers have seen it too, and save; what does not end is ended."""
        until = time.monotonic() + GRACE_S + 10
        while self._pids:
            wait([self._woken], timeout=max(0.0, until - time.monotonic()))
            self._reap()
            if time.monotonic() > until:
                for worker in self._pids:
                    self._kill(worker)
                until = time.monotonic() + 1

    def _say(self, *message: object) -> None:
        with suppress(OSError):
            self._link.send(message)


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Processes that a process has started, and theirs, whatever session they are in (on Linux)."""
    children = [int(word) for path in Path(f"/proc/{pid}/task").glob("*/children") for word in _words(path)]
    return [*children, *(other for child in children for other in descendants(child))]


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
