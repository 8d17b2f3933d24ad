"""The reader of commands against whatever may lie in the folder: it never fails, executes nothing, deletes nothing."""

from __future__ import annotations

import copy
import json
import os
import time
import timeit
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpo_cli.errors import UserError
from hpo_cli.steer import inbox as reading
from hpo_cli.steer.commands import Inbox, Reject, read_inbox, send
from hpo_cli.steer.inbox import LARGEST_FILE, MOST_AT_ONCE
from hpo_cli.steer.shapes import VERBS, NoCommandError, command_from

ID = "00000000000000000001-0123abcd"
NUDGE = {
    "id": ID,
    "verb": "nudge",
    "args": {"changes": {"lr": ["*=", 0.9]}},
    "who": "ada@laptop",
    "why": "",
    "sent": "",
}


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    place = tmp_path / "control" / "inbox"
    place.mkdir(parents=True)
    return place


def put(inbox: Path, content: bytes | object, name: str = f"{ID}.json") -> Path:
    path = inbox / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def reason(inbox: Path, name: str = f"{ID}.json") -> str:
    """Why the one thing in the inbox is no command; it is set aside, and the next reading finds nothing."""
    box = Inbox(inbox.parent.parent)
    assert box.pending()
    found = box.read()
    assert found.commands == ()
    (reject,) = found.rejects
    assert reject.file == name
    assert os.path.lexists(inbox.parent / "set-aside" / name)
    assert not os.path.lexists(inbox / name)
    assert box.read() == reading.Found()
    assert not box.pending()
    return reject.reason


def test_a_command_is_read_and_stays(inbox: Path) -> None:
    put(inbox, NUDGE)
    box = Inbox(inbox.parent.parent)
    for _ in range(2):
        (command,) = box.read().commands
        assert (command.id, command.verb, command.who) == (ID, "nudge", "ada@laptop")
        assert command.args == {"changes": {"lr": ["*=", 0.9]}}
        assert box.pending()


def test_commands_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    ids = [send(tmp_path, verb, {}) for verb in ("pause", "unpause", "stop", "checkpoint")]
    assert [command.id for command in read_inbox(tmp_path).commands] == ids == sorted(ids)


def test_a_flood_is_taken_in_parts(inbox: Path) -> None:
    for number in range(MOST_AT_ONCE + 3):
        name = f"{number:020d}-00000000"
        put(inbox, {**NUDGE, "id": name}, f"{name}.json")
    found = read_inbox(inbox.parent.parent)
    assert len(found.commands) == MOST_AT_ONCE
    assert found.commands[0].id.startswith("0" * 20)


def test_a_folder_that_is_missing_has_no_commands(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        assert not Inbox(place).pending()
        assert Inbox(place).read() == reading.Found()
    (tmp_path / "control").write_text("a file")
    assert not Inbox(tmp_path).pending()
    assert Inbox(tmp_path).read() == reading.Found()


def test_to_ask_is_cheap(inbox: Path) -> None:
    box = Inbox(inbox.parent.parent)
    assert min(timeit.repeat(box.pending, number=200, repeat=5)) / 200 < 200e-6  # about 6 microseconds


def test_what_is_still_being_written_is_left_alone(inbox: Path) -> None:
    half = put(inbox, b'{"id": "0', f".{ID}.json.ab12.tmp")
    assert not Inbox(inbox.parent.parent).pending()
    assert read_inbox(inbox.parent.parent) == reading.Found()
    assert half.exists()


def test_files_of_other_kinds(inbox: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(json.dumps(NUDGE))
    path = inbox / f"{ID}.json"
    path.symlink_to(secret)
    assert "no plain file" in reason(inbox)
    assert json.loads(secret.read_text()) == NUDGE
    (inbox.parent / "set-aside" / path.name).unlink()
    path.mkdir()
    (path / "inside").write_text("kept")
    assert "no plain file" in reason(inbox)
    assert (inbox.parent / "set-aside" / path.name / "inside").read_text() == "kept"


def test_a_pipe_does_not_hold_the_reader(inbox: Path) -> None:
    os.mkfifo(inbox / f"{ID}.json")
    begin = time.monotonic()
    assert "no plain file" in reason(inbox)
    assert time.monotonic() - begin < 5


def test_a_pipe_that_takes_the_place_of_a_file_does_not_either(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(inbox / f"{ID}.json")
    plain = inbox.parent / "plain"
    plain.write_text("{}")
    looked = plain.lstat()
    monkeypatch.setattr(Path, "lstat", lambda _: looked)
    assert "no plain file" in reason(inbox)


def test_a_file_of_another_user_is_refused(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = put(inbox, NUDGE).stat().st_uid
    monkeypatch.setattr(Inbox, "_trusted", lambda _: (owner + 1,))
    assert f"another user ({owner})" in reason(inbox)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="files of other users need root")
def test_a_file_that_really_belongs_to_another_user(inbox: Path) -> None:
    os.chown(put(inbox, NUDGE), 12345, -1)
    assert "another user (12345)" in reason(inbox)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="files of other users need root")
def test_the_owner_of_the_folder_may_steer_a_run_of_another_user(inbox: Path) -> None:
    put(inbox, NUDGE)
    os.chown(inbox / f"{ID}.json", 12345, -1)
    os.chown(inbox.parent.parent, 12345, -1)
    assert len(read_inbox(inbox.parent.parent).commands) == 1


def test_a_file_that_cannot_be_read(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(inbox, NUDGE)
    with monkeypatch.context() as patch:
        patch.setattr(reading.os, "open", _raise(PermissionError(13, "Permission denied")))
        assert "cannot be read (Permission denied)" in reason(inbox)


def test_trouble_that_is_not_the_files_is_borne(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(inbox, NUDGE)
    box = Inbox(inbox.parent.parent)
    with monkeypatch.context() as patch:
        patch.setattr(reading.os, "open", _raise(OSError(24, "Too many open files")))
        assert box.read() == reading.Found()
    assert len(box.read().commands) == 1


def _raise(error: OSError) -> Any:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_what_cannot_be_moved_is_told_once(inbox: Path) -> None:
    put(inbox, b"x")
    (inbox.parent / "set-aside").write_text("in the way")
    box = Inbox(inbox.parent.parent)
    assert box.read().rejects == (Reject(f"{ID}.json", "it is no strict JSON"),)
    assert box.read() == reading.Found()
    assert not box.pending()
    assert (inbox / f"{ID}.json").read_bytes() == b"x"


def test_what_is_set_aside_replaces_nothing(inbox: Path) -> None:
    for content in (b"first", b"second", b"third"):
        put(inbox, content)
        assert len(read_inbox(inbox.parent.parent).rejects) == 1
    kept = {path.read_bytes() for path in (inbox.parent / "set-aside").iterdir()}
    assert kept == {b"first", b"second", b"third"}


@pytest.mark.parametrize(
    "name",
    ["x.json", f"{ID}", f"{ID}.JSON", f"{ID}.json.bak", "1-0123abcd.json", f"{ID.upper()}.json", "a b;rm -rf.json",
     "\u0661" * 20 + "-0123abcd.json", "n" * 250, "x\nfinished.json", "caf\udce9.json"],
)  # fmt: skip
def test_names_that_no_command_has(inbox: Path, name: str) -> None:
    put(inbox, NUDGE, name)
    (reject,) = read_inbox(inbox.parent.parent).rejects
    assert reject.reason == "its name is no command's"
    assert reject.file.isascii()
    assert reject.file.isprintable()
    assert not list(inbox.iterdir())


def test_sizes(inbox: Path) -> None:
    put(inbox, json.dumps(NUDGE).encode().ljust(LARGEST_FILE))
    assert len(read_inbox(inbox.parent.parent).commands) == 1
    put(inbox, json.dumps(NUDGE).encode().ljust(LARGEST_FILE + 1))
    assert "larger than 64 KiB" in reason(inbox)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"[]", b"null", b'{"id": 1', b"{}" * 2, b"[" * 60000, b'{"a": NaN}', b'{"a": 1, "a": 2}',
     b"9" * 60000, b"\xef\xbb\xbf{}", b'"text"', b"\x00" * 100],
)  # fmt: skip
def test_bytes_that_are_no_command(inbox: Path, content: bytes) -> None:
    put(inbox, content)
    assert reason(inbox)


def test_a_command_that_says_two_things_says_none(inbox: Path) -> None:
    put(inbox, json.dumps(NUDGE).replace('"verb"', '"verb": "pause", "verb"').encode())
    assert reason(inbox) == "it is no strict JSON"


WRONG: list[tuple[list[Any], str]] = [
    ([("id",), "other"], "id"), ([("id",), None], "id"), ([("verb",), "exec"], "verb"), ([("verb",), []], "verb"),
    ([("args",), []], "args"),
    ([("args",), {}], "no changes"), ([("extra",), 1], "keys that no command has"),
    ([("args", "extra"), 1], "keys that no"),
    ([("who",), "a\x1b[31m"], "who"), ([("who",), 5], "who"), ([("why",), "x" * 2001], "why"),
    ([("why",), "a\nb"], "why"),
    ([("sent",), {}], "sent"), ([("args", "changes"), {}], "changes"), ([("args", "changes"), []], "changes"),
    ([("args", "changes", "lr"), 0.1], "[op, value]"), ([("args", "changes", "lr"), ["="]], "[op, value]"),
    ([("args", "changes", "lr"), ["**=", 1]], "op"), ([("args", "changes", "lr"), [["="], 1]], "[op, value]"),
    ([("args", "changes", ""), ["=", 1]], "empty"), ([("args", "changes", "a\n"), ["=", 1]], "key"),
    ([("args", "changes", "k" * 201), ["=", 1]], "key"), ([("args", "changes", "lr"), ["=", {"a": 1}]], "object"),
    ([("args", "changes", "lr"), ["=", [[1]]]], "deep"), ([("args", "changes", "lr"), ["=", 2**63]], "large"),
    ([("args", "changes", "lr"), ["=", "x" * 1001]], "value"), ([("args", "changes", "lr"), ["=", "\x07"]], "value"),
    ([("args", "changes", "schedule"), ["=", {"a": [[[1]]]}]], "deep"), ([("args", "due"), {}], "due"),
    ([("args", "due"), {"step": -1}], "step"),
    ([("args", "due"), {"step": True}], "step"), ([("args", "due"), {"step": 1, "epoch": 2}], "due"),
    ([("args", "due"), {"epoch": 1.5}], "epoch"),
    ([("args", "due"), {"progress": 1.5}], "progress"), ([("args", "due"), {"when": 1}], "due"),
    ([("args", "due"), None], "due"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "meant"), WRONG, ids=range(len(WRONG)))
def test_shapes_that_no_command_has(place: list[Any], meant: str) -> None:
    value: Any = copy.deepcopy(NUDGE)
    *path, last = place[0]
    holder = value
    for key in path:
        holder = holder[key]
    holder[last] = place[1]
    with pytest.raises(NoCommandError) as caught:
        command_from(value, id=ID)
    assert meant in str(caught.value)


RIGHT = [
    ("nudge", {"changes": {"lr": ["=", 1], "optimizer.betas": ["=", [0.9, 0.99]],
    "epochs": ["+=", 20]}, "due": {"step": 5}}),
    ("nudge", {"changes": {"schedule": ["=", {"option": "torch", "_target_": "a.b", "arguments": {"x": [1]}}]},
    "due": {"progress": 0.5}}),
    ("nudge", {"changes": {"regularization.ema": ["=", None]}, "due": {"epoch": 0}}), ("pause", {}),
    ("unpause", {}), ("stop", {}),
    ("stop", {"due": {"epoch": 3}}), ("checkpoint", {}), ("checkpoint", {"tag": "good-1.b"}),
    ("rollback", {"to": {"best": True}}),
    ("rollback", {"to": {"back": 5}, "skip_batches": 3, "changes": {}}),
    ("rollback", {"to": {"tag": "a"}, "changes": {"lr": ["/=", 3]}}),
    ("rollback", {"to": {"epoch": 3}}), ("rollback", {"to": {"step": 0}}), ("cancel", {"scheduled": ID}),
    ("cancel", {"scheduled": "0123abcd"}),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "args"), RIGHT, ids=range(len(RIGHT)))
def test_what_commands_look_like(tmp_path: Path, verb: str, args: dict[str, Any]) -> None:
    name = send(tmp_path, verb, args, why="why not")
    (command,) = read_inbox(tmp_path).commands
    assert (command.id, command.verb, command.args, command.why) == (name, verb, args, "why not")


def test_every_verb_is_among_them() -> None:
    assert {verb for verb, _ in RIGHT} == set(VERBS)


@pytest.mark.parametrize(
    ("verb", "args"),
    [("checkpoint", {"tag": "../x"}), ("checkpoint", {"tag": ""}), ("checkpoint", {"tag": "-x"}),
     ("checkpoint", {"tag": 5}),
     ("rollback", {}), ("rollback", {"to": {"best": False}}), ("rollback", {"to": {"back": -1}}),
     ("rollback", {"to": "best"}),
     ("rollback", {"to": {"best": True}, "skip_batches": -1}), ("cancel", {"scheduled": "/"}), ("cancel", {}),
     ("pause", {"a": 1})],
)  # fmt: skip
def test_arguments_that_no_verb_has(verb: str, args: dict[str, Any]) -> None:
    with pytest.raises(NoCommandError):
        command_from({"id": ID, "verb": verb, "args": args}, id=ID)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(["lr", "schedule", "step", "best", "tag"])
arguments = st.dictionaries(
    st.sampled_from(["changes", "due", "to", "tag", "skip_batches", "scheduled"]),
    st.dictionaries(names, st.tuples(st.just("="), anything) | anything) | anything,
    max_size=3,
)
commands = st.fixed_dictionaries(
    {"id": st.just(ID), "verb": st.sampled_from(list(VERBS)) | anything, "args": arguments | anything},
    optional={"who": anything, "why": anything, "sent": anything, "more": anything},
)
contents = (
    st.binary(max_size=300)
    | anything.map(lambda it: json.dumps(it).encode())
    | commands.map(lambda it: json.dumps(it).encode())
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=120, deadline=None)
@given(st.lists(contents, min_size=1, max_size=4))
def test_any_bytes_are_a_command_or_set_aside(inbox: Path, found: list[bytes]) -> None:
    for number, content in enumerate(found):
        put(inbox, content, f"{number:020d}-00000000.json" if number else f"{ID}.json")
    answer = read_inbox(inbox.parent.parent)
    assert len(answer.commands) + len(answer.rejects) == len(found)
    for command in answer.commands:
        assert command.verb in VERBS
        json.dumps(dict(command.args), allow_nan=False)
        assert all(text.isprintable() for text in (command.who, command.why, command.sent))
    assert {path.stem for path in inbox.iterdir()} == {command.id for command in answer.commands}
    for path in inbox.iterdir():
        path.unlink()


@pytest.mark.parametrize("name", [".", "inbox", "acks", "set-aside"])
def test_folders_that_are_links_are_refused_in_one_line(inbox: Path, tmp_path: Path, name: str) -> None:
    Inbox(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    place = inbox.parent / name
    if place.exists():
        place.rename(tmp_path / "old")
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"is a symbolic link") as caught:
        Inbox(tmp_path)
    assert "\n" not in str(caught.value)
