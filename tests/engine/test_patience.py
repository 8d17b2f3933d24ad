"""A full disk: whoever writes waits, says so once, and leaves the record that a run without trouble leaves."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hpo_cli.engine import checkpoints
from hpo_cli.engine.patience import NoRoomError, Patience, append, is_full
from hpo_cli.engine.stop import StopFlag
from hpo_cli.errors import RunFailedError
from hpo_cli.record import ledger
from tests.engine.recording import empty_run, events_of, names_in, recorder_in, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LINUX = pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="asks Linux which file a descriptor is")  # noqa: PTH110


class Disk:
    """A disk with room for so many bytes more; `say` is how a waiting writer asks for room, after some failures."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path, *, room: int, code: int = errno.ENOSPC) -> None:
        self.room, self.code, self.root = room, code, str(root)
        self.full_fsync = False
        self.said: list[str] = []
        self.refused = 0
        self._write, self._fsync = os.write, os.fsync
        monkeypatch.setattr(os, "write", self.write)
        monkeypatch.setattr(os, "fsync", self.fsync)

    def write(self, descriptor: int, content: Any) -> int:
        if not self._is_ours(descriptor):
            return self._write(descriptor, content)
        part = bytes(content)[: self.room]
        if not part:
            self._refuse()
        self.room -= len(part)
        return self._write(descriptor, part)

    def fsync(self, descriptor: int) -> None:
        if self.full_fsync and self._is_ours(descriptor):
            self._refuse()
        self._fsync(descriptor)

    def say(self, line: str) -> None:
        self.said.append(line)

    def _refuse(self) -> None:
        self.refused += 1
        if self.refused % 3 == 0:  # somebody frees space
            self.room, self.full_fsync = 300, False
        raise OSError(self.code, os.strerror(self.code))

    def _is_ours(self, descriptor: int) -> bool:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink()).startswith(self.root)

    @property
    def patience(self) -> Patience:
        return Patience(say=self.say, stop=None, wait_s=0)


def write_a_run(folder: Path, patience: Patience) -> None:
    """Rows, ledger lines and checkpoints, as the engine writes them."""
    recorder = recorder_in(folder, patience=patience)
    for step in range(1, 31):
        recorder.row({"step": step, "epoch": 1, "train/loss": 1 / step, **({"val/loss": 0.5} if step % 5 == 0 else {})})
        if step % 5 == 0:
            append(folder, "nudged", step=step, patience=patience, id=f"n{step}", knobs={}, why="x" * 120)
            recorder.checkpoint(state_of(step), step=step, epoch=1, line=[f"n{step}"])
            recorder.join()
    recorder.close()


@LINUX
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("room", [0, 1, 77, 150])
def test_the_record_is_that_of_a_run_without_trouble(
    room: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "now", lambda: "2026-01-01T00:00:00.000000+00:00")
    calm, troubled = empty_run(tmp_path / "calm"), empty_run(tmp_path / "troubled")
    write_a_run(calm, Patience())
    disk = Disk(monkeypatch, troubled, room=room, code=code)
    write_a_run(troubled, disk.patience)
    assert disk.refused > 10
    for file in ("ledger.jsonl", "metrics.jsonl"):
        assert (troubled / file).read_bytes() == (calm / file).read_bytes()
    assert names_in(troubled) == names_in(calm) == ["step-00000025.pt", "step-00000030.pt"]


@LINUX
def test_a_line_whose_sync_fails_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = empty_run(tmp_path / "run")
    disk = Disk(monkeypatch, folder, room=10**6)
    disk.full_fsync = True
    with pytest.raises(OSError, match="space"):  # without patience
        ledger.append(folder, "noted", step=1)
    assert len(events_of(folder, "noted")) == 1  # it is there all the same: to repeat it would double it
    append(folder, "nudged", step=2, patience=disk.patience, id="a")
    assert [event["event"] for event in events_of(folder)] == ["started", "noted", "nudged"]


@LINUX
def test_it_is_said_once_when_it_begins_and_once_when_it_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = empty_run(tmp_path / "run")
    disk = Disk(monkeypatch, folder, room=0)
    append(folder, "nudged", step=2, patience=disk.patience, id="a")
    assert disk.refused == 3
    assert disk.said == [
        f"disk full: {folder / 'ledger.jsonl'}: training waits; free space and it goes on",
        "the disk has room again: training goes on",
    ]


def test_a_checkpoint_that_does_not_fit_waits_and_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, said = empty_run(tmp_path / "run"), list[str]()
    original, tries = checkpoints.save, list[Path]()

    def save(path: Path, state: dict[str, Any]) -> str:
        tries.append(path)
        if len(tries) < 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(path, state)

    monkeypatch.setattr(checkpoints, "save", save)
    recorder = recorder_in(folder, patience=Patience(say=said.append, wait_s=0))
    name = recorder.checkpoint(state_of(5), step=5, epoch=1, line=[])
    recorder.join()
    assert (len(tries), len(said)) == (4, 2)
    assert checkpoints.load(folder / name)["model"]["w"].tolist() == [5.0] * 8
    recorder.close()


class NoRoom:
    """A file of which only the beginning fits."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, data: bytes) -> int:
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(data)


@pytest.mark.parametrize("room", [0, 100, 4000, 70_000])
def test_torch_passes_on_what_the_disk_said(room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = checkpoints._Sink.__init__
    monkeypatch.setattr(checkpoints._Sink, "__init__", lambda sink, _: real(sink, NoRoom(room)))
    with pytest.raises(OSError, match="No space left") as caught:
        checkpoints.save(tmp_path / "a.pt", state_of(3, size=40_000))
    assert is_full(caught.value)
    assert not list(tmp_path.iterdir())


def fails(*errors: BaseException) -> Callable[[], str]:
    left = list(errors)

    def action() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return action


def wrapped() -> RuntimeError:
    error = RuntimeError("[enforce fail at inline_container.cc:863] . PytorchStreamWriter failed writing file")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    return error


def test_only_a_full_disk_is_waited_for() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert Patience(say=print, wait_s=0).run(fails(full, wrapped()), where="x") == "done"
    for other in (OSError(errno.EIO, "x"), PermissionError(errno.EACCES, "x"), RuntimeError("x"), ValueError("x")):
        for action in (fails(other), fails(full, other)):
            with pytest.raises(type(other)):
                Patience(say=lambda _: None, wait_s=0).run(action, where="x")


def test_who_waits_gives_up_when_asked_to_stop() -> None:
    stop = StopFlag()
    threading.Timer(0.3, lambda: setattr(stop, "signum", 15)).start()
    endless = fails(*[OSError(errno.ENOSPC, "full") for _ in range(10_000)])
    with pytest.raises(RunFailedError, match="disk full: there: asked to stop") as caught:
        Patience(say=lambda _: None, stop=stop, wait_s=60).run(endless, where="there")
    assert caught.value.exit_code == 1
    assert isinstance(caught.value, NoRoomError)
    assert caught.value.signum == 15


def test_how_a_run_ended_is_written_though_it_was_asked_to_stop() -> None:
    stop, said = StopFlag(), list[str]()
    stop.signum = 15
    patience = Patience(say=said.append, stop=stop, wait_s=0.01)
    full = [OSError(errno.ENOSPC, "full") for _ in range(3)]
    assert patience.last_words().run(fails(*full), where="there") == "done"
    with pytest.raises(NoRoomError, match=r"disk full: there: no room for 0 s") as caught:
        patience.last_words(limit_s=0.1).run(
            fails(*[OSError(errno.ENOSPC, "full") for _ in range(10_000)]), where="there"
        )
    assert caught.value.signum is None


def test_two_threads_that_wait_say_it_once() -> None:
    said, meet = list[str](), threading.Barrier(2, timeout=10)
    patience = Patience(say=said.append, wait_s=0.3)

    def action_of(state: list[int]) -> Callable[[], None]:
        def action() -> None:
            state.append(1)
            if len(state) == 1:
                meet.wait()
                raise OSError(errno.ENOSPC, "full")

        return action

    threads = [threading.Thread(target=patience.run, args=(action_of([]),), kwargs={"where": "x"}) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [line.partition(":")[0] for line in said] == ["disk full", "the disk has room again"]


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 256 KiB."""
    place = tmp_path / "tiny"
    place.mkdir()
    if os.name == "nt" or os.geteuid() != 0:
        pytest.skip("mounting needs root")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_real_disk_that_is_full_is_waited_for(tiny: Path) -> None:
    folder, said = empty_run(tiny / "run"), list[str]()
    filler = tiny / "filler"
    filler.write_bytes(b"x" * (200 << 10))
    told = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        told.set()

    recorder = recorder_in(folder, patience=Patience(say=say, wait_s=0.05), keep_last=1)
    rows = [{"step": step, "epoch": 1, "val/loss": 1 / step} for step in range(1, 400)]

    def train() -> None:
        for row in rows:
            recorder.row(row)
        recorder.checkpoint(state_of(400, size=20_000), step=400, epoch=1, line=[])
        recorder.close()

    thread = threading.Thread(target=train)
    thread.start()
    assert told.wait(20)
    assert thread.is_alive() or not events_of(folder, "checkpointed")
    filler.unlink()
    thread.join(20)
    assert not thread.is_alive()
    assert [line.partition(":")[0] for line in said] == ["disk full", "the disk has room again"]
    assert len((folder / "metrics.jsonl").read_bytes().splitlines()) == len(rows)
    (event,) = events_of(folder, "checkpointed")
    assert checkpoints.file_sha256(folder / event["file"]) == event["sha256"]
    assert names_in(folder) == ["step-00000400.pt"]
