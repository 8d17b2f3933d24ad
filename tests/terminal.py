"""A terminal for a command under test: keys go in, what is on the screen comes out."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ENTERED, LEFT = "\x1b[?1049h", "\x1b[?1049l"
_SEQUENCE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")
PATIENCE_S = 30.0


class Terminal:
    """What a child sees as its terminal, and what it has drawn there."""

    def __init__(self, command: list[str], *, columns: int = 80, lines: int = 24, **options: str | Path) -> None:
        self._own, child = pty.openpty()
        self._child = child  # kept open: its settings are looked at, and no end of file comes early
        self.resize(columns, lines)
        self.before = termios.tcgetattr(child)
        variables = {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": "1"}
        environment = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS", "LINES")}
        where = options.pop("cwd", None)
        self.process = subprocess.Popen(
            command, stdin=child, stdout=child, stderr=child, cwd=where, start_new_session=True,
            env={**environment, **variables, **{key: str(value) for key, value in options.items()}},
        )  # fmt: skip
        self.raw = ""

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._own, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    @property
    def settings(self) -> list[object]:
        return termios.tcgetattr(self._child)

    def press(self, keys: str) -> None:
        os.write(self._own, keys.encode())

    def read(self, wait_s: float = 0.05) -> None:
        ready, _, _ = select.select([self._own], [], [], wait_s)
        if ready:
            with contextlib.suppress(OSError):
                self.raw += os.read(self._own, 1 << 16).decode("utf-8", "replace")

    def screen(self) -> list[str]:
        """The lines on the screen now: only what this project sends is understood."""
        rows: dict[int, str] = {}
        row, last = 1, 0
        content = self.raw.rpartition(ENTERED)[2]
        for found in _SEQUENCE.finditer(content):
            rows[row] = rows.get(row, "") + content[last : found.start()]
            last = found.end()
            numbers, letter = found.groups()
            if letter == "H":
                row = int(numbers.partition(";")[0])
            elif (numbers, letter) == ("2", "K"):
                rows[row] = ""
        rows[row] = rows.get(row, "") + content[last:]
        return [rows.get(k, "").rstrip() for k in range(1, max(rows) + 1)]

    def wait(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            shown = "\n".join(self.screen())
            assert time.monotonic() < deadline, f"never came: {what}\n{shown}"
            self.read()

    def see(self, text: str) -> None:
        """Returns when the text is on the screen."""
        self.wait(lambda: any(text in line for line in self.screen()), text)

    def end(self) -> int:
        """The exit code, when all that was said is read."""
        self.wait(lambda: self.process.poll() is not None, "the end")
        self.read(0.2)
        return self.process.wait()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._own)
        os.close(self._child)


@contextmanager
def terminal(command: list[str], *, columns: int = 80, lines: int = 24, **options: str | Path) -> Iterator[Terminal]:
    """A terminal in which `command` runs. options: environment variables, and cwd."""
    own = Terminal(command, columns=columns, lines=lines, **options)
    try:
        yield own
    finally:
        own.close()
