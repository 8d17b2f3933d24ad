"""Jobs in processes of this machine, with real kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hpo_cli.engine.worker_server import descendants
from hpo_cli.record import ledger
from hpo_cli.record.contents import read_result
from hpo_cli.sweep.executors.contract import Ended, Job
from hpo_cli.sweep.executors.local import LocalExecutor
from tests.engine.plans import SMALL, plan
from tests.engine.runs import Ran

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORDS = (*SMALL, "model.norm=batch", "regularization.dropout=0.2", "checkpoint.every_steps=2")
PLAIN = (*SMALL, "checkpoint.every_steps=2")
ROOT = Path(__file__).parents[2]
LONG = 90.0
"""Seconds that a job may take on a machine that is busy."""


class Bench:
    """An executor and the jobs that are given to it."""

    def __init__(self, executor: LocalExecutor, home: Path) -> None:
        self.executor, self.home, self._count = executor, home, 0

    def job(self, *words: str, trouble: str = "", after: int = 3, seconds: float = 0, **fields: Any) -> Job:
        self._count += 1
        own = trouble or seconds
        made = plan(*(words or (PLAIN if own else WORDS))).to_dict()
        if own:
            model = {"_target_": "tests.sweep.troublesome.Troublesome", "trouble": trouble or "none"}
            made = {**made, "allow_targets": ["tests"], "model": {**model, "after": after, "seconds": seconds}}
        begin = {"command": ["hpo-run"], "overrides": [], "hydra_files": {}}
        fields.setdefault("folder", self.home / f"{self._count:03d}")
        return Job(self._count, 0, plan=made, begin=begin, **fields)

    def do(self, *jobs: Job) -> list[Ended]:
        """Start them all and wait for all of them, in the order in which they were given."""
        for job in jobs:
            self.executor.start(job)
        return self.all_of(*jobs)

    def all_of(self, *jobs: Job) -> list[Ended]:
        ended: list[Ended] = []
        until = time.monotonic() + LONG
        while len(ended) < len(jobs):
            assert time.monotonic() < until, f"{ended} alone of {len(jobs)}"
            ended += self.executor.wait(1.0)
        return sorted(ended, key=lambda one: [job is one.job for job in jobs].index(True))

    def until_rows(self, job: Job, number: int = 1) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        until = time.monotonic() + LONG
        while len(rows) < number:
            assert time.monotonic() < until
            assert not self.executor.wait(0.02)
            rows += self.executor.rows(job)
        return rows

    def pid(self, job: Job) -> int:
        """The process that trains it."""
        held = json.loads(max((job.folder / "control").glob("lease-*")).read_text())
        return int(held["holder"]["pid"])


@pytest.fixture(scope="module", params=["warm", "fork"])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    before = left_over()
    with LocalExecutor(2, worker=request.param, gpus=(), cores=2, preload=plan(*WORDS).to_dict()) as executor:
        yield Bench(executor, tmp_path_factory.mktemp(request.param))
    assert left_over() <= before


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """The weights of a run by itself in this process."""
    home, known = tmp_path_factory.mktemp("straight"), {}

    def weights(*words: str) -> str:
        if words not in known:
            ran = Ran(plan(*(words or WORDS)), home)
            ran.go()
            known[words] = (read_result(ran.folder) or {})["weights_sha256"]
        return str(known[words])

    return weights


def weights(job: Job) -> str:
    return str((read_result(job.folder) or {})["weights_sha256"])


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def await_end(pids: list[int], *, seconds: float = 30.0) -> list[int]:
    """Those that are still there after so long."""
    until = time.monotonic() + seconds
    while (left := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < until:
        time.sleep(0.02)
    return left


def left_over() -> set[int]:
    """Servers and workers of this process."""
    return {pid for pid in descendants(os.getpid()) if b"worker_server" in _command(pid)}


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_job_gives_the_bits_of_the_run_by_itself_and_so_does_the_next_one(
    bench: Bench, straight: Callable[..., str]
) -> None:
    first, second, third = bench.job(), bench.job(*WORDS, "optimizer=sgd", "seed=3"), bench.job()
    for job in (first, second, third):
        assert bench.do(job) == [Ended(job, "finished")]
    assert weights(first) == weights(third) == straight()
    assert weights(second) == straight(*WORDS, "optimizer=sgd", "seed=3") != straight()


def test_two_jobs_at_once_have_a_core_each(bench: Bench, straight: Callable[..., str]) -> None:
    jobs = [bench.job(), bench.job()]
    assert [one.status for one in bench.do(*jobs)] == ["finished", "finished"]
    assert {weights(job) for job in jobs} == {straight()}


@pytest.mark.parametrize(
    ("trouble", "cause", "reason"),
    [
        ("raise", "setting", "a mistake of the user's"),
        ("memory", "memory", "out of memory"),
        ("exit", "machine", "exit code 3"),
        ("kill", "machine", "killed by signal 9 (the machine's memory may be short: "),
    ],
)
def test_what_goes_wrong_ends_its_own_job_alone(
    trouble: str, cause: str, reason: str, bench: Bench, straight: Callable[..., str]
) -> None:
    bad, good = bench.job(trouble=trouble), bench.job()
    found, other = bench.do(bad, good)
    assert (found.status, found.cause) == ("failed", cause)
    assert reason in found.reason
    assert "\n" not in found.reason
    assert other == Ended(good, "finished")
    after = bench.job()
    assert bench.do(after) == [Ended(after, "finished")]
    assert weights(after) == weights(good) == straight()


@pytest.mark.parametrize("trouble", ["mutate", "defaults"])
def test_what_a_run_does_to_its_process_reaches_no_other_run(
    trouble: str, bench: Bench, straight: Callable[..., str]
) -> None:
    for job in (bench.job(trouble=trouble, after=0), bench.job(trouble=trouble, after=0)):
        assert bench.do(job)[0].status in ("finished", "failed")
    jobs = [bench.job(), bench.job()]
    assert [one.status for one in bench.do(*jobs)] == ["finished", "finished"]
    assert {weights(job) for job in jobs} == {straight()}


def test_a_job_that_hangs_is_ended_after_its_time(bench: Bench) -> None:
    job = bench.job(trouble="hang", timeout_s=1.5)
    (ended,) = bench.do(job)
    assert ended == Ended(job, "failed", "no end after 1.5 s (sweep.timeout_minutes)", "machine")
    assert not is_alive(bench.pid(job))


def test_a_job_that_was_killed_goes_on_to_the_same_bits(bench: Bench, straight: Callable[..., str]) -> None:
    job = bench.job(trouble="kill", after=7)
    assert bench.do(job)[0].cause == "machine"
    assert any(event["event"] == "checkpointed" for event in ledger.read_ledger(job.folder).events)
    (ended,) = bench.do(bench.job(trouble="kill", after=7, folder=job.folder, attempt=2))
    assert ended.status == "finished"
    whole = bench.job(trouble="none", after=7)
    bench.do(whole)
    assert weights(job) == weights(whole)


def test_what_a_run_prints_is_in_its_folder(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    job, quiet = bench.job(trouble="print"), bench.job()
    bench.do(job, quiet)
    said = (job.folder / "worker.log").read_text()
    assert {"printed", "complained", "from below"} <= set(said.split("\n"))
    assert not (quiet.folder / "worker.log").exists()
    assert capfd.readouterr() == ("", "")


def test_a_job_that_is_asked_to_save_goes_on_from_there(bench: Bench, straight: Callable[..., str]) -> None:
    words = (*SMALL, "epochs=6")
    job = bench.job(*words, seconds=0.05)
    bench.executor.start(job)
    bench.until_rows(job)
    bench.executor.end(job, "save")
    assert bench.all_of(job) == [Ended(job, "interrupted", "SIGTERM", "asked")]
    assert (read_result(job.folder) or {})["status"] == "interrupted"
    whole = bench.job(*words, seconds=0.001)
    again = bench.job(*words, seconds=0.05, folder=job.folder, attempt=2)
    assert [one.status for one in bench.do(again, whole)] == ["finished", "finished"]
    steps = [event.get("step") for event in ledger.read_ledger(job.folder).events if event["event"] == "resumed"]
    assert len(steps) == 1
    assert steps[0] > 0


def test_a_job_that_is_ended_now_ends_now(bench: Bench) -> None:
    job = bench.job(seconds=0.05)
    bench.executor.start(job)
    bench.until_rows(job)
    bench.executor.end(job, "kill")
    (ended,) = bench.all_of(job)
    assert (ended.status, ended.cause) == ("interrupted", "asked")
    bench.executor.end(job, "kill")  # harmless


def test_rows_come_while_a_job_runs(bench: Bench) -> None:
    job = bench.job(seconds=0.02)
    bench.executor.start(job)
    rows = bench.until_rows(job, 3)
    bench.all_of(job)
    rows += bench.executor.rows(job)
    assert [row["step"] for row in rows] == list(range(1, 9))
    assert bench.executor.rows(job) == ()


def test_a_rung_is_a_stop_without_words(bench: Bench, straight: Callable[..., str]) -> None:
    job = bench.job(until=1)
    assert bench.do(job) == [Ended(job, "stopped")]
    more = bench.job(folder=job.folder)
    assert bench.do(more) == [Ended(more, "finished")]
    assert weights(job) == straight()


def test_a_worker_ignores_the_terminal(bench: Bench) -> None:
    job = bench.job(seconds=0.05)
    bench.executor.start(job)
    bench.until_rows(job)
    pid = bench.pid(job)
    assert os.getpgid(pid) != os.getpgid(0)
    os.kill(pid, signal.SIGINT)
    assert bench.all_of(job)[0].status == "finished"


def test_a_worker_that_is_told_to_end_by_the_machine_is_worth_another_try(bench: Bench) -> None:
    job = bench.job(seconds=0.05)
    bench.executor.start(job)
    bench.until_rows(job)
    os.kill(bench.pid(job), signal.SIGTERM)
    (ended,) = bench.all_of(job)
    assert (ended.status, ended.cause) == ("failed", "machine")
    assert (read_result(job.folder) or {})["status"] == "interrupted"


def test_a_warm_worker_is_used_again_and_a_fresh_one_is_not(bench: Bench) -> None:
    jobs = [bench.job(), bench.job()]
    for job in jobs:
        bench.do(job)
    same = bench.pid(jobs[0]) == bench.pid(jobs[1])
    assert same == (bench.executor._most > 1)


def test_the_slots_can_change_while_jobs_run(bench: Bench) -> None:
    jobs = [bench.job(seconds=0.02) for _ in range(3)]
    bench.executor.slots = 3
    assert [one.status for one in bench.do(*jobs)] == ["finished"] * 3
    bench.executor.slots = 2
    assert len(bench.executor._workers) <= 2
    assert bench.do(bench.job())[0].status == "finished"


def test_the_server_may_die(bench: Bench, straight: Callable[..., str]) -> None:
    job = bench.job(seconds=0.05)
    bench.executor.start(job)
    bench.until_rows(job)
    server = bench.executor._server
    assert server is not None
    os.kill(server.process.pid, signal.SIGKILL)
    (ended,) = bench.all_of(job)
    assert (ended.status, ended.cause) == ("failed", "machine")
    assert (read_result(job.folder) or {})["status"] == "interrupted"
    again = bench.job()
    assert bench.do(again) == [Ended(again, "finished")]
    assert weights(again) == straight()
    assert not await_end([bench.pid(job)])


def test_a_share_of_the_cores_reaches_the_run(bench: Bench) -> None:
    words = ("model.width=1024", "batch_size=256", "trainer.threads=null", "data.subset=0.3", "trainer.max_steps=1")
    threads = []
    for slots in (2, 1):
        bench.executor.slots = slots
        job = bench.job(*words)
        bench.do(job)
        threads += [event["threads"] for event in ledger.read_ledger(job.folder).events if event["event"] == "data"]
    bench.executor.slots = 2
    assert threads == [1, 2]


SCHEDULER = """
    import sys, pickle, pathlib
    from hpo_cli.sweep.executors.contract import Job
    from hpo_cli.sweep.executors.local import LocalExecutor
    jobs = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
    with LocalExecutor(2, gpus=(), cores=2) as executor:
        for job in jobs:
            executor.start(job)
        assert "torch" not in sys.modules and "pytorch_lightning" not in sys.modules
        while True:
            executor.wait(60)
"""


def test_when_the_scheduler_is_killed_its_runs_save_and_nothing_stays(tmp_path: Path) -> None:
    import pickle

    made = Bench(None, tmp_path)  # type: ignore[arg-type]
    jobs = [made.job(*SMALL, "epochs=40", seconds=0.05) for _ in range(2)]
    (tmp_path / "jobs").write_bytes(pickle.dumps(jobs))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCHEDULER), str(tmp_path / "jobs")], env=environment, cwd=ROOT
    )
    try:
        until = time.monotonic() + LONG
        while not all((job.folder / "metrics.jsonl").exists() for job in jobs):
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.05)
        family = descendants(process.pid)
        assert len(family) == 3  # the server and two workers
    finally:
        process.kill()
        process.wait()
    assert not await_end(family)
    assert [(read_result(job.folder) or {})["status"] for job in jobs] == ["interrupted", "interrupted"]


def test_a_sweep_that_is_left_before_anything_began_is_left_at_once(tmp_path: Path) -> None:
    before = left_over()
    made = Bench(LocalExecutor(1, gpus=(), cores=1), tmp_path)
    job = made.job()
    began = time.monotonic()
    made.executor.start(job)
    made.executor.end(job, "save")
    assert made.executor.wait(0) == [Ended(job, "interrupted", "had not begun", "asked")]
    made.executor.close()
    assert time.monotonic() - began < 2
    assert left_over() <= before
    assert not job.folder.exists()


def test_a_server_that_cannot_start_fails_its_jobs_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpo_cli.sweep.executors.server_link.CHECK", "hpo_cli.nowhere:check")
    with LocalExecutor(1, gpus=(), cores=1) as executor:
        made = Bench(executor, tmp_path)
        (ended,) = made.do(made.job())
    assert (ended.status, ended.cause) == ("failed", "machine")
    assert "No module named 'hpo_cli.nowhere'" in ended.reason
