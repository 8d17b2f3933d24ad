"""One thing at a time beside training, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Background:
    """Runs actions one after the other while the caller goes on. An error is raised at the caller's next call."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, action: Callable[[], None]) -> None:
        """Begin `action` once the one before is done."""
        self.join()
        thread = threading.Thread(target=self._run, args=(action,), name="checkpoint", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # a machine that gives no more threads
            action()
        else:
            self._thread = thread

    def join(self) -> None:
        """Return when nothing is under way."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()

    def check(self) -> None:
        """Raise what went wrong since the last call."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self, action: Callable[[], None]) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - it is raised in the caller's thread
            self._error = error
