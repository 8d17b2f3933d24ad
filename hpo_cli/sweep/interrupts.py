"""Ctrl-C and SIGTERM to a sweep: once, its trials save and end; twice, they end now."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class Interrupts:
    """Counts the signals that ask for the end."""

    def __init__(self) -> None:
        self.count = 0
        self.signum: int | None = None

    def install(self) -> None:
        """Take SIGINT and SIGTERM from now on, in the main thread."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self._note)

    @property
    def name(self) -> str:
        """What a person did."""
        return "Ctrl-C" if self.signum == signal.SIGINT else signal.Signals(self.signum or signal.SIGTERM).name

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells have it; 0 without one."""
        return 0 if self.signum is None else 128 + self.signum

    def _note(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - handler protocol
        self.count += 1
        self.signum = signum
