"""Forks of one process that has everything imported: a verification starts in milliseconds instead of seconds.

The process itself computes nothing, so that its forks may. It reads one job a line: {"call": "module:function",
"words": [...], "spoil": "module:function" or null, "cwd": ..., "out": a file}. It answers each with its exit code.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, Self

from tests.command_line import Answer

ROOT = Path(__file__).parents[2]
WARM = (
    *("hpo_cli.cli", "hpo_cli.compose", "hpo_cli.validate", "hpo_cli.engine.run", "hpo_cli.engine.verify"),
    *("hpo_cli.verbs.verify_resume", "hpo_cli.verbs.train", "hpo_cli.console.training", "sklearn.datasets"),
)


class Nursery:
    """Runs functions in warm processes. Use it as a context."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.resume.nursery"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def call(self, function: str, *words: str, cwd: Path, spoil: str | None = None) -> Answer:
        """What `module:function(words)` gave as its exit code and printed, in a fork that `spoil` was called in."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            job = {"call": function, "words": words, "spoil": spoil, "cwd": str(cwd), "out": f"{folder}/out"}
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            return Answer(code, Path(f"{folder}/out.1").read_text(), Path(f"{folder}/out.2").read_text())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


def _found(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def _child(job: dict[str, Any]) -> int:
    os.setsid()
    os.chdir(job["cwd"])
    for descriptor, name in ((1, "out.1"), (2, "out.2")):
        with Path(job["out"]).with_name(name).open("wb") as file:
            os.dup2(file.fileno(), descriptor)
    if job["spoil"]:
        _found(job["spoil"])()
    try:
        return int(_found(job["call"])(job["words"]))
    except BaseException:  # noqa: BLE001 - a fork must not go on as its parent
        traceback.print_exc()
        return 99


def main() -> None:
    for name in WARM:
        importlib.import_module(name)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            code = _child(json.loads(line))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
