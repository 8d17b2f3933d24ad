"""Files that are replaced as a whole: a reader sees the old content or the new one, never a part."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from hpo_cli.record.jsonl import finite

if TYPE_CHECKING:
    from collections.abc import Iterator

# Some network file systems cannot sync a directory; the rename is atomic there all the same.
_NO_DIRECTORY_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EBADF}


@contextlib.contextmanager
def replace_file(path: Path | str) -> Iterator[BinaryIO]:
    """A binary file to write; when the block ends well, it takes the place of `path`, on disk, in one step.

    The temporary file is in the same folder (a rename is atomic within one file system alone). When the block
    or the disk fails, the temporary file is removed, the old file is as it was, and the error goes on.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def write_text(path: Path | str, text: str) -> None:
    """Replaces `path` by `text` in UTF-8, atomically and durably."""
    with replace_file(path) as file:
        file.write(text.encode())


def write_json(path: Path | str, value: object) -> None:
    """Replaces `path` by strict, indented JSON, atomically; numbers that are not finite become null."""
    write_text(path, json.dumps(finite(value), indent=2, allow_nan=False) + "\n")


def free_name(path: Path) -> Path:
    """`path`, or the same with -2, -3, ... before the suffix where there is something of that name."""
    number = 1
    free = path
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link of a file, or a copy where links fail; on disk when this returns.

    Raises FileNotFoundError without `source`, FileExistsError where `target` is something already.
    """
    try:
        os.link(source, target, follow_symlinks=False)
        sync_folder(target.parent)
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError:  # another file system, or one without links
        with source.open("rb") as old, replace_file(target) as new:
            shutil.copyfileobj(old, new)


def sync_folder(folder: Path | str) -> None:
    """Makes the names in `folder` durable (a new or renamed file), where the file system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise
    finally:
        os.close(descriptor)
