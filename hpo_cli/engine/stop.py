"""A polite stop: Ctrl-C and SIGTERM set a flag that the loop reads between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType

HANDLED = (signal.SIGINT, signal.SIGTERM)


class StoppedError(Exception):
    """The run was asked to stop and its state is on disk. `exit_code` is 128 + the signal's number."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum
        self.exit_code = 128 + signum


class StopFlag:
    """Which signal asked for a stop, None so far. A second Ctrl-C interrupts at once.

    It raises StoppedError: Lightning turns a KeyboardInterrupt into exit code 1.
    """

    def __init__(self) -> None:
        self.signum: int | None = None

    def install(self) -> None:
        """Take SIGINT and SIGTERM, in the main thread; elsewhere the caller's handlers stay."""
        if threading.current_thread() is threading.main_thread():
            for number in HANDLED:
                signal.signal(number, self._note)

    def _note(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - handler protocol
        if self.signum == signal.SIGINT == signum:
            raise StoppedError(signum)
        self.signum = signum
