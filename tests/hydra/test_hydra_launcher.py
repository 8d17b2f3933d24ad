"""Jobs by the launchers that Hydra finds: the basic one here, joblib and submitit where they are installed."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpo_cli.errors import ConfigError
from hpo_cli.record.contents import read_result
from hpo_cli.sweep.executors.contract import Adoption, Ended, Job
from hpo_cli.sweep.executors.hydra_job import job_from, write_job
from hpo_cli.sweep.executors.hydra_launcher import HydraExecutor
from tests.engine.plans import SMALL, plan

LONG_S = 120.0
LAUNCHERS = {
    "basic": [],
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "submitit": ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"],
}
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


class Bench:
    """An executor and the jobs that are given to it."""

    def __init__(self, executor: HydraExecutor, home: Path) -> None:
        self.executor, self.home, self.count = executor, home, 0

    def job(self, *words: str, trouble: str = "none", seconds: float = 0, **fields: Any) -> Job:
        self.count += 1
        made = plan(*SMALL, *words).to_dict()
        if trouble != "none" or seconds:
            model = {"_target_": "tests.sweep.troublesome.Troublesome", "trouble": trouble, "seconds": seconds}
            made = {**made, "allow_targets": ["tests"], "model": model}
        begin = {"command": ["hpo-run"], "overrides": [], "hydra_files": {}}
        return Job(self.count, 0, folder=self.home / f"{self.count:03d}", plan=made, begin=begin, **fields)

    def all_of(self, *jobs: Job) -> list[Ended]:
        ended: list[Ended] = []
        until = time.monotonic() + LONG_S
        while len(ended) < len(jobs):
            assert time.monotonic() < until, f"{ended} alone of {len(jobs)}"
            ended += self.executor.wait(1.0)
        return sorted(ended, key=lambda one: [job is one.job for job in jobs].index(True))

    def do(self, *jobs: Job) -> list[Ended]:
        for job in jobs:
            self.executor.start(job)
        return self.all_of(*jobs)


@pytest.fixture(
    scope="module",
    params=["basic", *(pytest.param(name, marks=pytest.mark.slow) for name in ("joblib", "submitit"))],
)
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    name = request.param
    if name != "basic" and importlib.util.find_spec(f"hydra_plugins.hydra_{name}_launcher") is None:
        pytest.skip(f"hydra-{name}-launcher is not installed")
    home = tmp_path_factory.mktemp(f"{name}, 'quoted' = x")
    with HydraExecutor(LAUNCHERS[name], folder=home, slots=2, cores=2) as executor:
        yield Bench(executor, home)


def test_a_batch_trains_ordinary_runs(bench: Bench) -> None:
    jobs = [bench.job(f"lr={lr}") for lr in (1e-3, 1e-2)]
    assert [(one.status, one.reason) for one in bench.do(*jobs)] == [("finished", "")] * 2
    results = [read_result(job.folder) or {} for job in jobs]
    assert all(result["status"] == "finished" for result in results)
    assert results[0]["weights_sha256"] != results[1]["weights_sha256"]
    assert bench.executor.rows(jobs[0])


def test_what_goes_wrong_ends_its_own_job_alone(bench: Bench) -> None:
    good, raises, killed = bench.job(), bench.job(trouble="raise"), bench.job(trouble="kill")
    ended = bench.do(good, raises, killed)
    assert [one.status for one in ended] == ["finished", "failed", "failed"]
    assert [one.cause for one in ended] == ["", "setting", "machine"]
    assert "a mistake of the user's" in ended[1].reason


def test_a_job_that_is_asked_to_save_ends_as_interrupted_and_goes_on_later(bench: Bench) -> None:
    job = bench.job(seconds=0.05)
    bench.executor.start(job)
    until = time.monotonic() + LONG_S
    while not (job.folder / "metrics.jsonl").exists():
        assert time.monotonic() < until
        assert not bench.executor.wait(0.05)
    bench.executor.end(job, "save")
    assert [(one.status, one.cause) for one in bench.all_of(job)] == [("interrupted", "asked")]
    waiting = bench.job()
    bench.executor.start(waiting)
    bench.executor.end(waiting, "save")
    assert [one.reason for one in bench.all_of(waiting)] == ["had not begun"]
    assert not waiting.folder.exists()


def test_a_launcher_that_gives_up_ends_its_jobs_for_the_machines_sake(tmp_path: Path) -> None:
    class Broken:
        def launch(self, *_: object, **__: object) -> object:
            raise OSError("no cluster\nanywhere")

    with HydraExecutor([], folder=tmp_path, slots=2) as executor:
        executor._launcher = Broken()  # type: ignore[assignment]
        bench = Bench(executor, tmp_path)
        ended = bench.do(bench.job(), bench.job())
        assert {(one.status, one.cause, one.reason) for one in ended} == {
            ("failed", "machine", "the launcher gave up: OSError: no cluster")
        }


def test_numbers_go_on_after_those_of_an_earlier_process(tmp_path: Path) -> None:
    job = Bench(HydraExecutor([], folder=tmp_path, slots=1), tmp_path).job()
    write_job(tmp_path / "jobs", 7, job, cores=1)
    executor = HydraExecutor([], folder=tmp_path, slots=1)
    executor.start(job)
    assert (tmp_path / "jobs" / "8.json").exists()


@pytest.mark.parametrize("word", ["hydra/launcher=nowhere", "hydra.launcher.nothing=1"])
def test_a_launcher_that_is_none_is_refused_in_a_line(tmp_path: Path, word: str) -> None:
    with pytest.raises(ConfigError, match="cannot be made from") as refused:
        HydraExecutor([word], folder=tmp_path, slots=1)
    assert "\n" not in str(refused.value)


def test_a_job_survives_its_file(tmp_path: Path) -> None:
    adopt = Adoption("checkpoints/a.ckpt", "../1", {"lr": 0.1}, "why")
    job = Job(
        3, 1, tmp_path / "run", {"a": [1]}, {"command": ["x"]}, until=4, adopt=adopt, timeout_s=3.5, allow=("lr",)
    )
    write_job(tmp_path, 0, job, cores=2)
    assert job_from(json.loads((tmp_path / "0.json").read_text())["job"]) == job
