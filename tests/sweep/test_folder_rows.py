"""Rows of a run that grows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpo_cli.record.jsonl import encode
from hpo_cli.record.living import living_rows, marker
from hpo_cli.sweep.executors import folder_rows
from hpo_cli.sweep.executors.folder_rows import FolderRows, RowTail

if TYPE_CHECKING:
    from pathlib import Path


def row(step: int, loss: float = 1.0) -> dict[str, float]:
    return {"step": step, "epoch": 1, "val/loss": loss}


def add(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def test_each_row_is_told_once_and_in_order(path: Path) -> None:
    tail = RowTail(path)
    assert list(tail.new()) == []
    add(path, encode(row(1)) + encode(row(2)))
    assert list(tail.new()) == [row(1), row(2)]
    assert list(tail.new()) == []
    add(path, encode(row(3)))
    assert list(tail.new()) == [row(3)]


def test_a_line_that_is_cut_short_waits_for_its_end(path: Path) -> None:
    tail, line = RowTail(path), encode(row(1))
    add(path, line[:9])
    assert list(tail.new()) == []
    add(path, line[9:])
    assert list(tail.new()) == [row(1)]


def test_after_a_rollback_the_rows_of_the_new_line_are_told(path: Path) -> None:
    tail = RowTail(path)
    add(path, b"".join(encode(row(step)) for step in (1, 2, 3)))
    tail.new()
    add(path, marker(to=1, come_from=3, since=None) + encode(row(2, 0.5)))
    assert list(tail.new()) == [row(2, 0.5)]
    add(path, encode(row(3, 0.4)))
    assert list(tail.new()) == [row(3, 0.4)]


def test_what_was_told_is_what_lives_at_the_end(path: Path) -> None:
    """Whatever the pieces in which a file grows: later rows of a step take the place of earlier ones."""
    content = b"".join(encode(row(step)) for step in (1, 2, 3))
    content += marker(to=2, come_from=3, since=None) + encode(row(3, 0.1)) + encode(row(4, 0.2))
    for size in (1, 7, 50, len(content)):
        path.write_bytes(b"")
        tail, told = RowTail(path), {}
        for begin in range(0, len(content), size):
            add(path, content[begin : begin + size])
            told.update({found["step"]: found for found in tail.new()})
        assert list(told.values()) == living_rows(content)


def test_a_file_that_was_replaced_by_a_shorter_one_is_read_anew(path: Path) -> None:
    tail = RowTail(path)
    add(path, encode(row(1)) + encode(row(2)))
    tail.new()
    path.write_bytes(encode(row(1)))
    assert list(tail.new()) == []
    add(path, encode(row(2, 0.3)))
    assert list(tail.new()) == [row(2, 0.3)]


def test_only_what_was_added_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tail, read = RowTail(path), []
    real = folder_rows.living_rows
    monkeypatch.setattr(folder_rows, "living_rows", lambda content: read.append(len(content)) or real(content))
    for step in range(50):
        add(path, encode(row(step)))
        tail.new()
    assert max(read) == len(encode(row(10)))


def test_few_runs_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_rows, "MOST_KEPT", 2)
    rows = FolderRows()
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
        add(folder / "metrics.jsonl", encode(row(1)))
        assert list(rows.new(folder)) == [row(1)]
    assert list(rows.new(folders[2])) == []
    rows.forget(folders[2])
    assert list(rows.new(folders[2])) == [row(1)]
