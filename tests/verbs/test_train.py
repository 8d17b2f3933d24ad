"""`hpo-run [overrides]`: what a run leaves where it may not go, when it fails, and when its place cannot be had."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.command_line import SMALL, call, refuse, refuse_in_one_line


@pytest.fixture(autouse=True)
def _own_folder_and_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    threads = torch.get_num_threads()
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    torch.set_num_threads(threads)


def test_a_run_lands_where_it_is_sent() -> None:
    assert call(*SMALL, "outputs=deep/er", "name=mine").code == 0
    (run,) = Path("deep/er/mine").iterdir()
    assert json.loads((run / "result.json").read_text())["status"] == "finished"
    assert call(*SMALL, "hydra.run.dir='a b'").code == 0
    assert Path("a b/result.json").exists()


def test_the_environment_names_the_folder_of_all_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPO_RUN_OUTPUTS", "elsewhere")
    assert call(*SMALL).code == 0
    assert len(json.loads(call("ls", "--json").out)) == 1
    assert Path("elsewhere/digits").is_dir()


def test_a_folder_that_exists_is_refused_and_left_alone() -> None:
    Path("mine").mkdir()
    Path("mine/keep").write_text("x")
    assert "two runs never share a folder" in refuse_in_one_line(*SMALL, "hydra.run.dir=mine")
    assert [path.name for path in Path("mine").iterdir()] == ["keep"]


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nothing", "x" * 300])
def test_outputs_that_cannot_be_a_folder_are_refused(place: str) -> None:
    Path("file").write_text("keep")
    assert refuse_in_one_line(*SMALL, f"outputs={place}").startswith("outputs=")
    assert Path("file").read_text() == "keep"


def test_outputs_that_may_not_be_written_are_refused() -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    Path("closed").mkdir(mode=0o500)
    assert "Permission denied" in refuse_in_one_line(*SMALL, "outputs=closed")


def test_a_run_that_diverges_fails_with_its_step_and_leaves_its_record() -> None:
    answer = call(*SMALL, "lr=1e30")
    assert answer.code == 1
    assert answer.lines[0].startswith("train/loss is ")
    assert "at step" in answer.lines[0]
    (run,) = Path("outputs/digits").iterdir()
    assert answer.lines[1] == f"run   {run}"
    assert json.loads((run / "result.json").read_text())["status"] == "failed"
    assert "Traceback" in (run / "error.txt").read_text()
    ended = json.loads((run / "ledger.jsonl").read_text().splitlines()[-1])
    assert ended["event"] == "failed"
    assert ended["reason"] == answer.lines[0]


@pytest.mark.parametrize("words", [["lr=-1"], ["batch_size=5000"], ["model.norm=group", "model.norm_groups=3"]])
def test_a_refusal_leaves_nothing(words: list[str]) -> None:
    refuse(*SMALL, *words)
    assert list(Path().iterdir()) == []


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An empty file system that is soon full."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small file system is mounted by root alone")
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_fills_up_while_training_makes_the_run_wait_for_room(disk: Path) -> None:
    train = [sys.executable, "-W", "ignore", "-m", "hpo_cli.cli", *SMALL, f"outputs={disk}"]
    process = subprocess.Popen(train, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "disk full" in line:
            subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
    process.stdout.close()
    assert process.wait(timeout=60) == 0, said
    assert sum("disk full" in line for line in said) == 1, said
    assert any("room again" in line for line in said)
    (run,) = (disk / "digits").iterdir()
    assert json.loads((run / "result.json").read_text())["status"] == "finished"
    assert json.loads((run / "ledger.jsonl").read_text().splitlines()[-1])["event"] == "finished"


def test_a_disk_that_is_full_at_the_start_is_told_in_one_line(disk: Path) -> None:
    (disk / "ballast").write_bytes(b"x" * (56 << 10))
    assert "No space left on device" in refuse_in_one_line(*SMALL, f"outputs={disk}", code=1)
    assert (disk / "ballast").stat().st_size == 56 << 10


def test_loggers_write_beside_the_record() -> None:
    assert call(*SMALL, "logger=csv").code == 0
    (run,) = Path("outputs/digits").iterdir()
    assert "val/accuracy" in (run / "csv" / "metrics.csv").read_text()


def test_a_reader_that_leaves_does_not_end_the_run() -> None:
    train = [sys.executable, "-W", "ignore", "-m", "hpo_cli.cli", *SMALL, "epochs=6"]
    process = subprocess.Popen(train, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("run ")
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    (run,) = Path("outputs/digits").iterdir()
    assert json.loads((run / "result.json").read_text())["epochs"] == 6
