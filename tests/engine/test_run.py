"""Whole runs in a folder, through Lightning: the record, failures, a full disk, loggers, precision."""

from __future__ import annotations

import csv
import errno
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
import torch

from hpo_cli.engine import checkpoints
from hpo_cli.engine import run as run_room
from hpo_cli.engine.backend import Backend
from hpo_cli.engine.evaluation import evaluate
from hpo_cli.engine.progress import SilentReporter
from hpo_cli.engine.run import explained, run
from hpo_cli.engine.stop import StopFlag, StoppedError
from hpo_cli.engine.system import build_system
from hpo_cli.engine.train import Training
from hpo_cli.errors import ConfigError, RunFailedError, UserError
from hpo_cli.record import ledger
from hpo_cli.record.metrics import read_metrics
from tests.engine.plans import (
    SMALL,
    arrays,
    finish,
    folder_for,
    new_loop,
    plan,
    rows_of,
    splits_of,
    trained,
    varied,
    weights_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hpo_cli.engine.progress import Outcome
    from hpo_cli.plan import RunPlan

RICH = (
    *("model.norm=batch", "regularization.dropout=0.2", "regularization.clip_norm=1", "batch.accumulate=2"),
    *("schedule.warmup_steps=2", "batch_size=30", *SMALL),
)


class Ran:
    """A run that was started, and what it left."""

    def __init__(self, plan: RunPlan, tmp_path: Path) -> None:
        self.plan = varied(plan, "", outputs=str(tmp_path / "outputs"))
        self.stop = StopFlag()
        self.training = Training(self.plan, reporter=SilentReporter(), stop=self.stop)
        self.folder = folder_for(self.plan)

    def go(self) -> Outcome:
        return run(self.training, self.folder)

    @property
    def rows(self) -> list[dict[str, Any]]:
        return read_metrics(self.folder / "metrics.jsonl")

    @property
    def result(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "result.json").read_text()))

    @property
    def events(self) -> list[dict[str, Any]]:
        return list(ledger.read_ledger(self.folder).events)

    def files(self, pattern: str) -> list[Path]:
        return sorted((self.folder / "checkpoints").glob(pattern))

    def saved(self, pattern: str) -> dict[str, Any]:
        return checkpoints.load(self.files(pattern)[-1])


@pytest.fixture
def start(tmp_path: Path) -> Callable[[RunPlan], Ran]:
    return lambda plan: Ran(plan, tmp_path)


Start = "Callable[[RunPlan], Ran]"


@pytest.mark.parametrize(
    "words",
    [SMALL, RICH, ("optimizer=sgd", *RICH), ("data=diabetes", "loss=mse", *SMALL[1:])],
    ids=["small", "rich", "sgd", "regression"],
)
def test_lightning_changes_no_bit(words: tuple[str, ...], start: Start) -> None:
    ran = start(plan(*words))
    outcome, loop = ran.go(), trained(plan(*words))
    assert outcome.weights_sha256 == weights_of(loop)
    assert ran.rows == rows_of(loop)
    assert (outcome.step, outcome.epoch, outcome.metrics) == (loop.position.step, 2, loop.metrics)


def test_several_stretches_are_one_training(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpo_cli.engine.module.STRETCH", 3)
    ran = start(plan(*RICH))
    ran.go()
    assert ran.rows == rows_of(trained(plan(*RICH)))


def test_the_record_of_a_finished_run(start: Start) -> None:
    ran = start(plan(*SMALL))
    outcome = ran.go()
    result, last = ran.result, [row for row in ran.rows if "val/loss" in row][-1]
    assert (result["status"], result["steps"], result["epochs"]) == ("finished", 8, 2)
    assert result["metrics"] == {key: last[key] for key in result["metrics"]}
    assert set(result["metrics"]) == {"train/loss", "train/accuracy", "val/loss", "val/accuracy"}
    assert result["weights_sha256"] == outcome.weights_sha256
    assert checkpoints.weights_sha256(ran.saved("step-*")["model"].items()) == outcome.weights_sha256
    accuracies = {row["step"]: row["val/accuracy"] for row in ran.rows if "val/accuracy" in row}
    best = max(accuracies.values())
    step = next(step for step, value in accuracies.items() if value == best)
    assert result["objective"] == {"name": "val/accuracy", "mode": "max", "value": best, "step": step}
    assert result["best"]["val/accuracy"] == {"value": best, "step": step}
    events = ran.events
    assert [event["event"] for event in events][0] == "started"
    assert [event["event"] for event in events][-1] == "finished"
    splits = splits_of(ran.plan)
    data = next(event for event in events if event["event"] == "data")
    assert (data["train"], data["val"], data["test"]) == tuple(map(len, (splits.train.x, splits.val.x, splits.test.x)))
    assert sum(data["class_counts"]["train"].values()) == data["train"]
    assert not (ran.folder / "error.txt").exists()


def test_every_checkpoint_in_the_ledger_has_the_hash_of_its_file(start: Start) -> None:
    import hashlib

    ran = start(varied(plan(*SMALL), "checkpoint", every_steps=3, keep_last=99))
    ran.go()
    events = [event for event in ran.events if event["event"] == "checkpointed"]
    assert {event["step"] for event in events} == {3, 4, 6, 8}
    for event in events:
        content = (ran.folder / event["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == event["sha256"]


@pytest.mark.parametrize(("keep_last", "keep_best"), [(1, 0), (2, 1), (3, 2)])
def test_as_many_checkpoints_are_kept_as_asked(keep_last: int, keep_best: int, start: Start) -> None:
    made = varied(varied(plan(*SMALL), "", epochs=6, lr=0.003, batch_size=60), "schedule", warmup_steps=0)
    ran = start(varied(made, "checkpoint", every_steps=1, keep_last=keep_last, keep_best=keep_best))
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
    system = build_system(made, splits_of(made).spec)
    system.model.load_state_dict(state["model"])
    found = evaluate(system, arrays(made, "val"), backend=Backend())
    assert found["accuracy"] == objective["value"] > ran.result["metrics"]["val/accuracy"]


def diverging(**more: Any) -> RunPlan:
    """The loss of step 2 is not finite."""
    base = plan("optimizer=sgd", "schedule=constant", *SMALL)
    return varied(varied(base, "", lr=1e30), "checkpoint", **more)


def test_a_bad_loss_fails_the_run_and_keeps_what_was_saved(start: Start) -> None:
    ran = start(diverging(every_steps=1))
    with pytest.raises(RunFailedError, match=r"train/loss is (nan|inf) at step 2 \(epoch 1, lr 1e\+30\): lower lr") as e:
        ran.go()
    assert e.value.exit_code == 1
    assert ran.result["status"] == "failed"
    assert ran.events[-1]["event"] == "failed"
    assert ran.events[-1]["reason"] == str(e.value)
    assert "Traceback" in (ran.folder / "error.txt").read_text()
    assert ran.saved("step-*")["position"]["step"] == 1
    assert all(tensor.isfinite().all() for tensor in ran.saved("step-*")["model"].values())


def test_the_best_weights_outlive_a_failure_that_comes_before_any_checkpoint(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = start(varied(plan(*SMALL), "", epochs=3))
    monkeypatch.setattr(ran.training._module, "_backend", lambda: FailingBackend(after=6))
    with pytest.raises(RunFailedError, match="training failed: ZeroDivisionError: the sixth"):
        ran.go()
    assert ran.result["best"]["val/accuracy"]["step"] == 4
    loop = new_loop(varied(ran.plan, "", epochs=3))
    loop.begin()
    loop.advance(4, StopFlag())
    assert checkpoints.weights_sha256(ran.saved("best-*")["model"].items()) == weights_of(loop)


class FailingBackend(Backend):
    """Fails at a backward pass."""

    def __init__(self, *, after: int) -> None:
        self._calls, self._after = 0, after
        super().__init__(backward=self._count)

    def _count(self, loss: torch.Tensor) -> None:
        self._calls += 1
        if self._calls == self._after:
            raise ZeroDivisionError("the sixth")
        loss.backward()


def test_a_stop_is_recorded_with_its_checkpoint(start: Start) -> None:
    ran = start(plan(*RICH))
    ran.stop.signum = 15
    with pytest.raises(StoppedError) as caught:
        ran.go()
    assert caught.value.exit_code == 143
    assert (ran.result["status"], ran.result["steps"]) == ("interrupted", 1)
    assert (ran.events[-1]["event"], ran.events[-1]["signal"]) == ("interrupted", "SIGTERM")
    state = ran.saved("step-*")
    assert checkpoints.weights_sha256(state["model"].items()) == ran.result["weights_sha256"]
    resumed = new_loop(plan(*RICH))
    resumed.restore(state)
    assert weights_of(finish(resumed)) == weights_of(trained(plan(*RICH)))


def test_a_stopped_run_goes_on_through_lightning(start: Start) -> None:
    ran = start(plan(*RICH))
    ran.stop.signum = 15
    with pytest.raises(StoppedError):
        ran.go()
    second = start(plan(*RICH))
    second.training.run(second.folder, resume_from=ran.saved("step-*"))
    loop = trained(plan(*RICH))
    assert second.training.outcome("finished").weights_sha256 == weights_of(loop)
    assert ran.rows + second.rows == rows_of(loop)


def test_a_second_ctrl_c_is_recorded_and_leaves_with_130(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = start(plan(*SMALL))
    loop_at = ran.training._module.training_step

    def impatient(stretch: int, batch_idx: int) -> None:
        for _ in range(2):
            os.kill(os.getpid(), 2)
        loop_at(stretch, batch_idx)

    monkeypatch.setattr(ran.training._module, "training_step", impatient)
    with pytest.raises(StoppedError) as caught:
        ran.go()
    assert caught.value.exit_code == 130
    assert ran.result["status"] == "interrupted"
    assert ran.events[-1]["signal"] == "SIGINT"


class Disk:
    """A disk on which calls of a kind fail once it is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, at: str) -> None:
        self.full = False
        original = getattr(os, at)

        def call(*args: Any) -> Any:
            if self.full and self._is_ours(args[0]):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return original(*args)

        monkeypatch.setattr(os, at, call)

    @staticmethod
    def _is_ours(descriptor: Any) -> bool:
        return "outputs" in os.readlink(f"/proc/self/fd/{descriptor}")


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="asks Linux which file a descriptor is")  # noqa: PTH110
@pytest.mark.parametrize("at", ["write", "fsync"])
def test_a_full_disk_fails_the_run_and_loses_nothing_saved(
    at: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran, disk = start(varied(plan(*SMALL), "checkpoint", every_steps=1)), Disk(monkeypatch, at=at)
    reporter = ran.training._reporter
    monkeypatch.setattr(reporter, "measured", lambda row: setattr(disk, "full", row["step"] >= 5))
    with pytest.raises(RunFailedError, match="No space left on device.*what was saved before is intact") as caught:
        ran.go()
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
    assert ran.saved("step-*")["position"]["step"] == 4
    assert [row["step"] for row in ran.rows][:4] == [1, 2, 3, 4]
    assert not list(ran.folder.rglob(".*.tmp"))
    disk.full = False
    resumed = new_loop(ran.plan)
    resumed.restore(ran.saved("step-*"))
    assert weights_of(finish(resumed)) == weights_of(trained(plan(*SMALL)))


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="asks Linux which file a descriptor is")  # noqa: PTH110
def test_a_disk_that_is_full_at_the_very_end_is_a_failure_too(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    ran, disk = start(plan(*SMALL)), Disk(monkeypatch, at="fsync")
    original = run_room._end
    monkeypatch.setattr(run_room, "_end", lambda *args, **keys: (setattr(disk, "full", True), original(*args, **keys))[1])
    with pytest.raises(RunFailedError, match="No space left on device"):
        ran.go()
    assert ran.saved("step-*")["finished"]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), "out of memory: lower batch_size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory: lower batch_size"),
        (OSError(errno.EACCES, "Permission denied", "a/b"), "Permission denied (a/b): what was saved before is intact"),
        (RuntimeError("first\nsecond"), "training failed: RuntimeError: first"),
        (KeyError(), "training failed: KeyError: "),
    ],
)
def test_errors_are_explained_in_one_line(error: Exception, text: str) -> None:
    assert str(explained(error)).startswith(text)
    assert "\n" not in str(explained(error))
    assert explained(error).exit_code == 1


def test_an_error_of_the_users_stays_what_it_is() -> None:
    for error in (UserError("a"), ConfigError("lr", rule="b")):
        assert explained(error) is error


@pytest.mark.parametrize("logger", ["csv", "tensorboard"])
def test_a_logger_gets_what_our_own_record_has(logger: str, start: Start) -> None:
    ran = start(plan(f"logger={logger}", *RICH))
    ran.go()
    read = {"csv": csv_rows, "tensorboard": tensorboard_rows}[logger]
    wanted = {
        (row["step"], name): value for row in ran.rows for name, value in row.items() if name not in ("step", "epoch")
    }
    assert len(wanted) >= 4 * 2 + 4
    assert read(ran.folder / logger) == pytest.approx(wanted, rel=1e-6)


def csv_rows(folder: Path) -> dict[tuple[int, str], float]:
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        (int(row["step"]), name): float(value)
        for row in rows
        for name, value in row.items()
        if value and name not in ("step", "epoch")
    }


def tensorboard_rows(folder: Path) -> dict[tuple[int, str], float]:
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = loader.EventAccumulator(str(folder))
    events.Reload()
    return {(e.step, name): e.value for name in events.Tags()["scalars"] for e in events.Scalars(name)}


def test_deterministic_algorithms_can_be_asked_for(start: Start) -> None:
    ran = start(plan("trainer.deterministic=true", *RICH))
    seen = []
    measured = lambda row: seen.append(torch.are_deterministic_algorithms_enabled())  # noqa: E731
    ran.training._reporter.measured = measured  # type: ignore[method-assign]
    outcome = ran.go()
    assert seen and all(seen)  # noqa: PT018
    assert outcome.weights_sha256 == weights_of(trained(plan(*RICH)))


def test_double_precision_through_lightning(start: Start) -> None:
    ran = start(plan("trainer.precision=64-true", *SMALL))
    outcome = ran.go()
    loop = trained(plan("trainer.precision=64-true", *SMALL))
    assert {tensor.dtype for tensor in ran.saved("step-*")["model"].values()} == {torch.float64}
    assert outcome.weights_sha256 == weights_of(loop)
    assert ran.rows == rows_of(loop)


def test_mixed_precision_through_lightning(start: Start) -> None:
    made = plan("trainer.precision=bf16-mixed", *RICH)
    outcome = start(made).go()
    backend = Backend(autocast=lambda: torch.autocast("cpu", dtype=torch.bfloat16))
    assert outcome.weights_sha256 == weights_of(finish(new_loop(made, backend=backend)))
    assert outcome.weights_sha256 != weights_of(trained(plan(*RICH)))


@pytest.mark.slow
def test_a_compiled_network_learns_the_same(start: Start) -> None:
    ran = start(plan("trainer.compile=true", *SMALL))
    ran.go()
    for row, wanted in zip(ran.rows, rows_of(trained(plan(*SMALL))), strict=True):
        assert row == pytest.approx(wanted, rel=1e-4)
