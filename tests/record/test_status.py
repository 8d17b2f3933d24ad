import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hpo_cli.record import lease_file, ledger
from hpo_cli.record.details import read_details
from hpo_cli.record.lease import Lease
from hpo_cli.record.process import this_process
from hpo_cli.record.reading import read_run
from tests.run_folders import Run, make_run

LINUX = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_run(tmp_path, Run(status="running", epochs=5))


def status(folder: Path, *, hours_later: float = 0) -> str:
    return read_run(folder, now=time.time() + 3600 * hours_later).status


def change_lease(folder: Path, **holder: object) -> None:
    path = next((folder / "control").glob("lease-*.json"))
    content: dict[str, Any] = json.loads(path.read_text())
    content["holder"] |= holder
    path.write_text(json.dumps(content))


def test_a_run_that_was_stopped_by_a_command(tmp_path: Path) -> None:
    folder = make_run(tmp_path, Run(status="stopped"))
    assert status(folder) == "stopped"
    (folder / "result.json").unlink()
    assert status(folder) == "stopped"
    assert ledger.fold(read_details(folder).events).status == "stopped"


@LINUX
def test_a_living_holder_runs_or_waits_however_long_it_writes_nothing(folder: Path) -> None:
    with Lease.acquire(folder) as lease:
        assert status(folder, hours_later=50) == "running"
        lease.beat(status="paused")
        assert status(folder, hours_later=50) == "paused"
        lease.beat(status="running")
        assert status(folder) == "running"
        ledger.append(folder, "paused", step=200)
        assert status(folder) == "paused"
        ledger.append(folder, "unpaused", step=200)
        assert status(folder) == "running"


@LINUX
@pytest.mark.parametrize("reaped", ["reaped", "not reaped"])
def test_a_process_that_was_killed_has_died_at_once(folder: Path, reaped: str) -> None:
    code = (
        "import os, signal, sys; from hpo_cli.record.lease import Lease\n"
        "lease = Lease.acquire(sys.argv[1]); lease.beat(status='paused'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(folder)])
    if reaped == "reaped":
        child.wait()
    else:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert status(folder) == "died"
    child.wait()


@LINUX
def test_another_process_of_the_same_number_is_not_it(folder: Path) -> None:
    Lease.acquire(folder)
    assert status(folder) == "running"
    change_lease(folder, start="1")
    assert status(folder) == "died"


def test_a_lease_given_up_without_an_end_is_a_death(folder: Path) -> None:
    Lease.acquire(folder).release()
    assert status(folder) == "died"


def test_a_holder_elsewhere_is_doubted_after_five_quiet_minutes(folder: Path) -> None:
    Lease.acquire(folder)
    change_lease(folder, host="elsewhere")
    assert status(folder) == "running"
    assert status(folder, hours_later=1) == "running?"


@LINUX
def test_a_machine_that_was_started_anew_trains_nothing_of_before(folder: Path) -> None:
    Lease.acquire(folder)
    change_lease(folder, boot="an earlier one")
    assert status(folder) == "died"


def test_a_resumed_run_runs_though_it_once_ended(tmp_path: Path) -> None:
    folder = make_run(tmp_path, Run(status="interrupted"))
    (folder / "result.json").rename(folder / "result-800.json")
    assert status(folder) == "interrupted"
    with Lease.acquire(folder):
        ledger.append(folder, "resumed", step=200, file="checkpoints/last.ckpt", pid=this_process().pid)
        assert status(folder) == "running"


def test_without_any_lease_the_first_process_is_asked_for_as_ever(tmp_path: Path) -> None:
    folder = make_run(tmp_path, Run(status="running"))
    lines = (folder / "ledger.jsonl").read_text().splitlines()
    started = json.loads(lines[0])
    started["environment"]["hostname"], started["pid"] = this_process().host, 2**22 - 1
    (folder / "ledger.jsonl").write_text("\n".join([json.dumps(started), *lines[1:]]) + "\n")
    assert status(folder) == "died"
    started["pid"] = os.getpid()
    (folder / "ledger.jsonl").write_text("\n".join([json.dumps(started), *lines[1:]]) + "\n")
    assert status(folder) == "running"


def test_a_run_with_a_result_never_looks_at_the_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_run(tmp_path, Run())
    monkeypatch.setattr(lease_file, "generations", pytest.fail)
    assert status(folder) == "finished"


def test_steps_and_values_of_a_run_that_went_back_are_those_of_the_living_line(folder: Path) -> None:
    best = read_run(folder).objective
    assert best is not None
    assert best.step == 200
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"event": "rolled_back", "step": 100, "from": 200, "since": null}\n')
    ledger.append(folder, "rolled_back", step=200, to=100, id="r", line=[])
    record = read_run(folder)
    assert record.steps == 100
    assert record.epochs == 2
    assert record.objective is not None
    assert record.objective.step == 80
    assert read_details(folder).best["val/accuracy"]["step"] == 80
