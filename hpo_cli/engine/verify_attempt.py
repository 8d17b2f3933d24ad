"""One attempt of a verification: a run in a fork of this process, killed on the way or left to end."""

from __future__ import annotations

import ctypes
import importlib
import multiprocessing
import os
import random
import secrets
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from pathlib import Path

import numpy as np
import torch

from hpo_cli.engine.verify_moments import Board, Moment, arm, report_steps
from hpo_cli.engine.verify_ranks import fork_ranks
from hpo_cli.errors import RunFailedError

Action = Callable[[], int]
"""Trains; gives the exit code."""

LEFT_OVER_S = 30.0
"""How long the other processes of a killed run may take to see that it is gone."""

_POLL_S = 0.0005
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of Linux


@dataclass(frozen=True)
class Kill:
    """When a run dies. moment: the place where it dies by itself, or None for a time.

    at_step: not before so many steps.   delay_s: how long after that, when it is a time.
    """

    at_step: int
    moment: Moment | None = None
    name: str = "a random time"
    delay_s: float = 0.0


@dataclass(frozen=True)
class Ended:
    """How an attempt ended. start: the step that it went on from; step: the last one that it reached; -1: none."""

    exit_code: int
    start: int
    step: int
    seconds: float

    @property
    def killed(self) -> bool:
        """Whether it was the kill that ended it."""
        return self.exit_code == -signal.SIGKILL


@contextmanager
def adopting_orphans() -> Iterator[None]:
    """Inside, the processes that a killed run leaves behind become ours, so that none is overlooked (on Linux)."""
    _adopt(1)
    try:
        yield
    finally:
        _adopt(0)


def _adopt(switch: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SUBREAPER, switch, 0, 0, 0)


def attempt(action: Action, *, output: Path, kill: Kill | None = None) -> Ended:
    """Run `action` in a fork, which prints to `output`, and kill it. Returns when nothing of it is left.

    Raises RunFailedError when one of its processes lives on.
    """
    board, others = Board(), set(_children())
    process = multiprocessing.get_context("fork").Process(target=_child, args=(action, output, kill, board))
    process.start()
    try:
        if kill is not None and kill.moment is None:
            _kill_in_time(process, kill, board)
        process.join()
    finally:
        _end_group(process)
    _await_left_over(others)
    return Ended(process.exitcode or 0, board.start, board.step, board.seconds)


def learn_imports(action: Action, listing: Path) -> Action:
    """`action`, and then a list in `listing` of the modules that it needed."""

    def act() -> int:
        code = action()
        listing.write_text("\n".join(sys.modules), encoding="utf-8")
        return code

    return act


def import_learnt(listing: Path) -> None:
    """Import what an action needed, so that later forks have it; compilers, which start threads, stay out."""
    for name in listing.read_text(encoding="utf-8").splitlines():
        if name not in sys.modules and not name.startswith(("torch._inductor", "triton", "__")):
            with warnings.catch_warnings(), suppress(Exception):  # a fork without it imports it for itself
                warnings.simplefilter("ignore")
                importlib.import_module(name)


def _child(action: Action, output: Path, kill: Kill | None, board: Board) -> None:
    os.setsid()
    with output.open("ab") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    _forget_common_randomness()
    fork_ranks()
    board.own()
    report_steps(board)
    if kill is not None and kill.moment is not None:
        arm(kill.moment, board=board, at_step=kill.at_step)
    sys.exit(action())


def _forget_common_randomness() -> None:
    """Give this fork random generators of its own: a run that forgot to seed one must not look exact."""
    torch.manual_seed(secrets.randbits(60))
    random.seed(secrets.randbits(60))
    np.random.seed(secrets.randbits(32))  # noqa: NPY002 - the generator that libraries share


def _kill_in_time(process: ForkProcess, kill: Kill, board: Board) -> None:
    while board.start < 0 or board.step < kill.at_step:
        if wait([process.sentinel], timeout=_POLL_S):
            return
    if not wait([process.sentinel], timeout=kill.delay_s):
        process.kill()


def _end_group(process: ForkProcess) -> None:
    """End what is in the session of a run that is over: loader workers notice it late by themselves."""
    if process.pid is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.join()


def _await_left_over(others: set[int]) -> None:
    """Wait until the processes that a run started in sessions of their own are gone. others: those of other work."""
    until = time.monotonic() + LEFT_OVER_S
    while left := set(_children()) - others:
        for pid in left:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > until:
            text = ", ".join(f"{pid} ({_command(pid)})" for pid in left)
            raise RunFailedError(f"a run was killed, and {LEFT_OVER_S:.0f} s later its processes live on: {text}")
        time.sleep(0.01)


def _children() -> list[int]:
    """Processes that have this one as their parent (on Linux)."""
    found = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return [int(word) for path in found for word in path.read_text().split()]


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return "?"
