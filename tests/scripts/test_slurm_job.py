"""scripts/slurm/panda.sbatch on a real Slurm of one node that scripts/slurm/dev-cluster.sh brings up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import REPOSITORY, child
from tests.scripts.loops import STAND_IN, events, names, wait_until

CLUSTER = REPOSITORY / "scripts" / "slurm" / "dev-cluster.sh"
JOB = REPOSITORY / "scripts" / "slurm" / "panda.sbatch"
WORDS = ("regularization.dropout=0.1", "trainer.threads=1", "checkpoint.every_steps=5000", "trainer.log_every_steps=17")
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "PREEMPTED", "NODE_FAIL", "OUT_OF_MEMORY")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="bringing up a Slurm needs root"),
    pytest.mark.skipif(not Path("/etc/debian_version").exists(), reason="Slurm is taken from Debian's packages"),
]


def cluster(action: str) -> subprocess.CompletedProcess[str]:
    """Its output goes to a file: the daemons that it starts would keep a pipe open."""
    return subprocess.run(
        [CLUSTER, action], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True, check=False
    )


@pytest.fixture(scope="module", autouse=True)
def slurm() -> Iterator[None]:
    """The cluster, ended afterwards unless it was there before."""
    was_up = shutil.which("sinfo") is not None and cluster("status").returncode == 0
    if cluster("up").returncode != 0:
        pytest.skip("no Slurm could be brought up: no package archive, or another Slurm is configured")
    yield
    if not was_up:
        assert cluster("down").returncode == 0
        assert not Path("/etc/slurm/slurm.conf").exists()


def submit(*words: str, cwd: Path, options: tuple[str, ...] = (), command: str = "", **variables: str) -> str:
    command = command or f"{sys.executable} -m hpo_cli.cli"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "HPO_RUN": command, "OMP_NUM_THREADS": "1", **variables}
    options = ("--parsable", "--cpus-per-task=1", "--mem=2000", *options)
    done = subprocess.run(
        ["sbatch", *options, str(JOB), *words], cwd=cwd, env=environment, text=True, capture_output=True, check=True
    )
    return done.stdout.strip()


def details(job: str) -> dict[str, str]:
    text = subprocess.run(["scontrol", "show", "job", job], text=True, capture_output=True, check=True).stdout
    return dict(word.split("=", 1) for word in text.split() if "=" in word)


def wait_for_end(job: str, *, cwd: Path, seconds: float) -> tuple[str, str]:
    """State of the ended job, and what it said."""
    wait_until(lambda: details(job)["JobState"] in ENDED, seconds=seconds)
    return details(job)["JobState"], (cwd / f"panda-{job}.out").read_text()


def urgent_job(cwd: Path) -> str:
    options = ["--parsable", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=true"]
    return subprocess.run(["sbatch", *options], cwd=cwd, text=True, capture_output=True, check=True).stdout.strip()


def assert_as_never_stopped(run: Path, *words: str) -> None:
    whole = run.with_name(f"{run.name}-whole")
    assert child(*words, f"hydra.run.dir='{whole}'", cwd=run.parent).code == 0
    results = [json.loads((folder / "result.json").read_text()) for folder in (run, whole)]
    assert results[0]["weights_sha256"] == results[1]["weights_sha256"]
    assert (run / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))


def test_a_job_requeues_itself_before_its_time_limit_and_goes_on_exactly(tmp_path: Path) -> None:
    words = (*WORDS, "epochs=2500")
    job = submit(*words, cwd=tmp_path, options=("--time=1", "--signal=B:USR1@10"))
    state, said = wait_for_end(job, cwd=tmp_path, seconds=900)
    assert state == "COMPLETED", said
    run = tmp_path / "outputs/slurm" / job
    assert "the time limit is near: requeued at step" in said
    assert names(run).count("started") == 1
    assert names(run).count("resumed") == int(details(job)["Restarts"]) >= 1
    assert_as_never_stopped(run, *words)


def test_a_job_that_is_requeued_and_then_pre_empted_goes_on_exactly(tmp_path: Path) -> None:
    words = (*WORDS, "epochs=1200")
    job = submit(*words, cwd=tmp_path, LAUNCH="srun")
    run = tmp_path / "outputs/slurm" / job
    wait_until(lambda: "checkpointed" in names(run))
    subprocess.run(["scontrol", "requeue", job], check=True)
    wait_until(lambda: "resumed" in names(run))
    resumed_at = next(event["step"] for event in events(run) if event["event"] == "resumed")
    wait_until(lambda: events(run)[-1]["event"] == "checkpointed" and events(run)[-1]["step"] > resumed_at)
    urgent_job(tmp_path)
    state, said = wait_for_end(job, cwd=tmp_path, seconds=900)
    assert state == "COMPLETED", said
    assert names(run).count("resumed") == int(details(job)["Restarts"]) == 2
    assert "pre-empted: requeued at step" in said
    assert_as_never_stopped(run, *words)


@pytest.mark.parametrize(("fault", "code"), [("exit:3:1", "1:0"), ("words", "2:0"), ("exit:0:127", "127:0")])
def test_a_failed_run_and_wrong_words_end_the_job(tmp_path: Path, fault: str, code: str) -> None:
    job = submit(cwd=tmp_path, command=f"{sys.executable} {STAND_IN}", STAND_IN_FAULT=fault)
    state, said = wait_for_end(job, cwd=tmp_path, seconds=60)
    assert (state, details(job)["ExitCode"], details(job)["Restarts"]) == ("FAILED", code, "0"), said


def test_a_job_that_gets_nowhere_ends_after_three_starts(tmp_path: Path) -> None:
    job = submit(cwd=tmp_path, command=f"{sys.executable} {STAND_IN}", STAND_IN_FAULT="early")
    state, said = wait_for_end(job, cwd=tmp_path, seconds=120)
    assert state == "FAILED"
    assert names(tmp_path / "outputs/slurm" / job) == ["started", "resumed", "resumed"]
    assert "3 starts in a row left no newer checkpoint" in said


def test_a_cancelled_job_saves_and_is_not_requeued(tmp_path: Path) -> None:
    job = submit(cwd=tmp_path, command=f"{sys.executable} {STAND_IN}", STAND_IN_STEPS="2000")
    run = tmp_path / "outputs/slurm" / job
    wait_until(lambda: "checkpointed" in names(run))
    subprocess.run(["scancel", job], check=True)
    state, _ = wait_for_end(job, cwd=tmp_path, seconds=60)
    wait_until(lambda: names(run)[-1] == "interrupted")
    assert (state, details(job)["Restarts"]) == ("CANCELLED", "0")


def test_a_run_begun_elsewhere_goes_on_as_a_job(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/ledger.jsonl").write_text('{"at": 1, "event": "started", "step": 0}\n')
    job = submit("resume=own", cwd=tmp_path, command=f"{sys.executable} {STAND_IN}", STAND_IN_STEPS="5")
    assert wait_for_end(job, cwd=tmp_path, seconds=60)[0] == "COMPLETED"
    assert names(tmp_path / "own")[-1] == "finished"
    gone = submit("resume=none", cwd=tmp_path)
    assert "give the run's folder" in wait_for_end(gone, cwd=tmp_path, seconds=60)[1]
