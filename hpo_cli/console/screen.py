"""A terminal taken over for a while: frames drawn without flicker, keys read without waiting, and all given back."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, TextIO

from hpo_cli.console.keys import keys_in
from hpo_cli.console.layout import merged
from hpo_cli.console.output import Line, can_draw, console, encodable, is_coloured, is_terminal

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"  # another screen, no cursor, no wrapping
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[0m\x1b[?1049l"
_SMALLEST = os.terminal_size((20, 4))


class TerminatedError(Exception):
    """The program was told to end by a signal."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


def can_take_over() -> bool:
    """Whether standard input and output are a terminal that can show a screen."""
    try:
        import termios  # noqa: F401 - not everywhere
    except ImportError:
        return False
    return is_terminal() and sys.stdin is not None and sys.stdin.isatty()


@contextmanager
def screen() -> Iterator[Screen]:
    """The terminal as a screen; as it was before when the block ends, however it ends, and while it is stopped.

    Raises TerminatedError in the block for SIGTERM and SIGHUP.
    """
    own = Screen(sys.stdin.fileno(), sys.stdout)
    with own.signals():
        own.enter()
        try:
            yield own
        finally:
            own.leave()


class Screen:
    """Made by `screen`. draws, colours: what the terminal can show."""

    def __init__(self, keyboard: int, out: TextIO) -> None:
        self._keyboard, self._out = keyboard, out
        self._old: list[Any] | None = None
        self._shown: list[Line] = []
        self._forgotten = 0
        self._wakeup, self._alarm = os.pipe()
        for descriptor in (self._wakeup, self._alarm):
            os.set_blocking(descriptor, False)
        self.draws, self.colours = can_draw(out), is_coloured(out)

    def enter(self) -> None:
        """Take the terminal."""
        import termios
        import tty

        self._old = termios.tcgetattr(self._keyboard)
        tty.setcbreak(self._keyboard, termios.TCSANOW)
        self._write(_ENTER)
        self.forget()

    def leave(self) -> None:
        """Give it back; twice is harmless."""
        if self._old is None:
            return
        import termios

        old, self._old = self._old, None
        with contextlib.suppress(OSError, termios.error):  # the terminal itself may be gone
            self._write(_LEAVE)
            termios.tcsetattr(self._keyboard, termios.TCSANOW, old)

    @property
    def size(self) -> os.terminal_size:
        """Columns and lines now."""
        try:
            found = os.get_terminal_size(self._out.fileno())
        except OSError:
            return os.terminal_size((80, 24))
        return os.terminal_size((max(_SMALLEST.columns, found.columns), max(_SMALLEST.lines, found.lines)))

    def draw(self, lines: Sequence[Line]) -> None:
        """Show a frame: only lines that changed are sent, all in one piece."""
        wanted, forgotten = [merged(one) for one in lines], self._forgotten
        changed = [(row, one) for row, one in enumerate(wanted) if row >= len(self._shown) or self._shown[row] != one]
        if len(self._shown) != len(wanted):  # another size: what was there may be anywhere
            changed = list(enumerate(wanted))
        texts = self._rendered([one for _, one in changed])
        parts = [f"\x1b[{row + 1};1H\x1b[2K{text}" for (row, _), text in zip(changed, texts, strict=True)]
        if parts:
            self._write("".join(parts))
        self._shown = wanted if forgotten == self._forgotten else []  # a signal may have come in between

    def forget(self) -> None:
        """Draw everything the next time: the terminal has changed."""
        self._shown = []
        self._forgotten += 1

    def keys(self, wait_s: float) -> list[str]:
        """The keys pressed; waits for the first one at most so long, less when a signal comes. Raises EOFError."""
        ready, _, _ = select.select([self._keyboard, self._wakeup], [], [], wait_s)
        if self._wakeup in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wakeup, 4096)
        if self._keyboard not in ready:
            return []
        content = os.read(self._keyboard, 4096)
        if not content:
            raise EOFError("the terminal is gone")
        return keys_in(content)

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Handle what concerns a terminal; the handlers of before are back afterwards."""
        handlers = {
            signal.SIGWINCH: lambda *_: self.forget(),
            signal.SIGTSTP: self._stop,
            signal.SIGCONT: lambda *_: self.forget(),
            signal.SIGTERM: _terminate,
            signal.SIGHUP: _terminate,
        }
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        old_wakeup = signal.set_wakeup_fd(self._alarm, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(old_wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            for descriptor in (self._wakeup, self._alarm):
                os.close(descriptor)

    def _stop(self, number: int, _: FrameType | None) -> None:
        """Ctrl-Z: the terminal is the shell's until `fg`."""
        self.leave()
        handler = signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, handler)
        self.enter()

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()

    def _rendered(self, lines: Sequence[Line]) -> list[str]:
        from rich.text import Text

        target = console(self._out)
        with target.capture() as captured:
            for one in lines:
                spans = [(encodable(span.text, self._out), span.style) for span in one]
                target.print(Text.assemble(*spans), soft_wrap=True)
        return captured.get().split("\n")[: len(lines)]


def _terminate(number: int, _: FrameType | None) -> None:
    raise TerminatedError(number)
