"""Signals through the real command: what was stopped or killed goes on in a process of its own, to the same bits."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from hpo_cli.engine.verify_compare import differences
from hpo_cli.record import ledger
from hpo_cli.steer.commands import send, wait_for_ack
from tests.engine.commands import ROOT, Command, group_is_empty, start_command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow
WORDS = (
    *("trainer.accelerator=cpu", "data.subset=0.5", "model.width=16", "batch_size=4", "epochs=16"),
    *("regularization.dropout=0.2", "regularization.ema=0.9", "schedule=plateau", "trainer.log_every_steps=5"),
    *("checkpoint.every_steps=400",),
)
"""2,512 steps, some seconds."""
PATIENCE_S = 30


def resume(folder: Path) -> Command:
    """Start `hpo-run resume=FOLDER` in a process of its own."""
    command = [sys.executable, "-m", "hpo_cli.cli", f"resume={folder}"]
    with (folder.parent / f"{folder.name}.out").open("ab") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Command(process, folder)


def finish(command: Command) -> None:
    assert command.wait() == 0, command.output()


def await_true(check: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not check():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outputs") / "straight"
    finish(start_command(folder, *WORDS))
    return folder


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "Ctrl-C"])
def test_a_run_that_was_asked_to_stop_goes_on_exactly(
    number: signal.Signals, code: int, straight: Path, tmp_path: Path
) -> None:
    command = start_command(tmp_path / "run", *WORDS)
    for rows in (30, 200):
        command.wait_for_rows(rows)
        assert command.signal(number) == code, command.output()
        stopped_at = command.state()["position"]["step"]
        assert command.events[-1]["event"] == "interrupted"
        assert command.events[-1]["step"] == stopped_at
        command = resume(command.folder)
    finish(command)
    assert [event["step"] for event in command.events if event["event"] == "resumed"][-1] == stopped_at > 400
    assert list(differences(straight, command.folder)) == []


def test_a_run_that_was_killed_again_and_again_goes_on_exactly(straight: Path, tmp_path: Path) -> None:
    command = start_command(tmp_path / "run", *WORDS)
    for rows in (20, 150, 300, 420):
        command.wait_for_rows(rows)
        assert command.signal(signal.SIGKILL) == -signal.SIGKILL
        assert group_is_empty(command.process.pid)
        command = resume(command.folder)
    finish(command)
    assert len([event for event in command.events if event["event"] == "resumed"]) == 4
    assert list(differences(straight, command.folder)) == []


def test_a_nudge_survives_the_kill_that_follows_it(straight: Path, tmp_path: Path) -> None:
    """The straight run gets the same nudges at the same steps, as standing orders before training begins."""
    command = start_command(tmp_path / "run", *WORDS)
    for rows, change in ((200, {"lr": ["/=", 2]}), (300, {"regularization.dropout": ["=", 0.3]})):
        command.wait_for_rows(rows)
        name = send(command.folder, "nudge", {"changes": change})
        ack = wait_for_ack(command.folder, name, PATIENCE_S)
        assert ack is not None
        assert ack["ok"], ack
        assert command.signal(signal.SIGKILL) == -signal.SIGKILL
        command = resume(command.folder)
    finish(command)
    nudged = [event for event in command.events if event["event"] == "nudged"]
    assert [list(event["knobs"]) for event in nudged] == [["lr"], ["regularization.dropout"]]
    again = start_command(tmp_path / "again", *WORDS)
    await_true(lambda: ledger.ledger_path(again.folder).exists())
    for event in nudged:
        ((key, change),) = event["knobs"].items()
        send(again.folder, "nudge", {"changes": {key: ["=", change["new"]]}, "due": {"step": event["step"]}})
    finish(again)
    assert list(differences(again.folder, command.folder)) == []
    assert list(differences(straight, command.folder)) != []


def children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "--ppid", str(pid), "-o", "pid="], capture_output=True, text=True, check=False)
    return [int(word) for word in listed.stdout.split()]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


ENDLESS = ("trainer.accelerator=cpu", "epochs=100000", "model.width=16", "data.subset=0.1")


@pytest.mark.parametrize(
    "words", [("data.placement=workers", "data.num_workers=2"), ("trainer.devices=2",)], ids=["workers", "ranks"]
)
def test_a_killed_run_leaves_no_process_behind(words: tuple[str, ...], tmp_path: Path) -> None:
    command = start_command(tmp_path / "run", *ENDLESS, *words)
    command.wait_for_rows(2)
    others = children(command.process.pid)
    assert others
    assert command.signal(signal.SIGKILL) == -signal.SIGKILL
    await_true(lambda: not any(alive(pid) for pid in others))


def test_a_run_goes_on_exactly_after_one_of_its_two_processes_was_killed(tmp_path: Path) -> None:
    words = ("trainer.devices=2", "checkpoint.every_steps=60", *WORDS[:-1], "epochs=8", "trainer.log_every_steps=1")
    straight = start_command(tmp_path / "straight", *words)
    finish(straight)
    command = start_command(tmp_path / "run", *words)
    command.wait_for_rows(200)
    (other,) = children(command.process.pid)
    os.kill(other, signal.SIGKILL)
    assert command.wait() == 1, command.output()
    command = resume(command.folder)
    finish(command)
    steps = [event["step"] for event in command.events if event["event"] == "resumed"]
    assert steps
    assert steps[0] > 0
    assert list(differences(straight.folder, command.folder)) == []


def test_two_resumes_at_once_are_one(straight: Path, tmp_path: Path) -> None:
    command = start_command(tmp_path / "run", *WORDS)
    command.wait_for_rows(60)
    command.signal(signal.SIGKILL)
    both = [resume(command.folder), resume(command.folder)]
    codes = sorted(one.wait() for one in both)
    assert codes == [0, 2], command.output()
    assert list(itertools.islice(differences(straight, command.folder), 1)) == []
