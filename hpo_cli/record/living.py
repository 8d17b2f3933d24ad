"""Which rows of a metrics file live: those of the line that a run is on after every rollback.

A marker, {"event": "rolled_back", "step": to, "from": step, "since": offset or null}, abandons the rows before it
with a step above `to`; they stay in the file. With `since`, the run went over to an older line: the rows that live
then are those that lived when the file was so many bytes long, up to `to`.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from hpo_cli.record.jsonl import Row, encode, parse

ROLLED_BACK = "rolled_back"


def living_rows(content: bytes) -> list[Row]:
    """The living rows in the bytes of a metrics file or of any beginning of one, in order.

    What is torn, foreign or without a whole `step` is passed over. One pass, whatever the markers say.
    """
    past = _Past()
    end = 0
    for line in content.split(b"\n"):
        end += len(line) + 1
        row = parse(line)
        if row is None or type(row.get("step")) is not int:
            continue
        if "event" not in row:
            past.add(row)
        elif row["event"] == ROLLED_BACK:
            past.go_back(row)
        past.end_line(end)
    return past.path()


def marker(*, to: int, come_from: int, since: int | None) -> bytes:
    """The line that abandons what was written beyond step `to`."""
    return encode({"event": ROLLED_BACK, "step": to, "from": come_from, "since": since})


@dataclass
class _Past:
    """All rows as a tree: each knows the one before it on its line, so that no line is ever copied.

    head: the last living row, -1 for none.   ends, heads: for each line of the file, where it ends and the head then.
    """

    rows: list[Row] = field(default_factory=list)
    before: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    heads: list[int] = field(default_factory=list)
    head: int = -1

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self.before.append(self.head)
        self.head = len(self.rows) - 1

    def go_back(self, row: Row) -> None:
        since = row.get("since")
        if type(since) is int:
            line = bisect_right(self.ends, since) - 1
            self.head = self.heads[line] if line >= 0 else -1
        while self.head >= 0 and self.rows[self.head]["step"] > row["step"]:
            self.head = self.before[self.head]

    def end_line(self, end: int) -> None:
        self.ends.append(end)
        self.heads.append(self.head)

    def path(self) -> list[Row]:
        found = []
        at = self.head
        while at >= 0:
            found.append(self.rows[at])
            at = self.before[at]
        return found[::-1]
