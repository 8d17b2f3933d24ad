"""Files out of a tar archive, into memory: nothing that a stranger's archive names is written anywhere."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from hpo_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

LARGEST = 2**30
"""Bytes of one file; no published one comes near, and a packed bomb must not fill the memory."""


def unpacked(path: Path, *, names: Collection[str]) -> dict[str, bytes]:
    """The plain files of the archive `path` whose names, without folders, are among `names`.

    The order is that of `names`; absent ones are left out. Raises ConfigError for what is no whole archive.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if name in names and member.isfile() and member.size <= LARGEST:
                    file = archive.extractfile(member)
                    found[name] = file.read() if file else b""
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        rule = f"is damaged: it cannot be unpacked: {error}"
        raise ConfigError("data.folder", path, rule=rule, fix="delete it, or copy it anew") from None
    return {name: found[name] for name in names if name in found}
