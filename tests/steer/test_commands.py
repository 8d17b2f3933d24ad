"""Commands on their way there and answers on their way back."""

from __future__ import annotations

import getpass
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from hpo_cli.errors import UserError
from hpo_cli.steer import commands
from hpo_cli.steer.commands import (
    KEPT_ACKS,
    Inbox,
    acknowledge,
    read_ack,
    read_inbox,
    send,
    wait_for_ack,
    who_am_i,
    withdraw,
)


def test_a_command_goes_there_and_its_answer_comes_back(tmp_path: Path) -> None:
    name = send(tmp_path, "nudge", {"changes": {"lr": ["=", 0.1]}}, why=" to\n see ")
    (command,) = read_inbox(tmp_path).commands
    assert (command.who, command.why) == (who_am_i(), "to see")
    assert command.sent.endswith("+00:00")
    knobs = {"lr": {"old": 0.2, "new": 0.1}}
    assert acknowledge(tmp_path, name, ok=True, step=7, said=["done"], knobs=knobs, lr=float("nan"))
    assert wait_for_ack(tmp_path, name, 0) == {
        "id": name, "ok": True, "step": 7, "said": ["done"], "knobs": knobs, "lr": None,
    }  # fmt: skip
    assert not Inbox(tmp_path).pending()


def test_a_refusal_says_why(tmp_path: Path) -> None:
    name = send(tmp_path, "pause", {})
    acknowledge(tmp_path, name, ok=False, error="no")
    found = wait_for_ack(tmp_path, name, 0)
    assert found is not None
    assert (found["ok"], found["error"]) == (False, "no")


def test_the_answer_is_waited_for(tmp_path: Path) -> None:
    name = send(tmp_path, "pause", {})
    engine = threading.Timer(0.1, lambda: acknowledge(tmp_path, name, ok=True, step=1))
    engine.start()
    assert wait_for_ack(tmp_path, name, 30) is not None
    engine.join()
    begin = time.monotonic()
    assert wait_for_ack(tmp_path, send(tmp_path, "pause", {}), 0.1) is None
    assert 0.1 <= time.monotonic() - begin < 5


def test_a_command_can_be_taken_back_until_it_is_answered(tmp_path: Path) -> None:
    name = send(tmp_path, "pause", {})
    assert withdraw(tmp_path, name)
    assert not withdraw(tmp_path, name)
    assert not Inbox(tmp_path).pending()


def test_the_newest_answers_are_kept(tmp_path: Path) -> None:
    acks = tmp_path / "control" / "acks"
    acks.mkdir(parents=True)
    (acks / "notes.txt").write_text("somebody's")
    for number in range(KEPT_ACKS + 5):
        (acks / f"{number:020d}-00000000.json").write_text("{}")
    acknowledge(tmp_path, f"{10**19:020d}-00000000", ok=True, step=1)
    kept = sorted(path.name for path in acks.iterdir())
    assert len(kept) == KEPT_ACKS + 1
    assert kept[0].startswith(f"{6:020d}")
    assert "notes.txt" in kept


def test_an_answer_that_cannot_be_written_leaves_the_command(tmp_path: Path) -> None:
    name = send(tmp_path, "pause", {})
    (tmp_path / "control" / "acks").write_text("in the way")
    assert not acknowledge(tmp_path, name, ok=True, step=1)
    assert Inbox(tmp_path).pending()
    assert read_ack(tmp_path, name) is None


@pytest.mark.parametrize("content", [b"", b"x", b"[]", b"{}", b'{"id": "other", "ok": true}', b'{"ok": true}'])
def test_an_answer_that_is_none_is_waited_out(tmp_path: Path, content: bytes) -> None:
    name = send(tmp_path, "pause", {})
    (tmp_path / "control" / "acks").mkdir()
    (tmp_path / "control" / "acks" / f"{name}.json").write_bytes(content)
    assert read_ack(tmp_path, name) is None


def test_an_id_is_no_path(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no id of a command"):
        acknowledge(tmp_path, "../../x", ok=True)


@pytest.mark.parametrize(
    ("verb", "args"),
    [("nudge", {"changes": {}}), ("shout", {}), ("nudge", {"changes": {"lr": ["=", "\x07"]}}), ("pause", {"for": 3})],
)
def test_what_no_run_would_take_is_not_sent(tmp_path: Path, verb: str, args: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="cannot be sent"):
        send(tmp_path, verb, args)
    assert not (tmp_path / "control").exists()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "control").write_text("in the way")
    with pytest.raises(UserError, match="no command can be put there"):
        send(tmp_path, "pause", {})


def test_a_torn_write_leaves_no_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hpo_cli.record.atomic.os.fsync", full)
    with pytest.raises(UserError, match="No space left"):
        send(tmp_path, "pause", {})
    assert not list((tmp_path / "control" / "inbox").iterdir())


def test_a_user_without_a_name_can_send(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert "@" in who_am_i()
    monkeypatch.setattr(commands.socket, "gethostname", lambda: "h\x1b" * 300)
    assert who_am_i().isprintable()
    assert len(who_am_i()) == 200
    send(tmp_path, "pause", {})
    assert len(read_inbox(tmp_path).commands) == 1


def test_many_send_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    sent: list[str] = []
    people = [
        threading.Thread(target=lambda: sent.extend(send(tmp_path, "pause", {}) for _ in range(10))) for _ in range(4)
    ]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert [command.id for command in read_inbox(tmp_path).commands] == sorted(sent)
    assert len(set(sent)) == 40
    assert all(json.loads(path.read_text())["verb"] == "pause" for path in (tmp_path / "control" / "inbox").iterdir())
