"""scripts/slurm/caviar.sbatch on a real Slurm of one node that scripts/slurm/dev-cluster.sh brings up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import REPOSITORY
from tests.scripts.loops import wait_until
from tests.scripts.test_slurm_job import cluster, details, slurm, urgent_job
from tests.scripts.test_sweep_loop import STAND_IN, events, finished, names

JOB = REPOSITORY / "scripts" / "slurm" / "caviar.sbatch"
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "PREEMPTED", "NODE_FAIL", "OUT_OF_MEMORY")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="bringing up a Slurm needs root"),
    pytest.mark.skipif(not Path("/etc/debian_version").exists(), reason="Slurm is taken from Debian's packages"),
]
__all__ = ["cluster", "slurm"]


@pytest.fixture(autouse=True)
def _none_left() -> Iterator[None]:
    yield
    subprocess.run(["scancel", "--name=caviar"], check=False)


def submit(*words: str, cwd: Path, options: tuple[str, ...] = (), tasks: int = 1, **variables: str) -> str:
    own = {"PYTHONPATH": str(REPOSITORY), "HPO_RUN": f"{sys.executable} {STAND_IN}"}
    given = ("--parsable", "--cpus-per-task=1", "--mem=1000", f"--ntasks-per-node={tasks}", *options)
    done = subprocess.run(
        ["sbatch", *given, str(JOB), *words], cwd=cwd, env={**os.environ, **own, **variables}, text=True,
        capture_output=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def wait_for_end(job: str, *, cwd: Path, seconds: float) -> tuple[str, str]:
    wait_until(lambda: details(job)["JobState"] in ENDED, seconds=seconds)
    return details(job)["JobState"], (cwd / f"caviar-{job}.out").read_text()


def folder_of(job: str, cwd: Path) -> Path:
    return cwd / "outputs/slurm" / job


def processes(folder: Path) -> Counter[int]:
    """How many trials each process has finished."""
    return Counter(one["pid"] for one in events(folder) if one["event"] == "ended" and one["status"] == "finished")


def test_several_tasks_of_a_job_share_one_sweep(tmp_path: Path) -> None:
    job = submit(cwd=tmp_path, tasks=2, STAND_IN_TRIALS="60")
    state, said = wait_for_end(job, cwd=tmp_path, seconds=120)
    assert state == "COMPLETED", said
    folder = folder_of(job, tmp_path)
    assert finished(folder) == list(range(1, 61))
    assert len(processes(folder)) == 2
    assert Counter(names(folder))["began"] + Counter(names(folder))["joined"] == 2


def test_a_job_that_joins_takes_its_share(tmp_path: Path) -> None:
    first = submit("sweep.dir=one", cwd=tmp_path, STAND_IN_TRIALS="150")
    wait_until(lambda: finished(tmp_path / "one"))
    second = submit("sweep.dir=one", cwd=tmp_path, STAND_IN_TRIALS="150")
    assert wait_for_end(first, cwd=tmp_path, seconds=120)[0] == "COMPLETED"
    assert wait_for_end(second, cwd=tmp_path, seconds=60)[0] == "COMPLETED"
    assert finished(tmp_path / "one") == list(range(1, 151))
    assert len(processes(tmp_path / "one")) == 2


def test_a_job_requeues_itself_before_its_time_limit(tmp_path: Path) -> None:
    job = submit(cwd=tmp_path, options=("--time=1", "--signal=B:USR1@20"), tasks=2, STAND_IN_TRIALS="1400")
    state, said = wait_for_end(job, cwd=tmp_path, seconds=900)
    assert state == "COMPLETED", said
    assert "the time limit is near: requeued" in said
    folder = folder_of(job, tmp_path)
    assert finished(folder) == list(range(1, 1401))
    assert names(folder).count("left") == 2 * int(details(job)["Restarts"])


def test_a_pre_empted_job_saves_and_goes_on(tmp_path: Path) -> None:
    job = submit(cwd=tmp_path, STAND_IN_TRIALS="200")
    folder = folder_of(job, tmp_path)
    wait_until(lambda: finished(folder))
    urgent_job(tmp_path)
    state, said = wait_for_end(job, cwd=tmp_path, seconds=300)
    assert state == "COMPLETED", said
    assert "pre-empted: requeued" in said
    assert int(details(job)["Restarts"]) == 1
    assert finished(folder) == list(range(1, 201))
    assert names(folder).count("left") == 1


def test_a_killed_task_disturbs_no_other_and_its_job_goes_on(tmp_path: Path) -> None:
    job = submit(cwd=tmp_path, tasks=2, STAND_IN_FAULT="kill:20", STAND_IN_TRIALS="70")
    state, said = wait_for_end(job, cwd=tmp_path, seconds=300)
    assert state == "COMPLETED", said
    folder = folder_of(job, tmp_path)
    assert finished(folder) == list(range(1, 71))
    assert max(processes(folder).values()) == 20


@pytest.mark.parametrize(("fault", "code"), [("failed", "1:0"), ("words", "2:0"), ("exit:127", "127:0")])
def test_what_cannot_be_mended_ends_the_job(tmp_path: Path, fault: str, code: str) -> None:
    job = submit(cwd=tmp_path, STAND_IN_FAULT=fault)
    state, said = wait_for_end(job, cwd=tmp_path, seconds=60)
    assert (state, details(job)["ExitCode"], details(job)["Restarts"]) == ("FAILED", code, "0"), said


def test_a_job_that_gets_nowhere_ends_after_three_starts(tmp_path: Path) -> None:
    job = submit(cwd=tmp_path, STAND_IN_FAULT="early")
    state, said = wait_for_end(job, cwd=tmp_path, seconds=180)
    assert state == "FAILED"
    assert "3 starts in a row got nowhere" in said
    assert Counter(names(folder_of(job, tmp_path)))["joined"] == 2


def test_a_cancelled_job_saves_and_is_not_requeued(tmp_path: Path) -> None:
    job = submit(cwd=tmp_path, tasks=2, STAND_IN_TRIALS="2000")
    folder = folder_of(job, tmp_path)
    wait_until(lambda: len(processes(folder)) == 2)
    subprocess.run(["scancel", job], check=True)
    assert wait_for_end(job, cwd=tmp_path, seconds=60)[0] == "CANCELLED"
    wait_until(lambda: names(folder).count("left") == 2)
    assert details(job)["Restarts"] == "0"


def test_an_array_of_jobs_works_on_one_sweep(tmp_path: Path) -> None:
    job = submit(cwd=tmp_path, options=("--array=1-2",), STAND_IN_TRIALS="150")
    folder = folder_of(job, tmp_path)
    wait_until(lambda: finished(folder) == list(range(1, 151)), seconds=180)
    assert len(processes(folder)) == 2
