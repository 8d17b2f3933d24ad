import json
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_cli.record import jsonl, ledger
from hpo_cli.record.ledger import append, decode_ledger, fold, read_ledger

EVENTS = [
    "started", "data", "checkpointed", "warned", "tested", "finished", "failed", "interrupted", "resumed", "new",
    "nudged", "rolled_back", "scheduled", "paused", "unpaused", "stopped",
]  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
EVENT = st.builds(
    lambda event, step, fields: {**fields, "event": event, "step": step},
    st.sampled_from(EVENTS),
    st.integers(0, 10**9) | st.just("no step"),
    st.dictionaries(st.text(max_size=6), VALUES, max_size=4),
)


def test_events_come_back_in_order_with_time(tmp_path: Path) -> None:
    written = [append(tmp_path / "ledger.jsonl", "started", step=0, run="a"), append(tmp_path, "finished", step=9)]
    found = read_ledger(tmp_path)
    assert list(found.events) == written
    assert found.set_aside == ()
    assert abs(datetime.fromisoformat(written[0]["at"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert [(event["event"], event["step"]) for event in written] == [("started", 0), ("finished", 9)]


def test_each_event_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bytes] = []
    real = ledger.os.fsync

    def note(descriptor: int) -> None:
        synced.append((tmp_path / "ledger.jsonl").read_bytes())
        real(descriptor)

    monkeypatch.setattr(ledger.os, "fsync", note)
    append(tmp_path, "started", step=0)
    assert synced
    assert synced[0].endswith(b"}\n")


def test_time_cannot_be_given(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="time of an event"):
        append(tmp_path, "started", step=0, at="yesterday")


@pytest.mark.parametrize("torn", [b'{"at": "2026', b'{"event": "x", "step": 1}', b"\xff\xfe", b"{"])
def test_nothing_is_merged_with_a_torn_line(tmp_path: Path, torn: bytes) -> None:
    append(tmp_path, "started", step=0)
    with (tmp_path / "ledger.jsonl").open("ab") as file:
        file.write(torn)
    before = read_ledger(tmp_path)
    append(tmp_path, "finished", step=5)
    after = read_ledger(tmp_path)
    assert after.events[: len(before.events)] == before.events
    assert after.events[-1]["event"] == "finished"
    assert after.set_aside == before.set_aside


def test_numbers_that_are_not_finite_are_null(tmp_path: Path) -> None:
    append(tmp_path, "tested", step=0, metrics={"a": float("nan"), "b": [float("-inf"), 1.0]})
    line = json.loads((tmp_path / "ledger.jsonl").read_text(), parse_constant=pytest.fail)
    assert line["metrics"] == {"a": None, "b": [None, 1.0]}


def test_an_event_that_is_no_json_is_refused_and_not_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="object"):
        append(tmp_path, "warned", step=0, what=object())
    assert not (tmp_path / "ledger.jsonl").exists()


def test_many_processes_append_whole_lines(tmp_path: Path) -> None:
    code = (
        "import sys; from hpo_cli.record.ledger import append\n"
        "for k in range(50): append(sys.argv[1], 'warned', step=k, what='x' * 500, who=sys.argv[2])"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(who)]) for who in range(4)]
    assert [child.wait() for child in children] == [0] * 4
    found = read_ledger(tmp_path)
    assert found.set_aside == ()
    for who in range(4):
        assert [event["step"] for event in found.events if event["who"] == str(who)] == list(range(50))


@given(st.lists(EVENT, max_size=6), st.data())
def test_any_prefix_replays_to_the_events_of_its_whole_lines(
    events: list[dict[str, object]], data: st.DataObject
) -> None:
    lines = [jsonl.encode(event) for event in events]
    content = b"".join(lines)
    cut = data.draw(st.integers(0, len(content)))
    ends = [sum(map(len, lines[: k + 1])) for k in range(len(lines))]
    num_whole = sum(end - 1 <= cut for end in ends)  # the closing brace counts, its newline need not
    found = decode_ledger(content[:cut])
    assert list(found.events) == [jsonl.parse(line) for line in lines[:num_whole]]
    assert len(found.set_aside) <= 1
    fold(found.events)


@given(st.binary(max_size=200))
def test_garbage_never_raises(content: bytes) -> None:
    fold(decode_ledger(content).events)


def test_nested_garbage_is_set_aside() -> None:
    assert decode_ledger(b"[" * 100_000).events == ()
    assert len(decode_ledger(b'{"no": "event"}\n[1]\n3\nnull\n').set_aside) == 4


def test_state_is_the_replay() -> None:
    events = [
        {"event": "started", "step": 0, "run": "a"},
        {"event": "data", "step": 0, "train": 5},
        {"event": "checkpointed", "step": 10, "file": "x"},
        {"event": "warned", "step": 12, "what": "w"},
        {"event": "tested", "step": 10},
        {"event": "interrupted", "step": 13, "signal": "SIGINT"},
    ]
    assert fold([]).status == "unstarted"
    assert fold(events[:3]).status == "started"
    state = fold(events)
    assert (state.status, state.step) == ("interrupted", 13)
    assert state.started == events[0]
    assert state.data == events[1]
    assert state.checkpoints == (events[2],)
    assert state.warnings == (events[3],)
    assert state.tests == (events[4],)
    assert state.ended == events[5]
    resumed = fold([*events, {"event": "resumed", "step": 10}])
    assert (resumed.status, resumed.ended) == ("started", None)


def test_many_threads_append_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = jsonl.os.write

    def in_small_pieces(descriptor: int, content: bytes) -> int:
        time.sleep(0)
        return real(descriptor, bytes(content[:20]))

    monkeypatch.setattr(jsonl.os, "write", in_small_pieces)
    threads = [threading.Thread(target=warn, args=(tmp_path, who)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read_ledger(tmp_path)
    assert found.set_aside == ()
    assert len(found.events) == 60


def warn(folder: Path, who: int) -> None:
    for step in range(15):
        append(folder, "warned", step=step, what="x" * 100, who=who)


def test_a_run_that_went_back_stands_where_it_went() -> None:
    events = [
        {"event": "started", "step": 0},
        {"event": "paused", "step": 300},
        {"event": "rolled_back", "step": 300, "to": 120},
    ]
    assert fold(events[:2]).paused
    assert fold(events).step == 120
    assert fold(events).paused
    assert not fold([*events, {"event": "unpaused", "step": 120}]).paused
    stopped = fold([*events, {"event": "stopped", "step": 130, "who": "ada", "why": "enough"}])
    assert (stopped.status, stopped.paused, stopped.step) == ("stopped", False, 130)
    assert fold([{"event": "rolled_back", "step": 9, "to": "x"}]).step == 0
