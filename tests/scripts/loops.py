"""Starts `scripts/panda.sh` around a stand-in for hpo-run, and reads back what it left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.command_line import REPOSITORY

LOOP = REPOSITORY / "scripts" / "panda.sh"
STAND_IN = Path(__file__).with_name("stand_in.py")


def environment(**variables: str) -> dict[str, str]:
    own = {"HPO_RUN": f"{sys.executable} {STAND_IN}", "PAUSE": "0", "PYTHONPATH": str(REPOSITORY)}
    return {**os.environ, **own, **variables}


def begin(*words: str, cwd: Path, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [LOOP, *words], cwd=cwd, env=environment(**variables), text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def loop(*words: str, cwd: Path, **variables: str) -> tuple[int, str]:
    """Exit code, and what was said."""
    process = begin(*words, cwd=cwd, **variables)
    said, _ = process.communicate(timeout=300)
    return process.returncode, said


def events(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of its ledger: the run may be writing another."""
    path = folder / "ledger.jsonl"
    return (
        [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
        if path.exists()
        else []
    )


def names(folder: Path) -> list[str]:
    return [event["event"] for event in events(folder)]


def wait_until(condition: Callable[[], object], *, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)
