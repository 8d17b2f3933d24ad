"""The files of a lease, control/lease-<n>.json: numbered, made once, replaced by their makers alone.

Whoever makes number n + 1 takes over from number n. Reading them needs no clock of another machine.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hpo_cli.record.contents import count, mapping, text
from hpo_cli.record.folder import CONTROL
from hpo_cli.record.jsonl import encode, parse
from hpo_cli.record.process import Process, life_of

Standing = Literal["alive", "dead", "released", "unknown"]
_NAME = re.compile(r"lease-(\d{8,18})\.json")
_TEMPORARY = ".lease-"
_SIZE = 2048  # bytes
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES, errno.EMLINK}


@dataclass(frozen=True)
class LeaseState:
    """The newest lease of a run's folder, as it was read.

    standing: `alive`, `dead` (the holder's process is gone), `released`, or `unknown`: on another machine, in another
    container, or no content that can be read.   beat: a counter that a living holder raises every few seconds.
    since: when the lease was taken, by the holder's clock.   age_s: since the last beat, by the clocks of the file
    system and of this machine: to show, not to decide by.   fields: what the holder says of its work.
    """

    generation: int
    standing: Standing
    holder: Process
    since: str = ""
    token: str = ""
    beat: int = 0
    age_s: float = 0.0
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_paused(self) -> bool:
        """Whether the holder said that it waits."""
        return self.fields.get("status") == "paused"


def read_lease(folder: Path | str) -> LeaseState | None:
    """The newest lease of a run's folder; None where there was never one. Raises nothing."""
    control = os.fspath(folder) + os.sep + CONTROL
    newest = max(generations(control), default=0)
    return read_generation(control, newest) if newest else None


def generations(control: Path | str) -> list[int]:
    """The numbers of all lease files in a folder, which need not exist."""
    try:
        with os.scandir(control) as entries:
            names = [_NAME.fullmatch(entry.name) for entry in entries]
    except OSError:
        return []
    return [int(found[1]) for found in names if found]


def read_generation(control: Path | str, generation: int) -> LeaseState:
    """One lease file. What cannot be read has an unknown holder."""
    content, age_s = _read(lease_path(control, generation))
    value = parse(content) or {}
    said = mapping(value.get("holder"))
    holder = Process(
        host=text(said.get("host")),
        pid=count(said.get("pid")) or 0,
        boot=text(said.get("boot")),
        namespace=text(said.get("namespace")),
        start=text(said.get("start")),
    )
    return LeaseState(
        generation=generation,
        standing="released" if value.get("released") is True else life_of(holder),
        holder=holder,
        since=text(value.get("since")),
        token=text(value.get("token")),
        beat=count(value.get("beat")) or 0,
        age_s=age_s,
        fields=mapping(value.get("fields")),
    )


def lease_path(control: Path | str, generation: int) -> Path:
    """Where the lease of a generation lies."""
    return Path(control) / f"lease-{generation:08d}.json"


def make_exclusively(path: Path, content: Mapping[str, Any]) -> bool:
    """Whether this call made `path`; of many that try, on whatever machines, one does. Raises OSError.

    By a hard link of a whole file, which is atomic over NFS as well; where there are none, by O_EXCL.
    """
    temporary = _write_temporary(path, content)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return _holds(path, content)  # the answer of a server may be lost, and the question asked again
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _make_by_flag(path, content)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def replace_lease(path: Path, content: Mapping[str, Any]) -> None:
    """Puts `content` in the place of `path` in one step; on a full disk, over its bytes. Raises OSError."""
    try:
        temporary = _write_temporary(path, content)
    except OSError:
        with path.open("r+b") as file:
            file.write(_padded(content))
        return
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def look_anew(control: Path) -> None:
    """Changes the folder, so that a network file system's cache of it is read again. Raises nothing."""
    with contextlib.suppress(OSError):
        probe = control / f"{_TEMPORARY}{secrets.token_hex(4)}.look"
        probe.touch()
        probe.unlink()


def remove_before(control: Path, generation: int) -> None:
    """Removes older leases, and files that a killed process left half done. Raises nothing."""
    for old in generations(control):
        if old < generation:
            with contextlib.suppress(OSError):
                lease_path(control, old).unlink()
    for left in control.glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > 3600:  # noqa: PLR2004 - an hour: nobody works on it still
                left.unlink()


def _write_temporary(path: Path, content: Mapping[str, Any]) -> Path:
    temporary = path.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(_padded(content))
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _make_by_flag(path: Path, content: Mapping[str, Any]) -> bool:
    try:
        with path.open("xb") as file:
            file.write(_padded(content))
    except FileExistsError:
        return False
    return True


def _padded(content: Mapping[str, Any]) -> bytes:
    """One size for all, so that no beat of a lease needs more room than the one before."""
    return encode(dict(content)).rstrip().ljust(_SIZE - 1) + b"\n"


def _holds(path: Path, content: Mapping[str, Any]) -> bool:
    found = parse(_read(path)[0])
    return found is not None and found.get("token") == content["token"]


def _read(path: Path) -> tuple[bytes, float]:
    try:
        with path.open("rb") as file:
            return file.read(), max(0.0, time.time() - os.fstat(file.fileno()).st_mtime)
    except OSError:
        return b"", 0.0
