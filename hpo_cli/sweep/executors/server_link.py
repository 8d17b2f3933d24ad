"""This side of the server that forks workers: starts it, asks it for workers, hears how they ended. No torch."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any

CHECK = "hpo_cli.validate:plan_from_config"
"""What tells a running worker whether a config that somebody wants to change its run to is one."""

_CODE = (
    "import sys; sys.path[:] = {path!r}; from hpo_cli.engine.worker_server import main; "
    "main({descriptor}, modules={modules!r}, check={check!r})"
)


class Server:
    """A server process. It begins to import at once, and takes what it is asked for meanwhile when it is ready."""

    def __init__(self, *, plan: Mapping[str, Any] | None = None) -> None:
        ours, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the server lives
        code = _CODE.format(path=sys.path, descriptor=theirs.fileno(), modules=likely_modules(plan), check=CHECK)
        self.process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=self._errors,
            stderr=self._errors,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C is for whoever drives the sweep
        )
        theirs.close()
        self.link = Connection(ours.detach())
        self.is_ready = False
        self._learnt: set[str] = set()

    def fork(self, worker: int, *, most: int) -> Connection:
        """The connection to a new worker, which is told what comes through it once it lives. most: tasks."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._say("fork", worker, most)
            with suppress(OSError):
                reduction.send_handle(self.link, theirs.fileno(), self.process.pid)
        return Connection(ours.detach())

    def kill(self, worker: int) -> None:
        """End a worker now, with all that it has started."""
        self._say("kill", worker)

    def learn(self, modules: Iterable[str]) -> None:
        """Have modules imported for the forks to come."""
        new = [name for name in modules if name not in self._learnt]
        self._learnt.update(new)
        if new:
            self._say("learn", new)

    def close(self) -> None:
        """Let it go once its workers have ended; at once while it has none."""
        if not self.is_ready:
            self.process.kill()
        self.link.close()

    def join(self) -> None:
        """Return when its process has ended."""
        self.process.wait()
        self._errors.close()

    def last_words(self) -> str:
        """How it ended, and the last line that it printed."""
        code = self.process.poll()
        if code is not None and code < 0:
            return f"killed by signal {-code}"
        if self._errors.closed:
            return f"exit code {code}"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {code}, without a word"

    def _say(self, *message: object) -> None:
        with suppress(OSError):  # it has ended, as the next look at its connection tells
            self.link.send(message)


def likely_modules(plan: Mapping[str, Any] | None) -> list[str]:
    """The modules that hold a plan's components."""
    sections = plan.values() if plan else ()
    targets = [section.get("_target_") for section in sections if isinstance(section, Mapping)]
    return sorted({str(target).rpartition(".")[0] for target in targets if target and "." in str(target)})
