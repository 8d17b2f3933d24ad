"""How runs end: the record of each end, failures, signals, a full disk."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from hpo_cli.engine import checkpoints
from hpo_cli.engine import run as run_room
from hpo_cli.engine.backend import Backend
from hpo_cli.engine.run import explained
from hpo_cli.engine.stop import StopFlag, StoppedError
from hpo_cli.errors import ConfigError, RunFailedError, UserError
from tests.engine.plans import (
    SMALL,
    finish,
    new_loop,
    plan,
    rows_of,
    splits_of,
    trained,
    varied,
    weights_of,
)
from tests.engine.runs import RICH

if TYPE_CHECKING:
    from hpo_cli.plan import RunPlan
    from tests.engine.runs import Start


ENDS = ("interrupted", "resumed", "finished")


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
    assert events[0]["event"] == "started"
    assert events[-1]["event"] == "finished"
    splits = splits_of(ran.plan)
    data = next(event for event in events if event["event"] == "data")
    assert (data["train"], data["val"], data["test"]) == tuple(map(len, (splits.train.x, splits.val.x, splits.test.x)))
    assert sum(data["class_counts"]["train"].values()) == data["train"]
    assert not (ran.folder / "error.txt").exists()


def diverging(**more: Any) -> RunPlan:
    """The loss of step 2 is not finite."""
    base = plan("optimizer=sgd", "schedule=constant", *SMALL)
    return varied(varied(base, "", lr=1e30), "checkpoint", **more)


def test_a_bad_loss_fails_the_run_and_keeps_what_was_saved(start: Start) -> None:
    ran = start(diverging(every_steps=1))
    with pytest.raises(
        RunFailedError, match=r"train/loss is (nan|inf) at step 2 \(epoch 1, lr 1e\+30\): lower lr"
    ) as e:
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
    again = ran.again()
    assert again.training.started_from == "step 1 (checkpoints/step-00000001.pt)"
    assert again.go().status == "finished"
    loop = trained(plan(*RICH))
    assert again.sha == weights_of(loop)
    assert again.rows == rows_of(loop)
    assert [event["event"] for event in ran.events if event["event"] in ENDS] == ["interrupted", "resumed", "finished"]
    assert (ran.folder / "result-00000001.json").exists()


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
        return "outputs" in str(Path(f"/proc/self/fd/{descriptor}").readlink())


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="asks Linux which file a descriptor is")  # noqa: PTH110
@pytest.mark.parametrize("at", ["write", "fsync"])
def test_a_full_disk_stops_no_run_until_it_is_asked_to_and_loses_nothing_saved(
    at: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran, disk = start(varied(plan(*SMALL), "checkpoint", every_steps=1)), Disk(monkeypatch, at=at)
    reporter = ran.training._reporter
    monkeypatch.setattr(reporter, "measured", lambda row: setattr(disk, "full", row["step"] >= 5))
    monkeypatch.setattr(ran.training.patience, "_say", lambda _: setattr(ran.stop, "signum", signal.SIGTERM))
    with pytest.raises(StoppedError, match="SIGTERM") as caught:
        ran.go()
    assert caught.value.exit_code == 143
    assert "\n" not in str(caught.value.__cause__)
    assert ran.saved("step-*")["position"]["step"] in (3, 4)  # step 4 is written while step 5 is taken
    assert [row["step"] for row in ran.rows][:4] == [1, 2, 3, 4]
    assert not list(ran.folder.rglob(".*.tmp"))
    disk.full = False
    resumed = new_loop(ran.plan)
    resumed.restore(ran.saved("step-*"))
    assert weights_of(finish(resumed)) == weights_of(trained(plan(*SMALL)))


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="asks Linux which file a descriptor is")  # noqa: PTH110
def test_a_disk_that_is_full_at_the_very_end_is_waited_for_too(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    ran, disk = start(plan(*SMALL)), Disk(monkeypatch, at="fsync")
    original = run_room._end
    monkeypatch.setattr(
        run_room, "_end", lambda *args, **keys: (setattr(disk, "full", True), original(*args, **keys))[1]
    )
    monkeypatch.setattr(ran.training.patience, "_say", lambda _: setattr(ran.stop, "signum", signal.SIGTERM))
    with pytest.raises(StoppedError, match="SIGTERM"):
        ran.go()
    assert ran.saved("step-*")["position"]["step"] == 8


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
