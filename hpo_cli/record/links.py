"""Refuses symbolic links where a run writes: in a folder that a stranger made, they could lead anywhere."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hpo_cli.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
"""Where the system has no such flag, `refuse_link` alone guards."""


def refuse_link(*paths: Path | str) -> None:
    """Raise UserError, on one line, when one of `paths` is a symbolic link. What is not there is none."""
    for path in paths:
        if Path(path).is_symlink():
            raise UserError(
                f"{path}: is a symbolic link, and a run writes into its own folder alone; put a real one there"
            )


def refuse_links_in(folder: Path) -> None:
    """The same for a folder, which need not exist, and for all that lies in it."""
    refuse_link(folder, *_entries(folder))


def _entries(folder: Path) -> Iterator[str]:
    with suppress(OSError), os.scandir(folder) as entries:
        yield from (entry.path for entry in entries)
