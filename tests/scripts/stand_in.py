"""A stand-in for hpo-run that takes a moment: a folder with a ledger, steps of 0.05 s, saved and left on SIGTERM.

$STAND_IN_STEPS: steps to the end (40).   $STAND_IN_FAULT: what goes wrong on the way: `kill:7` (SIGKILL after step 7
of each start), `exit:3:1` (exit code 1 after step 3), `words` (exit code 2 at once), `early` (SIGKILL before any step).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

STEPS = int(os.environ.get("STAND_IN_STEPS", "40"))
FAULT = os.environ.get("STAND_IN_FAULT", "").split(":")


def append(folder: Path, event: str, step: int) -> None:
    """In one piece: a signal that comes meanwhile leaves the line whole or not at all, and before its own."""
    line = json.dumps({"at": time.time(), "event": event, "step": step, "pid": os.getpid()}) + "\n"
    descriptor = os.open(folder / "ledger.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def saved_step(folder: Path) -> int:
    events = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    return max((event["step"] for event in events if event["event"] == "checkpointed"), default=0)


def begin(words: list[str]) -> tuple[Path, int]:
    values = dict(word.split("=", 1) for word in words)
    if "resume" in values:
        folder = Path(values["resume"])
        step = saved_step(folder)
        append(folder, "resumed", step)
        return folder, step
    folder = Path(values["hydra.run.dir"].strip("'"))
    folder.mkdir(parents=True)
    append(folder, "started", 0)
    return folder, 0


def go_wrong(step: int, taken: int) -> None:
    if FAULT[0] == "early" or (FAULT[0] == "kill" and taken == int(FAULT[1])):
        os.kill(os.getpid(), signal.SIGKILL)
    if FAULT[0] == "exit" and step >= int(FAULT[1]):
        sys.exit(int(FAULT[2]))


def main(words: list[str]) -> int:
    if FAULT[0] == "words":
        return 2
    folder, step = begin(words)

    def leave(signum: int, frame: FrameType | None) -> NoReturn:
        append(folder, "checkpointed", step)
        append(folder, "interrupted", step)
        sys.exit(128 + signum)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    for taken in range(STEPS - step):
        go_wrong(step, taken)
        time.sleep(0.05)
        step += 1
        if step % 5 == 0:
            append(folder, "checkpointed", step)
    append(folder, "finished", step)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
