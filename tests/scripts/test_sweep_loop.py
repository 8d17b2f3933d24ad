"""scripts/local_sweep.sh: starts a sweep, goes on with it after whatever ends it, and knows when to let it be."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import REPOSITORY
from tests.scripts.loops import wait_until

pytestmark = pytest.mark.skipif(shutil.which("flock") is None, reason="flock is not installed")

LOOP = REPOSITORY / "scripts" / "local_sweep.sh"
STAND_IN = Path(__file__).with_name("sweep_stand_in.py")
ALL = list(range(1, 11))


@pytest.fixture(autouse=True)
def _usual_ctrl_c() -> Iterator[None]:
    """Where Ctrl-C is ignored, as in a background job, a shell cannot trap it: let the loops find it as usual."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def begin(*words: str, cwd: Path, **variables: str) -> subprocess.Popen[str]:
    own = {"HPO_RUN": f"{sys.executable} {STAND_IN}", "PAUSE": "0", "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        [LOOP, *words], cwd=cwd, env={**os.environ, **own, **variables}, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def loop(*words: str, cwd: Path, **variables: str) -> tuple[int, str]:
    process = begin(*words, cwd=cwd, **variables)
    said, _ = process.communicate(timeout=120)
    return process.returncode, said


def events(folder: Path) -> list[dict[str, Any]]:
    path = folder / "sweep.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def finished(folder: Path) -> list[int]:
    return sorted(one["trial"] for one in events(folder) if one["event"] == "ended" and one["status"] == "finished")


def names(folder: Path) -> list[str]:
    return [event["event"] for event in events(folder)]


def test_a_sweep_that_ends_well_is_started_once(tmp_path: Path) -> None:
    code, said = loop("sweeps/one", "lr=1,2", cwd=tmp_path)
    assert code == 0
    assert finished(tmp_path / "sweeps/one") == ALL
    assert said.count("-m lr=1,2 sweep.dir='sweeps/one'") == 1


def test_a_killed_sweep_goes_on_until_it_is_over_and_no_trial_is_run_twice(tmp_path: Path) -> None:
    code, said = loop("one", cwd=tmp_path, STAND_IN_FAULT="kill:4")
    assert code == 0
    assert finished(tmp_path / "one") == ALL
    assert said.count("again in 0 s") == 2


def test_a_sweep_that_is_over_is_left_alone(tmp_path: Path) -> None:
    assert loop("one", cwd=tmp_path)[0] == 0
    before = events(tmp_path / "one")
    code, said = loop("one", cwd=tmp_path)
    assert (code, "is over already" in said) == (0, True)
    assert events(tmp_path / "one") == before


def test_one_that_is_over_with_failures_is_not_begun_again(tmp_path: Path) -> None:
    code, said = loop("one", cwd=tmp_path, STAND_IN_FAULT="failed")
    assert code == 1
    assert "some trials failed" in said
    assert names(tmp_path / "one").count("joined") == 0


@pytest.mark.parametrize(("fault", "code", "times"), [("early", 137, 3), ("words", 2, 1), ("exit:127", 127, 1)])
def test_it_gives_up_where_nothing_can_come_of_it(tmp_path: Path, fault: str, code: int, times: int) -> None:
    found, said = loop("one", cwd=tmp_path, STAND_IN_FAULT=fault)
    assert found == code
    assert said.count("sweep.dir='one'") == times


def test_starts_that_get_on_are_not_counted(tmp_path: Path) -> None:
    assert loop("one", cwd=tmp_path, STAND_IN_FAULT="kill:2", TRIES="1")[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_the_sweep_and_end_the_loop(tmp_path: Path, number: signal.Signals) -> None:
    process = begin("one", cwd=tmp_path, STAND_IN_TRIALS="1000")
    wait_until(lambda: finished(tmp_path / "one"))
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert names(tmp_path / "one")[-1] == "left"
    assert said.count("sweep.dir='one'") == 1


def test_a_ctrl_c_at_a_terminal_reaches_the_sweep_once(tmp_path: Path) -> None:
    """A second one would end the trials before they have saved."""
    process = begin("one", cwd=tmp_path, STAND_IN_TRIALS="1000")
    wait_until(lambda: finished(tmp_path / "one"))
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert names(tmp_path / "one").count("left") == 1


def test_a_second_loop_on_this_machine_is_refused(tmp_path: Path) -> None:
    first = begin("one", cwd=tmp_path, STAND_IN_TRIALS="1000")
    wait_until(lambda: finished(tmp_path / "one"))
    code, said = loop("one", cwd=tmp_path)
    assert (code, "works on one" in said) == (2, True)
    first.terminate()
    first.communicate(timeout=60)


def test_without_a_folder_it_says_what_it_does(tmp_path: Path) -> None:
    code, said = loop("epochs=2", cwd=tmp_path)
    assert code == 2
    assert "scripts/local_sweep.sh outputs/" in said
    assert not list(tmp_path.iterdir())


def test_the_script_can_be_executed() -> None:
    assert os.access(LOOP, os.X_OK)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("name", ["local_sweep.sh", "slurm/caviar.sbatch"])
def test_the_scripts_are_clean(name: str) -> None:
    done = subprocess.run(["shellcheck", REPOSITORY / "scripts" / name], text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
