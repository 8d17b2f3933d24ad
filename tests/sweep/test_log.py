"""The log: one writer at a time, torn lines, and that a second process sees what the first one wrote."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from hpo_cli.sweep.log import SWEEP, FolderLog, read_from


def write_many(folder: Path, who: str, num: int) -> None:
    log = FolderLog(folder)
    for i in range(num):
        with log.locked():
            seen = len(read_from(folder / SWEEP, 0)[0])
            log.news()
            log.append({"event": "counted", "who": who, "i": i, "seen": seen})


def test_processes_take_turns_and_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(tmp_path, name, 40)) for name in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    events, _ = read_from(tmp_path / SWEEP, 0)
    assert [event["seen"] for event in events] == list(range(120))  # nobody wrote while another one held it
    assert {who: [e["i"] for e in events if e["who"] == who] for who in "abc"} == {
        who: list(range(40)) for who in "abc"
    }


def test_news_are_what_others_wrote(tmp_path: Path) -> None:
    one, other = FolderLog(tmp_path), FolderLog(tmp_path)
    with one.locked():
        one.append({"event": "a"})
        assert one.news() == []
    with other.locked():
        assert [event["event"] for event in other.news()] == ["a"]
        other.append({"event": "b"}, {"event": "c"})
    with one.locked():
        assert [event["event"] for event in one.news()] == ["b", "c"]
        assert one.news() == []


def test_a_line_that_a_killed_writer_left_torn_is_passed_over(tmp_path: Path) -> None:
    log = FolderLog(tmp_path)
    with log.locked():
        log.append({"event": "a"})
    with (tmp_path / SWEEP).open("ab") as file:
        file.write(b'{"event": "tor')
    with log.locked():
        assert log.news() == []
        log.append({"event": "b"})
    assert [event["event"] for event in read_from(tmp_path / SWEEP, 0)[0]] == ["a", "b"]


def test_nothing_is_written_without_the_lock(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="lock"):
        FolderLog(tmp_path).append({"event": "a"})
