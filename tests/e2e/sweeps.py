"""Sweeps by the real command: run to their end; or started, looked at, interrupted, killed with all they began."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from hpo_cli.record.ledger import read_ledger
from hpo_cli.record.metrics import read_metrics
from hpo_cli.sweep.fold import SweepState, read_sweep
from tests.command_line import REPOSITORY
from tests.sweep.failing import words

SCRIPT = Path(sys.executable).with_name("hpo-run")
COMMAND = [str(SCRIPT)] if SCRIPT.is_file() else [sys.executable, "-m", "hpo_cli.cli"]
"""The console script of this environment."""
TAG = "HPO_TEST_TREE"
PATIENCE_S = 120.0

SMALL = tuple(word for word in words() if not word.startswith("optimizer."))
"""Three epochs of four batches of digits, in a third of a second, with a loss that can be told to go wrong."""
TINY = (*SMALL, "epochs=1")


def without(key: str, words: tuple[str, ...]) -> tuple[str, ...]:
    """Words that leave a key open: a sweep names each key once."""
    return tuple(word for word in words if word.partition("=")[0] != key)


def environment(**variables: str) -> dict[str, str]:
    """Without what the user of the tests has set for hpo-run."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("HPO_RUN_")}
    return own | {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "200", "OMP_NUM_THREADS": "1"} | variables


@dataclass(frozen=True)
class Swept:
    """A command that is over, and its sweep's folder. out, err: what it said."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def said(self) -> str:
        return self.out + self.err

    @property
    def state(self) -> SweepState:
        return read_sweep(self.folder)

    @property
    def log(self) -> list[dict[str, Any]]:
        return log_of(self.folder)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of a kind."""
        return [event for event in self.log if event["event"] == kind]


def log_of(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of a sweep's log; it may be written at the moment."""
    path = folder / "sweep.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def hpo_run(*given: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command, to its end."""
    return subprocess.run(
        [*COMMAND, *given], cwd=cwd, env=environment(**variables), capture_output=True, text=True, check=False,
        timeout=600,
    )  # fmt: skip


def sweep(*given: str, cwd: Path, dir: str = "swept", **variables: str) -> Swept:  # noqa: A002 - the key's name
    """`hpo-run -m` to its end, in the folder `dir` of `cwd`."""
    done = hpo_run("-m", *given, f"sweep.dir={dir}", cwd=cwd, **variables)
    return Swept(done.returncode, done.stdout, done.stderr, cwd / dir)


@dataclass
class Going:
    """`hpo-run -m` that goes on while the test looks. Whatever it began is gone when the `with` ends."""

    words: tuple[str, ...]
    cwd: Path
    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tag = uuid.uuid4().hex
        self.is_left = False
        """Whether what it began may live on."""
        self.output = self.cwd / f"output-{self.tag}.txt"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*COMMAND, "-m", *self.words], cwd=self.cwd, env=environment(**{TAG: self.tag, **self.variables}),
                stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if not self.is_left:
            self.kill()

    @property
    def said(self) -> str:
        return self.output.read_text()

    @property
    def log(self) -> list[dict[str, Any]]:
        return log_of(self.folder)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.log if event["event"] == kind]

    def await_(self, condition: Callable[[Self], object]) -> None:
        """Return when it holds; the command has to be alive until then."""
        end = time.monotonic() + PATIENCE_S
        while not condition(self):
            assert self.process.poll() is None, self.said
            assert time.monotonic() < end, f"it did not come:\n{self.said}"
            time.sleep(0.02)

    def await_event(self, kind: str, *, count: int = 1) -> None:
        self.await_(lambda one: len(one.of(kind)) >= count)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> Swept:
        """How it ended by itself."""
        code = self.process.wait(PATIENCE_S)
        return Swept(code, self.said, "", self.folder)

    def kill(self) -> None:
        """SIGKILL to the command and to all that it began, until nothing of it is left."""
        end = time.monotonic() + PATIENCE_S
        while True:
            found = list(_tagged(self.tag))
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.poll()
            if not found:
                self.process.wait(PATIENCE_S)
                return
            assert time.monotonic() < end, "something of it cannot be killed"
            time.sleep(0.01)

    def pids(self) -> list[int]:
        """Of all that lives of it."""
        return list(_tagged(self.tag))


def _tagged(tag: str) -> Iterator[int]:
    """The processes that inherited the tag, by the kernel's list of them."""
    wanted = f"{TAG}={tag}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):  # it has ended meanwhile; one that has ended and waits for its parent has none
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)


def begin(*given: str, cwd: Path, dir: str | None = "swept", **variables: str) -> Going:  # noqa: A002
    """`hpo-run -m`, in the background."""
    at = () if dir is None else (f"sweep.dir={dir}",)
    return Going((*given, *at), cwd, cwd / (dir or "."), variables)


def runs_of(folder: Path) -> dict[str, Path]:
    """The runs that lie in a sweep's folder, by number: `-7`, or `-7-1` with several seeds."""
    found = [path.parent for path in folder.glob("*/ledger.jsonl")]
    return {path.name.removeprefix(folder.name): path for path in sorted(found)}


def ledger(folder: Path, kind: str) -> list[dict[str, Any]]:
    """A run's events of a kind."""
    return [event for event in read_ledger(folder).events if event["event"] == kind]


def rows(folder: Path) -> list[dict[str, Any]]:
    return [dict(row) for row in read_metrics(folder / "metrics.jsonl")]


def weights(folder: Path) -> str:
    """The hash of a run's final weights; empty where it has no result."""
    path = folder / "result.json"
    return str(json.loads(path.read_text()).get("weights_sha256", "")) if path.exists() else ""


def differences(whole: Path, other: Path) -> list[str]:
    """What two sweeps do not have in common, in lines: trials, settings, how they ended, weights, rows of metrics."""
    pair = [read_sweep(folder) for folder in (whole, other)]
    assert pair[0].trials, "nothing to compare"
    found = [*_numbering(pair[1]), *_settings(*pair)]
    ours, theirs = runs_of(whole), runs_of(other)
    if set(ours) != set(theirs):
        return [*found, f"runs {sorted(ours)} and {sorted(theirs)}"]
    for name, folder in ours.items():
        if weights(folder) != weights(theirs[name]):
            found.append(f"{name}: other weights")
        if rows(folder) != rows(theirs[name]):
            found.append(f"{name}: other metrics")
        if len(ledger(theirs[name], "started")) != 1:
            found.append(f"{name}: begun {len(ledger(theirs[name], 'started'))} times")
    return found


def _numbering(state: SweepState) -> Iterator[str]:
    proposed = [event["trial"] for event in log_of(state.folder) if event["event"] == "proposed"]
    if proposed != list(range(1, len(proposed) + 1)):
        yield f"numbers {proposed}"
    ends = [(event["trial"], event["run"]) for event in log_of(state.folder)
            if event["event"] == "ended" and event["status"] in ("finished", "failed", "stopped")]  # fmt: skip
    yield from (f"trial {place[0]} ended {ends.count(place)} times" for place in {*ends} if ends.count(place) > 1)


def _settings(whole: SweepState, other: SweepState) -> Iterator[str]:
    if len(whole.trials) != len(other.trials):
        yield f"{len(whole.trials)} and {len(other.trials)} trials"
    for one, two in zip(whole.trials, other.trials, strict=False):
        if one.setting != two.setting:
            yield f"trial {one.number}: {dict(one.setting)} and {dict(two.setting)}"
        if (one.status, one.epoch, one.values) != (two.status, two.epoch, two.values):
            yield f"trial {one.number}: {one.status} {one.epoch} {one.values}, {two.status} {two.epoch} {two.values}"
