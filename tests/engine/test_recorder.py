"""The checkpoints that a run keeps, and what is in them."""

from __future__ import annotations

import errno
import hashlib
import inspect
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from hpo_cli.engine import checkpoints
from hpo_cli.engine.assembly import build_system
from hpo_cli.engine.backend import Backend
from hpo_cli.engine.evaluation import judge
from hpo_cli.engine.loggers import Mirror
from hpo_cli.engine.partners import NullRecorder
from hpo_cli.engine.recorder import FolderRecorder
from hpo_cli.errors import RunFailedError, UserError
from hpo_cli.record import ledger
from hpo_cli.record.metrics import read_metrics
from tests.engine.plans import (
    SMALL,
    arrays,
    plan,
    splits_of,
    varied,
)
from tests.engine.recording import empty_run, events_of, names_in, recorder_in, state_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.engine.runs import Start


def test_every_checkpoint_in_the_ledger_has_the_hash_of_its_file(start: Start) -> None:
    ran = start(varied(plan(*SMALL), "checkpoint", every_steps=3, keep_last=9, keep_best=9))
    ran.go()
    events = [event for event in ran.events if event["event"] == "checkpointed"]
    assert {event["step"] for event in events} == {3, 4, 6, 8}
    for event in events:
        content = (ran.folder / event["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == event["sha256"]


@pytest.mark.parametrize(("keep_last", "keep_best"), [(1, 0), (2, 1), (3, 2)])
def test_as_many_checkpoints_are_kept_as_asked(keep_last: int, keep_best: int, start: Start) -> None:
    made = varied(varied(plan(*SMALL), "", epochs=6, lr=0.003, batch_size=60), "schedule", warmup_steps=0)
    ran = start(varied(made, "checkpoint", every_steps=1, keep_last=keep_last, keep_best=keep_best, keep_older=0))
    ran.go()
    names = [path.name for path in ran.files("step-*")]
    assert names == [checkpoints.last_name(step) for step in range(18 - keep_last + 1, 19)]
    values: list[tuple[int, float]] = []
    for row in ran.rows:
        if "val/accuracy" in row and row["val/accuracy"] > max([value for _, value in values], default=-1):
            values.append((row["step"], row["val/accuracy"]))
    assert len(values) > 2
    kept = [step for step, _ in values][len(values) - keep_best :]
    assert [path.name for path in ran.files("best-*")] == [checkpoints.best_name(step) for step in kept]


def test_the_best_file_holds_the_weights_that_were_best(start: Start) -> None:
    made = plan("lr=0.3", "optimizer=sgd", "schedule=constant", "data.subset=0.3", "epochs=8", "model.width=16")
    ran = start(made)
    ran.go()
    state, objective = ran.saved("best-*"), ran.result["objective"]
    assert state["step"] == objective["step"] < ran.result["steps"]
    system = build_system(made, splits_of(made))
    system.model.load_state_dict(state["model"])
    found = judge(system, arrays(made, "val"), backend=Backend())
    assert found["accuracy"] == objective["value"] > ran.result["metrics"]["val/accuracy"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return empty_run(tmp_path / "run")


def test_training_goes_on_while_a_checkpoint_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may_write, save = threading.Event(), checkpoints.save

    def slow(path: Path, state: dict[str, Any]) -> str:
        assert may_write.wait(20)
        return save(path, state)

    monkeypatch.setattr(checkpoints, "save", slow)
    recorder, state = recorder_in(folder), state_of(5)
    name = recorder.checkpoint(state, step=5, epoch=1, line=["a"])
    state["model"]["w"] += 100  # the next step
    recorder.row({"step": 6, "epoch": 1, "train/loss": 0.5})
    assert not (folder / name).exists()
    may_write.set()
    recorder.join()
    saved = checkpoints.load(folder / name)
    assert saved["model"]["w"].tolist() == [5.0] * 8
    assert (saved["line"], name) == (["a"], "checkpoints/step-00000005.pt")
    (event,) = events_of(folder, "checkpointed")
    assert (event["step"], event["epoch"], event["line"]) == (5, 1, ["a"])
    assert event["sha256"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    recorder.close()


def test_a_state_tells_how_long_the_record_was(folder: Path) -> None:
    recorder = recorder_in(folder)
    for step in range(1, 4):
        recorder.row({"step": step, "epoch": 1, "train/loss": 1 / step})
    length = (folder / "ledger.jsonl").stat().st_size
    name = recorder.checkpoint(state_of(3), step=3, epoch=0, line=[])
    recorder.row({"step": 4, "epoch": 1, "train/loss": 0.1})
    recorder.close()
    recorded = checkpoints.load(folder / name)["recorded_bytes"]
    head = (folder / "metrics.jsonl").read_bytes()[: recorded["metrics"]]
    assert (recorded["ledger"], head.count(b"\n"), head[-1:]) == (length, 3, b"\n")


def test_rows_are_on_disk_before_the_checkpoint_that_follows_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        told.append(Path(f"/proc/self/fd/{descriptor}").resolve().name)
        fsync(descriptor)

    def renamed(path: Path, target: Path) -> Path:
        told.append(f"rename {target.name}")
        return replace(path, target)

    recorder = recorder_in(folder)
    recorder.row({"step": 5, "epoch": 1, "train/loss": 0.5})
    recorder.improved(5, {"model": {"w": torch.ones(2)}})
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    recorder.checkpoint(state_of(5), step=5, epoch=1, line=[])
    recorder.join()
    best, last = told.index("rename best-00000005.pt"), told.index("rename step-00000005.pt")
    assert told.index("metrics.jsonl") < best < last < told.index("ledger.jsonl")
    monkeypatch.undo()
    recorder.close()


def test_what_goes_wrong_in_the_thread_is_raised_by_the_next_call(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path, state: dict[str, Any]) -> str:
        raise OSError(errno.EIO, "Input/output error")

    recorder = recorder_in(folder)
    monkeypatch.setattr(checkpoints, "save", broken)
    for call in (recorder.join, lambda: recorder.checkpoint(state_of(9), step=9, epoch=1, line=[])):
        recorder.checkpoint(state_of(5), step=5, epoch=1, line=[str(call)])
        recorder._writing._thread.join()
        with pytest.raises(OSError, match="Input/output"):
            call()
    recorder.join()  # told once
    assert not events_of(folder, "checkpointed")
    recorder.close()


def test_a_state_too_large_to_copy_is_written_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpo_cli.engine.recorder.available_bytes", lambda: 4 * 8 * 4 - 1)
    monkeypatch.setattr(checkpoints, "snapshot", lambda _: pytest.fail("it was copied"))
    recorder = recorder_in(folder)
    name = recorder.checkpoint(state_of(5), step=5, epoch=1, line=[])
    assert checkpoints.load(folder / name)["model"]["w"].tolist() == [5.0] * 8
    recorder.close()


def test_a_boundary_is_saved_once_unless_it_was_steered(folder: Path) -> None:
    recorder = recorder_in(folder)
    for line in ([], [], ["a"], ["a"]):
        recorder.checkpoint(state_of(5), step=5, epoch=1, line=line)
    recorder.checkpoint(state_of(5), step=5, epoch=1, line=["a"], command="c")
    recorder.close()
    *_, asked = events_of(folder, "checkpointed")
    assert (asked["command"], asked["file"]) == ("c", "checkpoints/step-00000005-3.pt")
    assert [event["line"] for event in events_of(folder, "checkpointed")] == [[], ["a"], ["a"]]


def test_kept_checkpoints_stay_and_their_tags_are_their_own(folder: Path) -> None:
    recorder = recorder_in(folder)
    names = [
        recorder.checkpoint(state_of(1), step=1, epoch=0, line=[], tag="good"),
        recorder.checkpoint(state_of(1), step=1, epoch=0, line=[], keep="kept"),
        recorder.checkpoint(state_of(1), step=1, epoch=0, line=[], keep="kept"),
        recorder.checkpoint(state_of(1), step=1, epoch=0, line=[], tag="v1.2+b"),
    ]
    for step in range(1, 9):
        recorder.checkpoint(state_of(step), step=step, epoch=0, line=[])
    recorder.join()
    before = names_in(folder)
    for tag in ("good", "v1.2+b", "", "../x", ".x", "a b", "ü", "x" * 65):
        with pytest.raises(UserError, match="tag="):
            recorder.checkpoint(state_of(9), step=9, epoch=0, line=[], tag=tag)
    recorder.close()
    assert names_in(folder) == before == sorted([*map(str, names_of(names)), "step-00000007.pt", "step-00000008.pt"])
    assert names_of(names) == [f"kept-00000001{end}.pt" for end in ("-good", "", "-2", "-v1.2+b")]
    events = [event for event in events_of(folder, "checkpointed") if "kept" in event["file"]]
    assert [(event["kept"], event.get("tag")) for event in events] == [
        (True, tag) for tag in ("good", None, None, "v1.2+b")
    ]


class TakenOverError(RunFailedError):
    """What the guard raises."""


def test_nothing_is_written_once_another_process_has_taken_over(folder: Path) -> None:
    lost: list[bool] = []

    def guard() -> None:
        if lost:
            raise TakenOverError

    recorder = recorder_in(folder, guard=guard)
    recorder.checkpoint(state_of(1), step=1, epoch=0, line=[])
    recorder.row({"step": 1, "epoch": 0})
    recorder.improved(1, {"model": {"w": torch.ones(2)}})
    recorder.join()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    lost.append(True)
    for call in (
        lambda: recorder.row({"step": 2, "epoch": 0}),
        lambda: recorder.checkpoint(state_of(2), step=2, epoch=0, line=[]),
        recorder.flush,
        lambda: recorder.abandon(after=0),
        recorder.close,
    ):
        with pytest.raises(TakenOverError):
            call()
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_loss_between_two_files_of_one_save_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[bool] = []
    save = checkpoints.save

    def slow(path: Path, state: dict[str, Any]) -> str:
        lost.append(True)
        return save(path, state)

    def guard() -> None:
        if lost:
            raise TakenOverError

    monkeypatch.setattr(checkpoints, "save", slow)
    recorder = recorder_in(folder, guard=guard)
    recorder.checkpoint(state_of(2), step=2, epoch=0, line=[])
    with pytest.raises(TakenOverError):
        recorder.join()
    assert events_of(folder, "checkpointed") == []
    with pytest.raises(TakenOverError):
        recorder.close()


def test_links_that_lead_out_of_the_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious\nno newline")
    (folder / "metrics.jsonl").symlink_to(victim)
    with pytest.raises(UserError, match=r"metrics\.jsonl: is a symbolic link"):
        recorder_in(folder)
    (folder / "metrics.jsonl").unlink()
    (folder / "checkpoints").rename(tmp_path / "elsewhere")
    (folder / "checkpoints").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"checkpoints: is a symbolic link") as caught:
        recorder_in(folder)
    assert "\n" not in str(caught.value)
    (folder / "ledger.jsonl").unlink()
    (folder / "ledger.jsonl").symlink_to(victim)
    with pytest.raises(UserError, match=r"ledger\.jsonl: is a symbolic link"):
        ledger.append(folder, "noted", step=1)
    assert victim.read_bytes() == b"precious\nno newline"


def names_of(paths: list[str]) -> list[str]:
    return [path.removeprefix("checkpoints/") for path in paths]


def test_pruning_never_takes_what_was_just_written(folder: Path) -> None:
    recorder = recorder_in(folder, keep_last=1)
    (folder / "checkpoints" / checkpoints.last_name(99)).touch()
    name = recorder.checkpoint(state_of(5), step=5, epoch=1, line=[])
    recorder.close()
    assert (folder / name).exists()


def test_going_back_forgets_the_best_weights_of_the_other_line(folder: Path) -> None:
    recorder = recorder_in(folder)
    recorder.row({"step": 8, "epoch": 1, "train/loss": 0.5})
    recorder.improved(8, {"model": {"w": torch.ones(2)}})
    recorder.abandon(after=4, known_after=4)
    recorder.checkpoint(state_of(5), step=5, epoch=1, line=[])
    recorder.close()
    assert names_in(folder) == ["step-00000005.pt"]
    assert read_metrics(folder / "metrics.jsonl") == []


def test_rows_that_were_written_before_a_kill_are_neither_doubled_nor_mirrored(folder: Path) -> None:
    rows = [{"step": step, "epoch": 1, "val/loss": 1 / step} for step in range(1, 9)]
    first = recorder_in(folder)
    for row in rows[:6]:
        first.row(row)
    first.flush()
    content = (folder / "metrics.jsonl").read_bytes()
    seen: list[int] = []
    second = recorder_in(folder, after=3)
    second._mirror = Seen(seen)
    for row in rows[3:]:
        second.row(row)
    second.close()
    assert seen == [7, 8]
    assert (folder / "metrics.jsonl").read_bytes().startswith(content)
    assert read_metrics(folder / "metrics.jsonl") == rows


class Seen(Mirror):
    """Notes the steps of its rows."""

    def __init__(self, steps: list[int]) -> None:
        super().__init__([])
        self._steps = steps

    def __call__(self, row: Mapping[str, Any]) -> None:
        self._steps.append(row["step"])


def test_a_recorder_that_writes_nothing_has_every_method() -> None:
    public = {name for name in vars(FolderRecorder) if not name.startswith("_")}
    assert public == {name for name in vars(NullRecorder) if not name.startswith("_")}
    for name in public:
        assert inspect.signature(getattr(FolderRecorder, name)) == inspect.signature(getattr(NullRecorder, name))
