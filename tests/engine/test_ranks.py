"""Two processes that share each batch, against one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
import torch

from hpo_cli.engine import checkpoints
from hpo_cli.engine.ranks import LocalRanks, Ranks, ranks_from_environment, started_ranks
from tests.engine.commands import Command, group_is_empty, start_command
from tests.engine.plans import new_loop, plan, rows_of, trained

if TYPE_CHECKING:
    from pathlib import Path

WORDS = (
    *("epochs=2", "model.width=16", "optimizer=sgd", "regularization.l2=0.01", "regularization.clip_norm=1"),
    *("regularization.label_smoothing=0.1", "data.subset=0.1", "trainer.log_every_steps=1"),
)
ODD = ("batch_size=25", "batch.accumulate=2")
"""126 samples make five batches of 25 and one of a single sample."""
DDP = ("trainer=ddp", "trainer.accelerator=cpu")


def close_to_one_process(command: Command, *words: str) -> None:
    loop = trained(plan(*words))
    assert len(command.rows) == len(rows_of(loop))
    for row, wanted in zip(command.rows, rows_of(loop), strict=True):
        assert row == pytest.approx(wanted, rel=1e-5, abs=1e-6)
    for name, weight in loop.system.model.state_dict().items():
        torch.testing.assert_close(command.state()["model"][name], weight, rtol=1e-5, atol=1e-5)


def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    assert len(next(new_loop(plan(*WORDS, *ODD)).train_source.batches(0, start=125, batch_size=25))[0]) == 1
    command = start_command(tmp_path / "run", *DDP, *WORDS, *ODD)
    assert command.wait() == 0, command.output()
    close_to_one_process(command, *WORDS, *ODD)
    with pytest.raises(AssertionError):
        close_to_one_process(command, *WORDS, "batch_size=25")
    state = command.state()
    assert checkpoints.weights_sha256(state["model"].items()) == command.result["weights_sha256"]
    assert [event["event"] for event in command.events].count("finished") == 1
    assert group_is_empty(command.process.pid)


REMEMBERED = (
    *("epochs=2", "model.width=16", "optimizer=momentum", "regularization.ema=0.9", "schedule=plateau"),
    *("schedule.patience=0", "loss.class_weights=[3,1,1,1,1,1,1,1,1,2]", "data.subset=0.1", "init=he_normal"),
)
TEXT = (
    *("data=text", "data.subset=0.006", "data.val_fraction=0.01", "data.test_fraction=0.3", "data.window=16"),
    *("model.width=8", "model.embedding=4", "batch_size=24", "epochs=2"),
)


@pytest.mark.parametrize("words", [REMEMBERED, TEXT], ids=["average, plateau, class weights", "hidden state"])
def test_what_a_run_remembers_is_the_same_in_two_processes(words: tuple[str, ...], tmp_path: Path) -> None:
    command = start_command(tmp_path / "run", *DDP, *words)
    assert command.wait() == 0, command.output()
    close_to_one_process(command, *words)


def test_a_second_run_of_one_command_has_partners_of_its_own(tmp_path: Path) -> None:
    """A cross-validation trains several runs in one process, each with another one beside it."""
    command = start_command(tmp_path / "folds", *DDP, "data.folds=2", "epochs=1", "model.width=8", "data.subset=0.2")
    assert command.wait() == 0, command.output()
    assert "folds 2 runs" in command.output()


def children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "--ppid", str(pid), "-o", "pid="], capture_output=True, text=True, check=False)
    return [int(word) for word in listed.stdout.split()]


def test_sigterm_stops_all_processes(tmp_path: Path) -> None:
    command = start_command(tmp_path / "run", *DDP, "epochs=100000", "model.width=16", "data.subset=0.1")
    command.wait_for_rows(2)
    others = children(command.process.pid)
    assert others
    assert command.signal(signal.SIGTERM) == 143, command.output()
    assert command.result["status"] == "interrupted"
    assert command.state()["position"]["step"] == command.result["steps"]
    assert not any(alive(pid) for pid in others)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_ctrl_c_while_the_processes_start_ends_all_of_them(tmp_path: Path) -> None:
    """A terminal sends it to the whole group."""
    command = start_command(tmp_path / "run", *DDP, "epochs=100000", "model.width=16", "data.subset=0.1")
    until = time.monotonic() + 120
    while not (others := children(command.process.pid)):
        assert time.monotonic() < until
        time.sleep(0.02)
    os.killpg(command.process.pid, signal.SIGINT)
    assert command.wait() == 130, command.output()
    assert not any(alive(pid) for pid in others)


@pytest.mark.slow
def test_the_death_of_one_process_fails_the_run(tmp_path: Path) -> None:
    command = start_command(tmp_path / "run", *DDP, "epochs=100000", "model.width=16", "data.subset=0.1")
    command.wait_for_rows(2)
    (other,) = (pid for pid in children(command.process.pid))
    os.kill(other, signal.SIGKILL)
    assert command.wait() == 1, command.output()
    assert command.result["status"] == "failed"


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("data=diabetes", "loss=mse", "epochs=2", "batch_size=50"),
        ("optimizer=adamw", "regularization.l1=0.001", *WORDS[1:2], "data.subset=0.1", "epochs=2"),
        ("model.norm=batch", "data.subset=0.1", "epochs=2"),
    ],
    ids=["regression", "adamw", "batch norm"],
)
def test_more_settings_of_two_processes(words: tuple[str, ...], tmp_path: Path) -> None:
    command = start_command(tmp_path / "run", *DDP, *words)
    assert command.wait() == 0, command.output()
    if "model.norm=batch" not in words:  # each process normalises by its own half
        close_to_one_process(command, *words)


def test_the_place_of_a_process_comes_from_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RANK", "2"), ("WORLD", "3"), ("PORT", "4567")):
        monkeypatch.setenv(f"HPO_RUN_{name}", value)
    ranks = ranks_from_environment()
    assert ranks == Ranks(2, 3, 4567)
    place = LocalRanks(ranks)
    assert (place.global_rank(), place.local_rank(), place.node_rank(), place.world_size()) == (2, 2, 0, 3)
    assert (place.main_address, place.main_port, place.creates_processes_externally) == ("127.0.0.1", 4567, True)


def test_the_others_are_ended_when_the_first_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started: list[subprocess.Popen[bytes]] = []
    original = subprocess.Popen

    def sleeper(command: list[str], **keys: Any) -> subprocess.Popen[bytes]:
        assert command[-1] == str(tmp_path)
        started.append(original([sys.executable, "-c", "import time; time.sleep(99)"], **keys))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", sleeper)
    with pytest.raises(ZeroDivisionError), started_ranks(tmp_path, 3, on_loss=print) as ranks:  # noqa: PT012 - the block fails
        assert (ranks.rank, ranks.world) == (0, 3)
        assert len(started) == 2
        raise ZeroDivisionError
    assert [process.poll() for process in started] == [-signal.SIGTERM] * 2


LOST = """
import subprocess, sys, time
from pathlib import Path
from hpo_cli.engine import ranks
ranks.GRACE_S = 0.5
def start(folder, place):
    log = (folder / f"rank-{place.rank}.log").open("w")
    return subprocess.Popen([sys.executable, "-c", "import sys; print('no memory'); sys.exit(3)"], stdout=log)
ranks._start = start
with ranks.started_ranks(Path(sys.argv[1]), 2, on_loss=lambda reason: print(reason, flush=True)):
    time.sleep(60)
"""


def test_the_first_process_ends_when_another_dies_and_it_hangs(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", LOST, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stdout.strip() == "process 1 of the run ended: no memory"
