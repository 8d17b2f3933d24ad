"""One run by a task, whatever is there already."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest
import torch

from hpo_cli.engine.orders import LostError
from hpo_cli.engine.run import run
from hpo_cli.engine.stop import StopFlag
from hpo_cli.engine.train import Training
from hpo_cli.engine.worker_causes import cause_of, reason_of
from hpo_cli.engine.worker_job import do, order_stop
from hpo_cli.engine.worker_task import Done, Task
from hpo_cli.errors import ConfigError, RunFailedError
from hpo_cli.record import ledger
from hpo_cli.record.contents import read_result
from hpo_cli.record.line import living_line
from hpo_cli.record.metrics import read_metrics
from hpo_cli.steer.commands import send
from hpo_cli.validate import plan_from_config
from tests.engine.plans import SMALL, plan
from tests.engine.runs import RICH, Ran, Watching

if TYPE_CHECKING:
    from pathlib import Path

WORDS = (*RICH, "epochs=4", "schedule=cosine")
BEGIN = {"command": ["hpo-run", "-m", "lr=1"], "overrides": ["lr=1"], "hydra_files": {"overrides.yaml": "- lr=1\n"}}


def task(tmp_path: Path, *words: str, **fields: Any) -> Task:
    made = plan(*(words or WORDS), outputs="outputs").to_dict()
    return Task(folder=tmp_path / "sweep" / "ab-1", plan=made, begin=BEGIN, **fields)


def done(task: Task, *, stop: StopFlag | None = None) -> Done:
    return do(task, stop=stop or StopFlag(), check=plan_from_config)


def kinds(task: Task) -> list[str]:
    return [event["event"] for event in ledger.read_ledger(task.folder).events]


def result(task: Task) -> dict[str, Any]:
    found = read_result(task.folder)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The result of a run of WORDS that nobody ever stopped."""
    ran = Ran(plan(*WORDS), tmp_path_factory.mktemp("straight"))
    ran.go()
    return {**(read_result(ran.folder) or {}), "rows": ran.rows}


def test_a_task_makes_the_folder_of_an_ordinary_run_and_trains_to_its_end(
    tmp_path: Path, straight: dict[str, Any]
) -> None:
    whole = task(tmp_path)
    assert done(whole) == Done("finished")
    assert result(whole)["weights_sha256"] == straight["weights_sha256"]
    first = ledger.read_ledger(whole.folder).events[0]
    assert (first["event"], first["command"], first["overrides"]) == ("started", BEGIN["command"], BEGIN["overrides"])
    assert (whole.folder / ".hydra" / "overrides.yaml").read_text() == "- lr=1\n"


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    whole = task(tmp_path)
    done(whole)
    before = (whole.folder / "ledger.jsonl").read_bytes()
    assert done(whole) == Done("finished")
    assert (whole.folder / "ledger.jsonl").read_bytes() == before


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_run_stops_after_the_epoch_of_its_rung_with_its_validation_done(tmp_path: Path, epoch: int) -> None:
    rung = task(tmp_path, until=epoch)
    assert done(rung) == Done("stopped")
    found = result(rung)
    assert (found["status"], found["epochs"], found["steps"]) == ("stopped", epoch, 3 * epoch)
    rows = read_metrics(rung.folder / "metrics.jsonl")
    assert [row["epoch"] for row in rows if "val/loss" in row] == list(range(1, epoch + 1))
    saved = [event["step"] for event in ledger.read_ledger(rung.folder).events if event["event"] == "checkpointed"]
    assert 3 * epoch in saved


def test_rungs_lead_to_the_bits_of_a_run_that_never_stopped(tmp_path: Path, straight: dict[str, Any]) -> None:
    for until in (1, 2, None):
        assert done(task(tmp_path, until=until)).status == ("finished" if until is None else "stopped")
    found = result(task(tmp_path))
    assert found["weights_sha256"] == straight["weights_sha256"]
    assert (found["metrics"], found["best"]) == (straight["metrics"], straight["best"])
    assert read_metrics(task(tmp_path).folder / "metrics.jsonl") == straight["rows"]


def test_another_seed_leads_to_other_bits(tmp_path: Path, straight: dict[str, Any]) -> None:
    other = task(tmp_path, *WORDS, "seed=9")
    done(other)
    assert result(other)["weights_sha256"] != straight["weights_sha256"]


def test_a_rung_that_was_reached_before_is_not_trained_again(tmp_path: Path) -> None:
    done(task(tmp_path, until=2))
    before = (task(tmp_path).folder / "ledger.jsonl").read_bytes()
    assert [done(task(tmp_path, until=until)) for until in (2, 1)] == [Done("stopped"), Done("stopped")]
    assert (task(tmp_path).folder / "ledger.jsonl").read_bytes() == before


def test_a_rung_at_the_last_epoch_is_the_end(tmp_path: Path) -> None:
    assert done(task(tmp_path, until=4)) == Done("finished")
    assert "scheduled" not in kinds(task(tmp_path))


def test_a_stop_that_stands_is_not_ordered_twice_and_is_cancelled_when_the_run_may_go_on(tmp_path: Path) -> None:
    folder = Ran(plan(*WORDS), tmp_path).folder
    for epoch in (2, 2, 3):
        order_stop(folder, epoch)
    (standing,) = living_line(ledger.read_ledger(folder).events).standing
    assert (standing["due"], standing["who"], standing["why"]) == ({"epoch": 3}, "sweep", "rung of 3 epochs")
    order_stop(folder, None)
    assert living_line(ledger.read_ledger(folder).events).standing == ()


def test_the_stop_that_somebody_else_has_planned_is_left_alone(tmp_path: Path) -> None:
    folder = Ran(plan(*WORDS), tmp_path).folder
    ledger.append(folder, "scheduled", step=0, id="0-a", due={"epoch": 1}, do="stop", changes={}, who="ada@lab", why="")
    order_stop(folder, None)
    assert [order["id"] for order in living_line(ledger.read_ledger(folder).events).standing] == ["0-a"]


def test_a_run_that_was_asked_to_stop_goes_on_to_the_same_bits(tmp_path: Path, straight: dict[str, Any]) -> None:
    interrupted = task(tmp_path)
    ran = Ran(plan(*WORDS), tmp_path)  # the same run by hand, stopped on the way
    ran.do(5, lambda: setattr(ran.stop, "signum", 15))
    with pytest.raises(Exception, match="SIGTERM"):
        ran.go()
    interrupted.folder.parent.mkdir()
    ran.folder.rename(interrupted.folder)
    assert done(interrupted) == Done("finished")
    assert result(interrupted)["weights_sha256"] == straight["weights_sha256"]


def test_a_task_that_is_stopped_before_it_begins_says_so(tmp_path: Path) -> None:
    stop = StopFlag()
    stop.signum = 15
    assert done(task(tmp_path), stop=stop) == Done("interrupted", "SIGTERM", "asked")
    assert not task(tmp_path).folder.exists()


def test_a_folder_whose_maker_was_killed_is_set_aside(tmp_path: Path) -> None:
    whole = task(tmp_path, *SMALL, "epochs=1")
    for number in range(2):
        whole.folder.mkdir(parents=True)
        (whole.folder / "plan.yaml").write_text("half")
        (whole.folder / "ledger.jsonl").write_text('{"at": "2026-01-01", "event": "sta')
        if number == 0:
            whole.folder.rename(whole.folder.with_name("ab-1-half"))
    assert done(whole) == Done("finished")
    assert sorted(path.name for path in whole.folder.parent.iterdir()) == ["ab-1", "ab-1-half", "ab-1-half-2"]


def test_a_stop_by_somebody_else_is_told_with_his_name(tmp_path: Path) -> None:
    done(task(tmp_path, until=1))
    send(task(tmp_path).folder, "stop", {}, who="ada@lab", why="too slow")
    assert done(task(tmp_path, until=3)) == Done("stopped", "stopped by ada@lab: too slow")


def test_a_loss_that_is_not_finite_is_the_fault_of_the_setting(tmp_path: Path) -> None:
    found = done(task(tmp_path, *SMALL, "optimizer=sgd", "lr=1e30"))
    assert (found.status, found.cause) == ("failed", "setting")
    assert "nan" in found.reason or "inf" in found.reason
    assert "\n" not in found.reason


def test_a_plan_that_does_not_fit_its_data_fails_with_a_record(tmp_path: Path) -> None:
    found = done(task(tmp_path, *SMALL, "loss=bce"))
    assert (found.status, found.cause) == ("failed", "setting")
    assert "10" in found.reason
    failed = task(tmp_path, *SMALL)
    assert kinds(failed) == ["started", "failed"]
    assert "ConfigError" in (failed.folder / "error.txt").read_text()


def test_a_folder_of_another_plan_is_not_trained(tmp_path: Path) -> None:
    done(task(tmp_path, until=1))
    found = done(task(tmp_path, *WORDS, "lr=0.5"))
    assert (found.status, found.cause) == ("failed", "setting")
    assert "was started with the plan" in found.reason


def test_a_run_that_another_process_ends_soon_is_waited_for(tmp_path: Path, straight: dict[str, Any]) -> None:
    from threading import Timer

    from hpo_cli.record.lease import Lease

    done(task(tmp_path, until=1))
    held = Lease.acquire(task(tmp_path).folder)
    Timer(0.3, held.release).start()
    assert done(task(tmp_path)) == Done("finished")
    assert result(task(tmp_path))["weights_sha256"] == straight["weights_sha256"]


def _raised(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def lost(tmp_path: str = "x") -> LostError:
    from pathlib import Path

    return LostError(Path(tmp_path))


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:118] . DefaultCPUAllocator: can't allocate memory"), "memory"),
        (_raised(RunFailedError("out of memory: lower batch_size"), MemoryError()), "memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory"),
        (_raised(RunFailedError("cannot be written"), OSError(errno.EIO, "Input/output error")), "machine"),
        (RuntimeError("CUDA error: unspecified launch failure"), "machine"),
        (RuntimeError("DataLoader worker (pid 12) is killed by signal: Killed."), "machine"),
        (lost(), "machine"),
        (RuntimeError("CUDA error: device-side assert triggered"), "setting"),
        (RunFailedError("train/loss is nan at step 3"), "setting"),
        (ConfigError("lr", 1, rule="must be small"), "setting"),
        (_raised(ConfigError("model", "x", rule="cannot be imported"), ImportError("x")), "setting"),
        (KeyError("mine"), "setting"),
        (SystemExit(3), "setting"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_went_wrong_is_told_apart(error: BaseException, cause: str) -> None:
    assert cause_of(error) == cause
    reason = reason_of(error)
    assert reason
    assert "\n" not in reason


def test_a_share_of_the_cores_is_what_a_run_takes_its_threads_from(tmp_path: Path) -> None:
    large = plan("model.width=1024", "batch_size=256", "trainer.threads=null", "data.subset=0.3")
    assert Training(large, reporter=Watching(), stop=StopFlag(), cores=2).threads == 2
    assert Training(large, reporter=Watching(), stop=StopFlag(), cores=1).threads == 1
    torch.set_num_threads(1)


def test_the_run_of_a_task_is_a_run_like_any_other(tmp_path: Path, straight: dict[str, Any]) -> None:
    """A rung may be trained by a worker, and the rest by hand."""
    done(task(tmp_path, until=2))
    folder = task(tmp_path).folder
    order_stop(folder, None)
    training = Training(plan(*WORDS), reporter=Watching(), stop=StopFlag(), folder=folder)
    assert run(training, folder).weights_sha256 == straight["weights_sha256"]
