"""Which checkpoint a run goes on from, what becomes of the others, and saves that are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hpo_cli.engine import checkpoints
from hpo_cli.engine.checkpoints import move_abandoned, newest_loadable, sweep
from hpo_cli.record import ledger
from hpo_cli.record.weights import best_weights
from tests.engine.recording import empty_run, events_of, line_of, names_in, recorder_in, state_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return empty_run(tmp_path / "run")


def save(folder: Path, *steps: int, line: tuple[str, ...] = (), best: bool = False, tag: str | None = None) -> None:
    """Checkpoints of these steps, as the engine writes them."""
    recorder = recorder_in(folder, keep_last=9, keep_best=9)
    for step in steps:
        if best:
            recorder.improved(step, {"model": state_of(step)["model"]}, line=line)
        recorder.checkpoint(state_of(step), step=step, epoch=0, line=line, tag=tag)
    recorder.close()


def newest(folder: Path) -> tuple[int, str, list[str]] | None:
    """Step in the state, file, warnings."""
    said: list[str] = []
    found = newest_loadable(folder, line_of(folder), warn=said.append)
    return None if found is None else (found[1]["position"]["step"], Path(found[0]["file"]).name, said)


def go_back(folder: Path, *, at: int, to: int, name: str = "r", line: tuple[str, ...] = ()) -> None:
    ledger.append(folder, "rolled_back", step=at, id=name, to=to, line=list(line), who="x", why="")


def test_the_newest_on_the_line_is_taken(folder: Path) -> None:
    assert newest(folder) is None
    save(folder, 3, 6, 9, best=True)
    assert newest(folder) == (9, "step-00000009.pt", [])


def test_a_kept_one_is_as_good_as_any(folder: Path) -> None:
    save(folder, 3)
    save(folder, 5, tag="good")
    assert newest(folder) == (5, "kept-00000005-good.pt", [])


def damaged(content: bytes, how: str) -> bytes:
    middle = len(content) // 2
    flipped = bytes([content[middle] ^ 1])
    return {"flipped": content[:middle] + flipped + content[middle + 1 :], "cut": content[:middle], "empty": b""}[how]


@pytest.mark.parametrize("how", ["flipped", "cut", "empty"])
def test_a_damaged_one_is_set_aside_and_the_one_before_taken(how: str, folder: Path) -> None:
    save(folder, 3, 6, 9)
    for name in ("step-00000009.pt", "step-00000006.pt"):
        path = folder / "checkpoints" / name
        path.write_bytes(damaged(path.read_bytes(), how))
    found = newest(folder)
    assert found is not None
    assert found[:2] == (3, "step-00000003.pt")
    assert [line.endswith(".pt.damaged") for line in found[2]] == [True, True]
    assert names_in(folder) == ["step-00000003.pt", "step-00000006.pt.damaged", "step-00000009.pt.damaged"]
    assert newest(folder) == (3, "step-00000003.pt", [])
    save(folder, 9)
    path = folder / "checkpoints/step-00000009.pt"
    path.write_bytes(b"")
    newest(folder)
    assert "step-00000009.pt.damaged-2" in names_in(folder)


def test_pruned_files_are_passed_over_in_silence(folder: Path) -> None:
    save(folder, 3, 6, 9)
    (folder / "checkpoints/step-00000009.pt").unlink()
    assert newest(folder) == (6, "step-00000006.pt", [])


def test_a_step_that_was_steered_has_a_file_for_each_line(folder: Path) -> None:
    save(folder, 6)
    ledger.append(folder, "nudged", step=6, id="n", knobs={})
    save(folder, 6, line=("n",))
    assert newest(folder) == (6, "step-00000006-2.pt", [])
    assert best_weights(folder) == folder / "checkpoints/step-00000006-2.pt"
    go_back(folder, at=8, to=6)  # to before the nudge: the second file is of the other line now
    assert newest(folder) == (6, "step-00000006.pt", [])
    (moved,) = move_abandoned(folder, line_of(folder))
    assert moved == folder / "checkpoints/abandoned-00000008/step-00000006-2.pt"


def test_a_kill_between_a_second_save_of_a_step_and_its_line_loses_nothing(folder: Path) -> None:
    save(folder, 6)
    ledger.append(folder, "nudged", step=6, id="n", knobs={})
    length = (folder / "ledger.jsonl").stat().st_size
    save(folder, 6, line=("n",))
    os.truncate(folder / "ledger.jsonl", length)
    assert newest(folder) == (6, "step-00000006.pt", [])
    sweep(folder, line_of(folder))
    assert names_in(folder) == ["step-00000006-2.pt.unrecorded", "step-00000006.pt"]
    save(folder, 6, line=("n",))
    os.truncate(folder / "ledger.jsonl", length)
    sweep(folder, line_of(folder))
    assert len([name for name in names_in(folder) if "unrecorded" in name]) == 2  # neither replaced the other


def test_a_boundary_that_an_earlier_process_saved_is_not_saved_again(folder: Path) -> None:
    save(folder, 6)
    save(folder, 6)
    assert names_in(folder) == ["step-00000006.pt"]
    (folder / "checkpoints/step-00000006.pt").write_bytes(b"damaged")
    save(folder, 6)
    assert names_in(folder) == ["step-00000006-2.pt", "step-00000006.pt"]
    assert newest(folder) == (6, "step-00000006-2.pt", [])


STRANGERS = ("step-00000020-mine.pt", "step-x.pt", "best-copy.pt", "step-20.pt", "step-00000003-.pt")


def test_files_that_somebody_put_there_are_left_alone(folder: Path) -> None:
    for name in STRANGERS:
        (folder / "checkpoints" / name).write_bytes(b"mine")
    save(folder, 3, 6, 9, best=True)
    sweep(folder, line_of(folder))
    go_back(folder, at=9, to=4)
    move_abandoned(folder, line_of(folder))
    recorder = recorder_in(folder, keep_last=1, keep_best=0)
    recorder.checkpoint(state_of(12), step=12, epoch=0, line=["r"])
    recorder.close()
    assert {name: (folder / "checkpoints" / name).read_bytes() for name in STRANGERS} == dict.fromkeys(
        STRANGERS, b"mine"
    )
    assert best_weights(folder) == folder / "checkpoints/best-00000003.pt"


def test_a_rollback_moves_what_it_leaves_behind(folder: Path) -> None:
    save(folder, 3, 6, 9, best=True)
    save(folder, 9, tag="good")
    assert move_abandoned(folder, line_of(folder)) == []
    go_back(folder, at=11, to=4)
    moved = move_abandoned(folder, line_of(folder))
    assert {path.name for path in moved} == {f"{kind}-0000000{step}.pt" for kind in ("best", "step") for step in (6, 9)}
    stay = ["abandoned-00000011", "best-00000003.pt", "kept-00000009-good.pt", "step-00000003.pt"]
    assert names_in(folder) == stay
    assert best_weights(folder) == folder / "checkpoints/best-00000003.pt"
    assert newest(folder) == (3, "step-00000003.pt", [])
    assert move_abandoned(folder, line_of(folder)) == []
    assert names_in(folder) == stay


def test_a_move_that_was_killed_is_finished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(folder, 3, 6, 9)
    go_back(folder, at=11, to=2)
    replace, done = Path.replace, list[Path]()

    def killed(path: Path, target: Path) -> Path:
        if done:
            raise KeyboardInterrupt
        done.append(path)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        move_abandoned(folder, line_of(folder))
    monkeypatch.undo()
    move_abandoned(folder, line_of(folder))
    assert names_in(folder) == ["abandoned-00000011"]
    assert len(list((folder / "checkpoints/abandoned-00000011").iterdir())) == 3


def test_the_new_line_may_use_the_old_names(folder: Path) -> None:
    save(folder, 3, 6)
    go_back(folder, at=7, to=3)
    move_abandoned(folder, line_of(folder))
    save(folder, 6, line=("r",))
    assert move_abandoned(folder, line_of(folder)) == []
    assert newest(folder) == (6, "step-00000006.pt", [])
    go_back(folder, at=7, to=3, name="r2")
    assert [path.parent.name for path in move_abandoned(folder, line_of(folder))] == ["abandoned-00000007-2"]


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_old_lines_are_thrown_away(keep: int, folder: Path) -> None:
    save(folder, 1)
    for number in range(4):
        save(folder, 6, line=(f"r{number - 1}",) if number else ())
        go_back(folder, at=20 - number, to=3, name=f"r{number}")
        move_abandoned(folder, line_of(folder), keep=keep)
        time.sleep(0.02)
    kept = [f"abandoned-000000{20 - number}" for number in range(3, 3 - keep, -1)]
    assert [name for name in names_in(folder) if name.startswith("abandoned")] == kept


def test_what_a_killed_save_left_is_swept(folder: Path) -> None:
    save(folder, 3)
    home = folder / "checkpoints"
    for name in (".step-00000006.pt.ab12.tmp", ".best-00000006.pt.ab12.tmp", ".average-00000006.pt.ab12.tmp"):
        (home / name).write_bytes(b"half")
    (home / "step-00000006.pt").write_bytes(b"whole, and killed before its line in the ledger")
    (home / "best-00000006.pt").write_bytes(b"that too")
    (home / "average-00000006.pt").write_bytes(b"somebody's")
    sweep(folder, line_of(folder))
    others = [".average-00000006.pt.ab12.tmp", "average-00000006.pt"]
    assert names_in(folder) == sorted(
        [*others, "best-00000006.pt.unrecorded", "step-00000003.pt", "step-00000006.pt.unrecorded"]
    )
    assert sweep(folder, line_of(folder)) == []


SAVING = """
import os, sys
from pathlib import Path
from tests.engine.recording import recorder_in, state_of

def save_for_ever(folder, step):
    recorder = recorder_in(folder)
    while True:
        step += 1
        recorder.row({"step": step, "epoch": 1, "val/loss": 1 / step})
        recorder.improved(step, {"model": state_of(step, size=60_000)["model"]})
        recorder.checkpoint(state_of(step, size=200_000), step=step, epoch=0, line=[])

for order in sys.stdin:
    if (child := os.fork()) == 0:
        save_for_ever(Path(sys.argv[1]), int(order))
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Saver:
    """A process that begins, at each order, one that saves for ever until it is killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", SAVING, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=ROOT,
            text=True,
        )

    def save_and_die(self, *, first: int, after_s: float) -> None:
        """Save from step `first` on; die so long after the first checkpoint is in the ledger."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{first}\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        until = time.monotonic() + 60
        while not any("epoch" in event and event["step"] > first for event in events_of(self._folder, "checkpointed")):
            assert time.monotonic() < until
            time.sleep(0.005)
        time.sleep(after_s)
        os.kill(child, signal.SIGKILL)
        assert int(self._process.stdout.readline()) == signal.SIGKILL

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture
def saver(folder: Path) -> Iterator[Saver]:
    made = Saver(folder)
    yield made
    made.close()


def check_every_file(folder: Path) -> None:
    """Whoever is in the ledger and still there is whole; so is every file under a checkpoint's name."""
    sums: dict[str, Any] = {event["file"]: event["sha256"] for event in events_of(folder, "checkpointed")}
    for path in (folder / "checkpoints").glob("*.pt"):
        state = checkpoints.load(path)
        step = int(path.stem.rpartition("-")[2])
        assert set(state["model"]["w"].tolist()) == {float(step)}
        name = f"checkpoints/{path.name}"
        assert name not in sums or sums[name] == checkpoints.file_sha256(path)


@pytest.mark.parametrize("kills", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_a_kill_during_a_save_never_leaves_a_torn_file(kills: int, folder: Path, saver: Saver) -> None:
    rng, hits, step = random.Random(kills), 0, 0
    for _ in range(kills):
        saver.save_and_die(first=step, after_s=rng.uniform(0, 0.05))
        hits += any(name.endswith(".tmp") for name in names_in(folder))
        check_every_file(folder)
        sweep(folder, line_of(folder))
        assert not [name for name in names_in(folder) if name.endswith(".tmp")]
        found = newest(folder)
        assert found is not None
        assert found[0] > step
        assert found[2] == []
        step = found[0]
    assert hits  # the kills do meet saves
