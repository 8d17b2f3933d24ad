"""How much memory is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hpo_cli.engine import memory

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of Linux, of a machine with 8 MiB and a control group of 4 MiB that uses 3, 1 of them for old files."""
    (tmp_path / "meminfo").write_text("MemTotal: 16384 kB\nMemAvailable:    8192 kB\nHugePages_Total:       0\n")
    (tmp_path / "self").write_text("1:name=x:/y\n0::/job\n")
    (tmp_path / "job").mkdir()
    for name, text in (("max", "4194304\n"), ("current", "3145728\n"), ("stat", "anon 5\ninactive_file 1048576\n")):
        (tmp_path / "job" / f"memory.{name}").write_text(text)
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_SELF", tmp_path / "self")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    return tmp_path


def test_the_smaller_of_machine_and_control_group_counts(system: Path) -> None:
    assert memory.available_bytes() == 2 << 20
    (system / "job" / "memory.max").write_text("max\n")
    assert memory.available_bytes() == 8 << 20
    (system / "self").unlink()
    assert memory.available_bytes() == 8 << 20
    (system / "meminfo").unlink()
    assert memory.available_bytes() == memory.UNKNOWN


def test_of_this_machine_something_is_left() -> None:
    assert memory.available_bytes() > 1 << 20
