import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hpo_cli.record import atomic
from hpo_cli.record.atomic import replace_file, write_json, write_text

KILLED_BEFORE_RENAME = """
import os, signal, sys
from hpo_cli.record.atomic import replace_file
with replace_file(sys.argv[1]) as file:
    file.write(b"new, but only a part of it")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


def test_a_file_is_created_then_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "one")
    write_text(path, "zwö")
    assert path.read_bytes() == "zwö".encode()
    assert names(tmp_path) == ["a.txt"]


def test_the_new_file_obeys_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "a", "x")
    finally:
        os.umask(old)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_an_error_in_the_block_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def fail() -> None:
        with replace_file(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*((os, "fsync", full) if broken == "fsync" else (Path, "replace", full)))
    with pytest.raises(OSError, match="No space"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_a_kill_between_write_and_rename_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    child = subprocess.run([sys.executable, "-c", KILLED_BEFORE_RENAME, str(path)], check=False)
    assert child.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert len(names(tmp_path)) == 2, "the child did not get as far as its temporary file"


def test_a_plain_write_fails_the_check_above(tmp_path: Path) -> None:
    """The negative control: without the temporary file, the same kill loses the old content."""
    path = tmp_path / "a"
    path.write_text("old")
    plain = KILLED_BEFORE_RENAME.replace("replace_file(sys.argv[1])", "open(sys.argv[1], 'wb')")
    subprocess.run([sys.executable, "-c", plain, str(path)], check=False)
    assert path.read_text() != "old"


def test_a_really_full_disk(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        write_text(tmp_path / "a", "old")
        with pytest.raises(OSError, match="No space") as caught:
            write_text(tmp_path / "a", "x" * 1_000_000)
        assert caught.value.errno == errno.ENOSPC
        assert (tmp_path / "a").read_text() == "old"
        assert names(tmp_path) == ["a"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_file_and_folder_are_synced_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    real_sync, real_replace = os.fsync, Path.replace

    def note_sync(descriptor: int) -> None:
        seen.append("folder" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "file")
        real_sync(descriptor)

    def note_replace(self: Path, target: Path) -> Path:
        seen.append("rename")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_replace)
    write_text(tmp_path / "a", "x")
    assert seen == ["file", "rename", "folder"]


def test_a_file_system_that_cannot_sync_folders_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuse)
    atomic.sync_folder(tmp_path)

    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        atomic.sync_folder(tmp_path)


def test_json_is_strict(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"x": float("nan"), "y": [float("inf"), 1.5], "p": Path("/a")})
    text = (tmp_path / "a").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {"x": None, "y": [None, 1.5], "p": "/a"}
