"""Runs that several tests look at, made once by the command itself in an empty folder."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.command_line import Answer, child


@dataclass(frozen=True)
class Trained:
    """What the command said, the folder that it ran in, and the run's own folder."""

    answer: Answer
    place: Path
    run: Path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    place = tmp_path_factory.mktemp("empty")
    answer = child("epochs=2", cwd=place)
    assert answer.code == 0, answer.err
    (run,) = (place / "outputs" / "digits").iterdir()
    return Trained(answer, place, run)


@pytest.fixture
def copied(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run that a test may damage, in the folder that the test runs in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HPO_RUN_OUTPUTS", raising=False)
    folder = Path("outputs") / "digits" / trained.run.name
    shutil.copytree(trained.run, folder)
    return folder


@pytest.fixture
def _own_process_state() -> Iterator[None]:
    """A run in this process sets signal handlers and the number of threads: undo it."""
    import torch

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    threads = torch.get_num_threads()
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    torch.set_num_threads(threads)
