import errno
import os
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_cli.record import jsonl, metrics_writer
from hpo_cli.record.metrics import MetricsWriter, living_rows, read_metrics

Row = dict[str, Any]


def row(step: int, line: object = 0) -> Row:
    return {"step": step, "epoch": step // 4, "train/loss": f"{line}:{step / 3}"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def write(path: Path, rows: list[Row], *, after: int | None = None) -> None:
    with MetricsWriter(path, after=after) as writer:
        for one in rows:
            writer.append(one)


# -- reading ---------------------------------------------------------------------------------------------------------


def test_a_marker_abandons_what_lies_beyond_its_step() -> None:
    content = b"".join(map(jsonl.encode, [row(1), row(2), row(3), going_back(1), row(2, "b")]))
    assert living_rows(content) == [row(1), row(2, "b")]


def test_a_marker_with_since_brings_an_older_line_back() -> None:
    first = b"".join(map(jsonl.encode, [row(1), row(2), row(3)]))
    other = b"".join(map(jsonl.encode, [going_back(1), row(2, "b"), row(3, "b"), row(4, "b")]))
    back = jsonl.encode(going_back(2, since=len(first)))
    assert living_rows(first + other) == [row(1), row(2, "b"), row(3, "b"), row(4, "b")]
    assert living_rows(first + other + back) == [row(1), row(2)]
    again = jsonl.encode(going_back(3, since=len(first + other)))
    assert living_rows(first + other + back + jsonl.encode(row(3, "c")) + again) == [
        row(1),
        row(2, "b"),
        row(3, "b"),
    ]


@pytest.mark.parametrize("since", [-5, 10**12, True, "x", None, 1.5, []])
def test_odd_offsets_raise_nothing(since: object) -> None:
    content = b"".join(map(jsonl.encode, [row(1), row(2), going_back(1, since=since), row(2, "b")]))
    assert living_rows(content)[-1] == row(2, "b")


def test_unknown_events_are_no_rows() -> None:
    assert living_rows(b'{"event": "new", "step": 4}\n{"step": 5}\n{"event": "rolled_back"}\n') == [{"step": 5}]


@given(st.binary(max_size=300) | st.lists(st.sampled_from([
    b'{"step": 1}\n', b'{"step": 3', b"\n", b'{"event": "rolled_back", "step": 0, "since": 9}\n', b"\xff", b"[]",
    b'{"event": "rolled_back", "step": -1e999}\n', b'{"event": "rolled_back", "step": 2}\n', b'{"step": 2}\n',
])).map(b"".join))  # fmt: skip
def test_no_bytes_raise(content: bytes) -> None:
    assert all(type(found["step"]) is int for found in living_rows(content))


def going_back(to: int, *, since: object = None) -> Row:
    return {"event": "rolled_back", "step": to, "from": 99, "since": since}


# -- resuming --------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=9), st.data())
def test_a_file_killed_at_any_byte_ends_with_the_bytes_of_one_never_stopped(
    gaps: list[int], data: st.DataObject
) -> None:
    rows = [row(sum(gaps[: k + 1])) for k in range(len(gaps))]
    whole = b"".join(map(jsonl.encode, rows))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m"
        path.write_bytes(whole)
        for _ in range(data.draw(st.integers(1, 3))):
            cut = data.draw(st.integers(0, len(whole)))
            path.write_bytes(path.read_bytes()[:cut])
            last = max((found["step"] for found in living_rows(path.read_bytes())), default=0)
            checkpoint = data.draw(st.integers(0, last))
            got_to = data.draw(st.integers(0, len(rows)))
            write(path, [one for one in rows[:got_to] if one["step"] > checkpoint], after=checkpoint)
            assert whole.startswith(path.read_bytes())
        last = max((found["step"] for found in living_rows(path.read_bytes())), default=0)
        write(path, [one for one in rows if one["step"] > last], after=last)
        assert path.read_bytes() == whole


def test_without_after_rows_are_doubled(path: Path) -> None:
    """The negative control of the test above."""
    write(path, [row(1), row(2)])
    write(path, [row(2)])
    assert len(read_metrics(path)) == 3


def test_a_row_that_differs_abandons_the_known_ones(path: Path) -> None:
    write(path, [row(1), row(2), row(3), row(4)])
    write(path, [row(2), row(3, "new"), row(4)], after=1)
    assert read_metrics(path) == [row(1), row(2), row(3, "new"), row(4)]
    assert path.read_bytes().count(b"rolled_back") == 1
    assert b'{"event": "rolled_back", "step": 2, "from": 4, "since": null}' in path.read_bytes()


def test_a_row_that_passes_over_a_known_one_abandons_it(path: Path) -> None:
    write(path, [row(1), row(2), row(4)])
    write(path, [row(4)], after=1)
    assert read_metrics(path) == [row(1), row(4)]


def test_a_row_between_known_ones_abandons_those_beyond(path: Path) -> None:
    write(path, [row(1), row(4), row(6)])
    write(path, [row(3), row(4)], after=1)
    assert read_metrics(path) == [row(1), row(3), row(4)]
    assert b'"rolled_back", "step": 2,' in path.read_bytes()


def test_values_that_are_not_finite_are_known_again(path: Path) -> None:
    odd = {"step": 2, "train/loss": float("nan"), "lr": 1e-30}
    write(path, [row(1), odd])
    before = path.read_bytes()
    write(path, [odd], after=1)
    assert path.read_bytes() == before


def test_a_line_that_lacks_its_newline_alone_is_kept(path: Path) -> None:
    path.write_bytes(jsonl.encode(row(1)) + jsonl.encode(row(2))[:-1])
    assert read_metrics(path) == [row(1), row(2)]
    write(path, [row(3)], after=2)
    assert path.read_bytes() == b"".join(map(jsonl.encode, [row(1), row(2), row(3)]))


# -- going back ------------------------------------------------------------------------------------------------------


def test_rows_up_to_the_target_are_known_again(path: Path) -> None:
    with MetricsWriter(path) as writer:
        for step in range(1, 9):
            writer.append(row(step))
        writer.abandon(after=5, known_after=3)
        for one in (row(4), row(5), row(6, "b")):
            writer.append(one)
    assert read_metrics(path) == [*(row(step) for step in range(1, 6)), row(6, "b")]
    assert len(path.read_bytes().splitlines()) == 8 + 1 + 1


def test_nothing_to_abandon_writes_no_marker(path: Path) -> None:
    with MetricsWriter(path) as writer:
        writer.append(row(1))
        writer.abandon(after=1)
        writer.abandon(after=7)
    assert path.read_bytes() == jsonl.encode(row(1))


def two_lines(path: Path) -> int:
    """A line up to step 3, and another one from step 1 on. The file's size at step 2 of the first."""
    with MetricsWriter(path) as writer:
        for step in (1, 2):
            writer.append(row(step))
        size = writer.size
        writer.append(row(3))
        writer.abandon(after=1)
        for step in (2, 3, 4):
            writer.append(row(step, "b"))
    return size


def test_a_marker_that_a_kill_held_back_is_written_at_opening(path: Path) -> None:
    size = two_lines(path)
    killed = path.read_bytes()
    with MetricsWriter(path) as writer:  # not killed
        writer.abandon(after=2, known_after=2, since=size)
        writer.append(row(3))
    straight = path.read_bytes()
    for _ in range(2):  # the second opening finds the marker and writes none
        path.write_bytes(killed)
        with MetricsWriter(path, after=2, since=size):
            pass
        with MetricsWriter(path, after=2, since=size) as writer:
            writer.append(row(3))
        assert path.read_bytes() == straight
        assert read_metrics(path) == [row(1), row(2), row(3)]
    path.write_bytes(killed)
    write(path, [row(3)], after=2)  # the negative control: without since the rows of the wrong line live on
    assert row(2, "b") in read_metrics(path)


def test_a_state_of_the_line_that_lives_needs_no_marker(path: Path) -> None:
    write(path, [row(step) for step in range(1, 6)])
    before = path.read_bytes()
    size = len(b"".join(jsonl.encode(row(step)) for step in (1, 2, 3)))
    with MetricsWriter(path, after=3, since=size) as writer:
        for step in (4, 5):
            writer.append(row(step))
    assert path.read_bytes() == before


def test_what_has_nothing_to_abandon_reads_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, [row(1), row(2)])
    with MetricsWriter(path, after=2) as writer:
        writer.append(row(3))
        monkeypatch.setattr(metrics_writer, "living_rows", lambda _: pytest.fail("it read the file"))
        writer.abandon(after=3)
        writer.append(row(4))
        writer.abandon(after=9)
        monkeypatch.undo()
        writer.abandon(after=3)
        writer.append(row(4, "b"))
        writer.abandon(after=3)
    assert read_metrics(path) == [row(1), row(2), row(3)]


def test_what_is_discarded_is_not_written(path: Path) -> None:
    writer = MetricsWriter(path)
    writer.append(row(1))
    writer.flush()
    writer.append(row(2))
    writer.discard()
    writer.close()
    assert read_metrics(path) == [row(1)]


def test_a_run_that_ends_early_abandons_the_rows_that_it_did_not_come_to(path: Path) -> None:
    write(path, [row(step) for step in range(1, 9)])
    with MetricsWriter(path, after=2) as writer:
        writer.append(row(3))
        writer.abandon(after=3)
    assert read_metrics(path) == [row(1), row(2), row(3)]


@dataclass
class Story:
    """A run told to the writer and, as an oracle, to plain lists: the living rows, copied at each checkpoint."""

    path: Path
    data: st.DataObject
    living: list[Row] = field(default_factory=list)
    step: int = 0
    line: int = 0
    tags: list[tuple[int, int, list[Row], int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.writer = MetricsWriter(self.path)

    def train(self) -> None:
        self.step += self.data.draw(st.integers(1, 2))
        self.living.append(row(self.step, self.line))
        self.writer.append(self.living[-1])

    def save(self) -> None:
        self.writer.sync()
        self.tags.append((self.step, self.writer.size, list(self.living), self.line))

    def go_back(self) -> None:
        to = self.data.draw(st.integers(0, self.step))
        start = self.data.draw(st.integers(0, to))
        self.writer.abandon(after=to, known_after=start)
        self.living = [one for one in self.living if one["step"] <= to]
        self._meet_again(start)
        self.step, self.line = to, self.line + 1

    def go_to_tag(self) -> None:
        if self.tags:
            self.step, size, living, line = self.data.draw(st.sampled_from(self.tags))
            self.writer.abandon(after=self.step, since=size)
            self.living, self.line = list(living), line if self.data.draw(st.booleans()) else self.line + 1

    def die_on_the_way_to_tag(self) -> None:
        """A kill after the ledger has the rollback and before the marker."""
        if self.tags:
            self.step, size, living, line = self.data.draw(st.sampled_from(self.tags))
            self.writer.close()
            self.writer = MetricsWriter(self.path, after=self.step, since=size)
            self.writer.abandon(after=self.step)  # what an end or a nudge there says
            self.living, self.line = list(living), line if self.data.draw(st.booleans()) else self.line + 1

    def die(self) -> None:
        """A kill loses what was not synced; what is trained again from a step that was is the same."""
        self.writer.sync()
        start = self.data.draw(st.integers(0, self.step))
        torn = self.data.draw(st.sampled_from([b"", b'{"step": 9', jsonl.encode(row(self.step + 1, self.line))[:-3]]))
        self.writer.close()
        with self.path.open("ab") as file:
            file.write(torn)
        self.writer = MetricsWriter(self.path, after=start)
        self._meet_again(start)

    def _meet_again(self, start: int) -> None:
        for one in self.living:
            if one["step"] > start:
                self.writer.append(one)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_the_living_rows_of_any_story_are_those_of_plain_lists(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        story = Story(Path(folder) / "m", data)
        deeds = [
            story.train,
            story.train,
            story.save,
            story.go_back,
            story.go_to_tag,
            story.die,
            story.die_on_the_way_to_tag,
        ]
        for deed in data.draw(st.lists(st.sampled_from(deeds), max_size=25)):
            deed()
            story.writer.flush()
            assert read_metrics(story.path) == story.living
        story.writer.close()


# -- threads and full disks ------------------------------------------------------------------------------------------


def test_one_thread_appends_while_another_syncs(path: Path) -> None:
    writer = MetricsWriter(path)
    done = threading.Event()

    def sync() -> None:
        while not done.is_set():
            writer.sync()

    threads = [threading.Thread(target=sync) for _ in range(2)]
    for thread in threads:
        thread.start()
    rows = [row(step) for step in range(1, 3000)]
    for one in rows:
        writer.append(one)
        writer.flush()
    done.set()
    for thread in threads:
        thread.join()
    assert writer.size == path.stat().st_size
    writer.close()
    writer.sync()
    assert path.read_bytes() == b"".join(map(jsonl.encode, rows))


def test_going_back_on_a_full_disk_loses_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    calls: Iterator[int] = iter(range(99))

    def nearly_full(descriptor: int, content: bytes) -> int:
        if next(calls) % 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, bytes(content[:7]))

    monkeypatch.setattr(metrics_writer.os, "write", nearly_full)
    writer = MetricsWriter(path)
    for step in (1, 2, 3):
        writer.append(row(step))
    with pytest.raises(OSError, match="No space"):
        writer.flush()
    writer.abandon(after=1)
    writer.append(row(2, "b"))
    monkeypatch.setattr(metrics_writer.os, "write", real)
    writer.close()
    assert read_metrics(path) == [row(1), row(2, "b")]
