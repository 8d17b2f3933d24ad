"""The rows of runs that train elsewhere, read from their folders as they grow: for any executor."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from hpo_cli.record import jsonl
from hpo_cli.record.folder import METRICS
from hpo_cli.record.living import living_rows

Row = jsonl.Row

MOST_KEPT = 256
"""Runs that are remembered; the ones longest not asked for are forgotten, and would be told from their start."""


class FolderRows:
    """Tells each living row of a run once, by `new`; after a rollback, those of the line that it went over to."""

    def __init__(self) -> None:
        self._tails: OrderedDict[Path, RowTail] = OrderedDict()

    def new(self, folder: Path) -> Sequence[Row]:
        """The living rows of the run in `folder` since this was asked for the last time, in order."""
        tail = self._tails.setdefault(folder, RowTail(folder / METRICS))
        self._tails.move_to_end(folder)
        while len(self._tails) > MOST_KEPT:
            self._tails.popitem(last=False)
        return tail.new()

    def forget(self, folder: Path) -> None:
        """Tell the rows of this run from their start when they are asked for again."""
        self._tails.pop(folder, None)


class RowTail:
    """The end of one file of metrics. Reads what was added, and all of it only after a rollback."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._told: list[Row] = []

    def new(self) -> Sequence[Row]:
        """The living rows that were not told yet. A line that is not whole waits for its end."""
        added = self._added()
        if added is None:
            return self._anew()
        if not added:
            return ()
        rows = living_rows(added)
        if b'"event"' in added and any("event" in row for row in jsonl.decode(added).rows):
            return self._anew()
        self._told += rows
        return rows

    def _added(self) -> bytes | None:
        """Whole lines behind those that are known; None where the file has become shorter."""
        try:
            with self._path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < self._offset:
                    return None
                file.seek(self._offset)
                content = file.read(size - self._offset)
        except OSError:
            return b""
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole

    def _anew(self) -> Sequence[Row]:
        """Read all; what follows the rows that were told and still live is new."""
        try:
            content = self._path.read_bytes()
        except OSError:
            return ()
        content = content[: content.rfind(b"\n") + 1]
        self._offset = len(content)
        rows, told = living_rows(content), self._told
        same = 0
        while same < min(len(rows), len(told)) and rows[same] == told[same]:
            same += 1
        self._told = rows
        return rows[same:]
