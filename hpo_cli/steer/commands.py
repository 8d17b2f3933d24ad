"""Commands to a run that trains: files put into its folder, and the acknowledgements that come back."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpo_cli.errors import UserError
from hpo_cli.record import jsonl
from hpo_cli.record.atomic import write_json
from hpo_cli.record.contents import DamagedError, read_file
from hpo_cli.record.folder import CONTROL
from hpo_cli.record.ledger import now
from hpo_cli.steer.inbox import ACKS, ENDING, INBOX, Found, Inbox, Reject, read_inbox
from hpo_cli.steer.shapes import ID, VERBS, Command, NoCommandError, Verbs, command_from, new_id

__all__ = [
    "Command", "Found", "Inbox", "Reject", "acknowledge", "read_inbox", "send", "wait_for_ack", "who_am_i", "withdraw",
]  # fmt: skip

KEPT_ACKS = 200
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.02, 0.2


def send(
    folder: Path | str,
    verb: str,
    args: Mapping[str, Any],
    *,
    who: str | None = None,
    why: str = "",
    verbs: Verbs = VERBS,
) -> str:
    """Put a command into a run's inbox, whole or not at all; its id.

    who: default this user on this machine. verbs: those that the reader knows, default a run's. Raises UserError
    where the folder cannot be written or the command is none.
    """
    name = new_id()
    command = {
        "id": name,
        "verb": verb,
        "args": dict(args),
        "who": who_am_i() if who is None else who,
        "why": " ".join(why.split()),
        "sent": now(),
    }
    try:
        command_from(jsonl.parse(jsonl.encode(command)), id=name, verbs=verbs)
    except NoCommandError as error:
        raise UserError(f"{verb}: cannot be sent: {error}") from error
    inbox = Path(folder) / CONTROL / INBOX
    try:
        inbox.mkdir(parents=True, exist_ok=True)
        write_json(inbox / f"{name}{ENDING}", command)
    except OSError as error:
        raise UserError(f"{inbox}: no command can be put there ({error.strerror}); ask the run's owner") from error
    return name


def who_am_i() -> str:
    """user@host, as ledgers have it."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a user without a name, as in some containers
        user = str(os.getuid()) if hasattr(os, "getuid") else "someone"
    text = f"{user}@{socket.gethostname()}"
    return "".join(letter for letter in text if letter.isprintable())[:200]


def acknowledge(
    folder: Path | str,
    id: str,  # noqa: A002 - what it is called in the file
    *,
    ok: bool,
    step: int | None = None,
    said: Sequence[str] = (),
    knobs: Mapping[str, Any] | None = None,
    lr: float | None = None,
    error: str = "",
) -> bool:
    """Answer a command and take it out of the inbox.

    ok: whether it was obeyed; error: one line that says why not.
    said: lines for the sender's screen; knobs: {key: {"old", "new"}}, read back; lr: the rate that this step used.
    False where the answer could not be written: the command stays, to be read and answered again.
    """
    if not ID.fullmatch(id):
        raise ValueError(f"{id}: no id of a command")
    found = {"id": id, "ok": ok, "step": step, "said": list(said), "knobs": dict(knobs or {}), "lr": lr}
    acks = Path(folder) / CONTROL / ACKS
    try:
        acks.mkdir(parents=True, exist_ok=True)
        write_json(acks / f"{id}{ENDING}", found | ({} if ok else {"error": error}))
    except OSError:
        return False
    withdraw(folder, id)
    _prune(acks)
    return True


def wait_for_ack(folder: Path | str, id: str, timeout_s: float) -> dict[str, Any] | None:  # noqa: A002
    """The answer to a command; None when there is none after `timeout_s` seconds."""
    deadline, pause = time.monotonic() + timeout_s, _FIRST_WAIT_S
    while (found := read_ack(folder, id)) is None:
        left = deadline - time.monotonic()
        if left <= 0:
            return None
        time.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST_WAIT_S)
    return found


def read_ack(folder: Path | str, id: str) -> dict[str, Any] | None:  # noqa: A002
    """The answer to a command, None while there is none."""
    acks = Path(folder) / CONTROL / ACKS
    with contextlib.suppress(OSError), os.scandir(acks):
        pass  # to open the folder makes a network file system look for new files
    try:
        content = read_file(os.fspath(acks), f"{id}{ENDING}")
    except DamagedError:
        return None
    found = jsonl.parse(content) if content else None
    return found if found is not None and found.get("id") == id and isinstance(found.get("ok"), bool) else None


def withdraw(folder: Path | str, id: str) -> bool:  # noqa: A002
    """Take a command back; whether it was still in the inbox."""
    try:
        (Path(folder) / CONTROL / INBOX / f"{id}{ENDING}").unlink()
    except OSError:
        return False
    return True


def _prune(acks: Path) -> None:
    """Remove all answers but the newest ones."""
    with contextlib.suppress(OSError), os.scandir(acks) as entries:
        names = sorted(entry.name for entry in entries if ID.fullmatch(entry.name.removesuffix(ENDING)))
        for name in names[:-KEPT_ACKS]:
            (acks / name).unlink()
