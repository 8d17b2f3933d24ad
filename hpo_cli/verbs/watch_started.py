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
from hpo_cli.verbs.watch import watch
from hpo_cli.verbs.watch_desk import run_reference

if TYPE_CHECKING:
    from pathlib import Path

CONSOLE = "console.log"
_LOOK_S = 0.1
_GRACE_S = 5.0


def watch_started(command: list[str], folder: Path) -> int:
    """Start `command`, which trains in the new folder `folder`, and watch it; the exit code.

    Until the folder is there, what the child says is shown; when it ends before, its exit code is given back. Then
    the screen: `q` leaves it training, and how to look again is printed. What it says goes on in
    `folder`/console.log. Without a terminal the command simply runs. Raises RunFailedError.
    """
    if not can_take_over():
        return subprocess.run(command, check=False).returncode  # noqa: S603 - our own command
    log = folder.with_name(f"{folder.name}.console")
    child = _started(command, log)
    try:
        _show_until_there(child, folder, log)
    except BaseException:
        _end(child)
        raise
    if not is_run(folder):
        return _code(child)
    log.rename(folder / CONSOLE)  # the child goes on writing to it
    code = watch(folder)
    if child.poll() is not None:
        return _told_end(child, folder)
    _say(folder)
    return code


def _started(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """The child, in a session of its own: no Ctrl-C and no closed terminal reaches it."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("xb") as file:
            return subprocess.Popen(  # noqa: S603 - our own command
                command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )
    except OSError as error:
        raise RunFailedError(f"{log}: the training could not be started ({error.strerror})") from error


def _show_until_there(child: subprocess.Popen[bytes], folder: Path, log: Path) -> None:
    shown = 0
    while True:
        is_over = is_run(folder) or child.poll() is not None
        shown += _show(log, shown)
        if is_over:
            break
        time.sleep(_LOOK_S)
    if not is_run(folder):
        log.unlink(missing_ok=True)


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


def _told_end(child: subprocess.Popen[bytes], folder: Path) -> int:
    """What the child said at the end, and its exit code."""
    _show(folder / CONSOLE, 0)
    return _code(child)


def _say(folder: Path) -> None:
    name = run_reference(folder)
    rows = [
        ("training goes on", str(folder)),
        ("look again", f"hpo-run watch {name}"),
        ("end it", f"hpo-run stop {name}"),
    ]
    write([line(Span(f"{label:<18}", "dim"), text) for label, text in rows])
