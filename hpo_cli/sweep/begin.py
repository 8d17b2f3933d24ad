"""A sweep's folder: made once, by whichever process is first, and opened by all others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hpo_cli.errors import ConfigError, UserError
from hpo_cli.record.atomic import sync_folder
from hpo_cli.record.folder import create_parent_folder
from hpo_cli.sweep.fold import Hears, SweepState
from hpo_cli.sweep.log import LOCK, SWEEP, FolderLog

CONF = "frozen"
"""Where the option files lie as they were when the sweep began."""
OWN = {SWEEP, LOCK, CONF}
"""What may lie in a folder that is about to become a sweep's: another process may be at it, too."""


def new_folder(outputs: str, name: str, *, at: str | None) -> Path:
    """A folder for a sweep: <outputs>/<name>/<six hex digits>, made for it alone, or `at`, which may exist.

    Raises ConfigError where it cannot be made.
    """
    if at is None:
        return create_parent_folder(outputs, name)
    folder = Path(at) if Path(at).name not in {"", ".."} else Path(at).resolve()  # its name is the sweep's
    _refuse_other_things(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)
    except OSError as error:
        rule = f"cannot be made ({error.strerror})"
        raise ConfigError("sweep.dir", at, rule=rule, fix="give another place") from error
    return folder


def read_anew(folder: Path, hears: Hears) -> tuple[SweepState, FolderLog]:
    """The sweep in `folder` once more, for somebody who is to hear everything that happened to it, in that order."""
    state, log = SweepState(folder, hears=hears), FolderLog(folder)
    with log.locked():
        state.replay(log.news())
    return state, log


def open_sweep(folder: Path, begin: Callable[[Path], Mapping[str, Any]] | None = None) -> tuple[SweepState, FolderLog]:
    """The sweep in `folder` and its log; begun with what `begin` gives where there is none yet.

    begin: writes what belongs into the folder and gives the fields of the `began` event. Of several processes that
    come at once one begins, and the others find it begun. Raises UserError where there is none to open.
    """
    if begin is None and not (folder / SWEEP).is_file():
        raise UserError(f"{folder}: no sweep lies there; `hpo-run ls` lists them, sweep.dir={folder} begins one")
    state, log = SweepState(folder), FolderLog(folder)
    try:
        with log.locked():
            state.replay(log.news())
            if not state.began and begin is not None:
                state.replay(log.append({"event": "began", "id": folder.name, **begin(folder)}))
    except OSError as error:
        rule = f"the log of the sweep cannot be written ({error.strerror})"
        raise UserError(f"{folder}: {rule}; give another place") from error
    if not state.began:
        raise UserError(f"{folder}: the beginning of its {SWEEP} is lost; begin another sweep")
    return state, log


def _refuse_other_things(folder: Path) -> None:
    """Raise ConfigError for a folder that is somebody else's."""
    try:
        found = [path.name for path in folder.iterdir() if path.name not in OWN]
    except FileNotFoundError:
        return
    except OSError as error:
        raise ConfigError("sweep.dir", str(folder), rule=f"is no folder ({error.strerror})") from error
    if found and not (folder / SWEEP).exists():
        rule = f"holds other things ({found[0]}), and no sweep"
        raise ConfigError("sweep.dir", str(folder), rule=rule, fix="give a new folder")
