"""A stand-in for `hpo-run -m` that takes a moment: a sweep's folder with a log, trials of 0.1 s, several may join in.

$STAND_IN_TRIALS: trials to the end (10).   $STAND_IN_FAULT: what goes wrong on the way: `kill:3` (SIGKILL after 3
trials of each start), `failed` (all trials end, and one failed: code 1), `words` (exit code 2 at once), `early`
(SIGKILL before any trial), `exit:127` (that code at once).
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

TRIALS = int(os.environ.get("STAND_IN_TRIALS", "10"))
FAULT = os.environ.get("STAND_IN_FAULT", "").split(":")


def append(folder: Path, event: str, **fields: Any) -> None:
    """In one piece: a signal that comes meanwhile leaves the line whole or not at all."""
    line = json.dumps({"at": time.time(), "event": event, "pid": os.getpid(), **fields}) + "\n"
    descriptor = os.open(folder / "sweep.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def take(folder: Path) -> int | None:
    """The next trial that nobody has or that nobody has any more; None at the end."""
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lines = (folder / "sweep.jsonl").read_text().splitlines()
        events = [json.loads(line) for line in lines]
        ended = {event["trial"] for event in events if event["event"] == "ended" and event["status"] == "finished"}
        begun = {event["trial"]: event["pid"] for event in events if event["event"] == "started"}
        held = {trial for trial, pid in begun.items() if pid != os.getpid() and is_alive(pid)}
        free = [trial for trial in range(1, TRIALS + 1) if trial not in ended | held]
        if not free:
            return None
        append(folder, "started", trial=free[0])
        return free[0]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def main(words: list[str]) -> int:
    """As hpo-run -m would."""
    if FAULT[0] in ("words", "exit"):
        return 2 if FAULT[0] == "words" else int(FAULT[1])
    values = dict(word.split("=", 1) for word in words if "=" in word)
    assert words[0] == "-m"
    folder = Path((values.get("sweep.dir") or values["sweep.resume"]).strip("'"))
    folder.mkdir(parents=True, exist_ok=True)
    append(folder, "joined" if (folder / "sweep.jsonl").exists() else "began")
    running: list[int] = []

    def leave(signum: int, frame: FrameType | None) -> NoReturn:
        for trial in running:
            append(folder, "ended", trial=trial, status="interrupted")
        append(folder, "left")
        os._exit(128 + signum)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    taken = 0
    while (trial := take(folder)) is not None:
        if FAULT[0] == "early" or (FAULT[0] == "kill" and taken == int(FAULT[1])):
            os.kill(os.getpid(), signal.SIGKILL)
        running[:] = [trial]
        time.sleep(0.1)
        running.clear()
        append(folder, "ended", trial=trial, status="finished")
        taken += 1
    append(folder, "ended_sweep", why="10 trials")
    return int(FAULT[0] == "failed")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
