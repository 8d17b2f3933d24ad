"""`hpo-run ... watch=true`: training as a process of its own, watched from here, which goes on when nobody looks."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

from hpo_cli.console.output import Span, line, write
from hpo_cli.console.screen import can_take_over
from hpo_cli.errors import RunFailedError
from hpo_cli.record.folder import is_run
from hpo_cli.record.lease_file import CONTROL, generations
from hpo_cli.verbs.watch import watch
from hpo_cli.verbs.watch_desk import run_reference

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CONSOLE = "console.log"
PROGRAM = (sys.executable, "-m", "hpo_cli.cli")
_LOOK_S = 0.1
_GRACE_S = 5.0
_LAST_LINES = 12


def watch_started(words: Sequence[str], folder: Path, *, program: Sequence[str] = PROGRAM) -> int:
    """Start `hpo-run` with `words`, which trains in `folder`, and watch it; the exit code.

    Until it trains, what the child says is shown; when it ends before, its exit code is given back. Then the screen:
    `q` leaves it training, and how to look again is printed. What it says goes on in `folder`/console.log. Without a
    terminal the command simply runs. program: what the words are for. Raises RunFailedError.
    """
    command = [*program, *words]
    if not can_take_over():
        return _simply_run(command)
    before = _generation(folder)
    own = folder / CONSOLE
    log = own if is_run(folder) else folder.with_name(f"{folder.name}.console")
    start = log.stat().st_size if log.exists() else 0
    child = _started(command, log)
    try:
        is_there = _show_until_there(child, folder, log, start=start, before=before)
    except BaseException:
        _end(child)
        raise
    if log != own:
        log.rename(own) if is_run(folder) else log.unlink(missing_ok=True)  # the child goes on writing to it
    if not is_there:
        return _code(child)
    code = watch(folder)
    if child.poll() is not None:
        return _told_end(child, own, start)
    _say(folder)
    return code


def _simply_run(command: list[str]) -> int:
    try:
        code = subprocess.run(command, check=False).returncode  # noqa: S603 - our own command
    except OSError as error:
        raise _not_started(command, error) from error
    return 128 - code if code < 0 else code


def _started(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """The child, in a session of its own: no Ctrl-C and no closed terminal reaches it."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        file = log.open("ab")
    except OSError as error:
        raise RunFailedError(f"{log}: cannot be written ({error.strerror}); nothing was started") from error
    with file:
        try:
            return subprocess.Popen(  # noqa: S603 - our own command
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            raise _not_started(command, error) from error


def _not_started(command: list[str], error: OSError) -> RunFailedError:
    return RunFailedError(f"{command[0]}: the training could not be started ({error.strerror})")


def _generation(folder: Path) -> int:
    """How often somebody has taken the run to train it."""
    return max(generations(folder / CONTROL), default=0)


def _show_until_there(child: subprocess.Popen[bytes], folder: Path, log: Path, *, start: int, before: int) -> bool:
    """Show what the child says until it trains (True) or ends without having begun (False)."""
    shown = start
    while True:
        is_over = child.poll() is not None
        is_there = is_run(folder) and _generation(folder) > before
        shown += _show(log, shown)
        if is_over or is_there:
            return is_there
        time.sleep(_LOOK_S)


def _show(log: Path, start: int) -> int:
    """Print what a file has from byte `start` on; how many bytes that was."""
    with log.open("rb") as file:
        file.seek(start)
        content = file.read()
    if content:
        sys.stderr.write(content.decode("utf-8", "replace"))
        sys.stderr.flush()
    return len(content)


def _end(child: subprocess.Popen[bytes]) -> None:
    """A run that has not begun is not left behind."""
    child.terminate()
    try:
        child.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _code(child: subprocess.Popen[bytes]) -> int:
    code = child.wait()
    return 128 - code if code < 0 else code


def _told_end(child: subprocess.Popen[bytes], log: Path, start: int) -> int:
    """The last lines of what the child said, and its exit code."""
    with log.open("rb") as file:
        file.seek(start)
        last = file.read().splitlines(keepends=True)[-_LAST_LINES:]
    sys.stderr.write(b"".join(last).decode("utf-8", "replace"))
    sys.stderr.flush()
    return _code(child)


def _say(folder: Path) -> None:
    name = run_reference(folder)
    rows = [
        ("training goes on", str(folder)),
        ("look again", f"hpo-run watch {name}"),
        ("end it", f"hpo-run stop {name}"),
    ]
    write([line(Span(f"{label:<18}", "dim"), text) for label, text in rows])
