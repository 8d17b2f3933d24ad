"""Small runs trained once for all tests of a file; each test works on a copy of their folders."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.command_line import call

SMALL = ("trainer=cpu", "trainer.threads=1", "model.width=16", "epochs=2", "lr=0.01")


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Inside, `folder` is the working directory."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def train(place: Path, **runs: str) -> Path:
    """Train a run for each keyword in `place`/outputs; its folder's name is the keyword."""
    with inside(place):
        for name, words in runs.items():
            answer = call(*SMALL, *words.split(), f"hydra.run.dir=outputs/all/{name}")
            assert answer.code == 0, answer.err
    return place


def copied(place: Path, to: Path) -> Path:
    """A copy of trained runs."""
    shutil.copytree(place / "outputs", to / "outputs")
    return to
