"""scripts/panda.sh: starts a run, goes on with it after whatever ends it, and knows when to let it be."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command_line import REPOSITORY, child
from tests.scripts.loops import begin, events, loop, names, wait_until

pytestmark = pytest.mark.skipif(shutil.which("flock") is None, reason="flock is not installed")


@pytest.fixture(autouse=True)
def _usual_ctrl_c() -> Iterator[None]:
    """Where Ctrl-C is ignored, as in a background job, a shell cannot trap it: let the loops find it as usual."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_run_that_finishes_is_started_once(tmp_path: Path) -> None:
    code, said = loop("runs/one", "seed=1", cwd=tmp_path, STAND_IN_STEPS="5")
    assert code == 0
    assert names(tmp_path / "runs/one") == ["started", "checkpointed", "finished"]
    assert "seed=1 hydra.run.dir='runs/one'" in said


def test_a_killed_run_goes_on_until_it_has_finished(tmp_path: Path) -> None:
    code, said = loop("one", cwd=tmp_path, STAND_IN_STEPS="20", STAND_IN_FAULT="kill:7")
    assert code == 0
    found = names(tmp_path / "one")
    assert found.count("started") == 1
    assert found.count("resumed") == 3
    assert found[-1] == "finished"
    assert "ended with code 137 at step 15" in said


def test_a_finished_or_broken_off_run_goes_on_from_the_same_words(tmp_path: Path) -> None:
    assert loop("one", "seed=1", cwd=tmp_path, STAND_IN_FAULT="exit:5:1", TRIES="1")[0] == 1
    assert loop("one", "seed=1", cwd=tmp_path, STAND_IN_STEPS="8")[0] == 0
    assert names(tmp_path / "one").count("started") == 1


@pytest.mark.parametrize("end", ["finished", "stopped"])
def test_a_run_that_has_ended_is_left_alone(tmp_path: Path, end: str) -> None:
    (tmp_path / "one").mkdir()
    lines = [{"at": 1, "event": name, "step": 5} for name in ("started", "resumed", end, "tested")]
    (tmp_path / "one/ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, said = loop("one", cwd=tmp_path)
    assert (code, "has ended already" in said) == (0, True)
    assert len(events(tmp_path / "one")) == len(lines)


@pytest.mark.parametrize(("fault", "code"), [("early", 137), ("exit:3:1", 1)])
def test_it_gives_up_after_three_starts_without_a_newer_checkpoint(tmp_path: Path, fault: str, code: int) -> None:
    found, said = loop("one", cwd=tmp_path, STAND_IN_FAULT=fault)
    assert found == code
    assert sum(name in ("started", "resumed") for name in names(tmp_path / "one")) == 3
    assert "3 starts in a row left no newer checkpoint than none" in said


def test_starts_that_get_on_are_not_counted(tmp_path: Path) -> None:
    assert loop("one", cwd=tmp_path, STAND_IN_STEPS="16", STAND_IN_FAULT="kill:5", TRIES="1")[0] == 0


@pytest.mark.parametrize(("fault", "code"), [("words", 2), ("exit:0:127", 127)])
def test_wrong_words_are_tried_once(tmp_path: Path, fault: str, code: int) -> None:
    found, said = loop("one", cwd=tmp_path, STAND_IN_FAULT=fault)
    assert found == code
    assert said.count("hydra.run.dir") == 1


def test_without_a_folder_it_says_what_it_does(tmp_path: Path) -> None:
    code, said = loop("epochs=2", cwd=tmp_path)
    assert code == 2
    assert "scripts/panda.sh outputs/" in said
    assert not list(tmp_path.iterdir())


def test_a_folder_without_a_first_line_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "one/checkpoints").mkdir(parents=True)
    assert loop("one", cwd=tmp_path, STAND_IN_STEPS="5")[0] == 0
    assert names(tmp_path / "one")[0] == "started"
    assert len(list(tmp_path.glob("one.torn-*/checkpoints"))) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_the_run_and_end_the_loop(tmp_path: Path, number: signal.Signals) -> None:
    process = begin("one", cwd=tmp_path, STAND_IN_STEPS="1000")
    wait_until(lambda: "checkpointed" in names(tmp_path / "one"))
    process.send_signal(number)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert names(tmp_path / "one")[-2:] == ["checkpointed", "interrupted"]
    assert said.count("hydra.run.dir") == 1


def test_a_ctrl_c_at_a_terminal_reaches_the_run_once(tmp_path: Path) -> None:
    """The terminal signals the whole foreground group; a second signal would end the run before it saved."""
    process = begin("one", cwd=tmp_path, STAND_IN_STEPS="1000")
    wait_until(lambda: "checkpointed" in names(tmp_path / "one"))
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert names(tmp_path / "one").count("interrupted") == 1


def test_a_second_loop_is_refused_while_the_first_or_its_run_lives(tmp_path: Path) -> None:
    first = begin("one", cwd=tmp_path, STAND_IN_STEPS="1000")
    wait_until(lambda: "checkpointed" in names(tmp_path / "one"))
    assert "looks after one" in loop("one", cwd=tmp_path)[1]
    first.kill()
    first.wait()
    code, said = loop("one", cwd=tmp_path)
    assert (code, "looks after one" in said) == (2, True)
    os.kill(events(tmp_path / "one")[0]["pid"], signal.SIGKILL)
    first.communicate()
    assert loop("one", cwd=tmp_path, STAND_IN_STEPS="30")[0] == 0


def test_a_real_run_that_is_killed_ends_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    words = ("epochs=60", "checkpoint.every_steps=100", "trainer.threads=1", "regularization.dropout=0.1")
    process = begin("killed", *words, cwd=tmp_path, HPO_RUN=f"{sys.executable} -m hpo_cli.cli")
    wait_until(lambda: names(tmp_path / "killed").count("checkpointed") > 3)
    os.kill(events(tmp_path / "killed")[0]["pid"], signal.SIGKILL)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "resumed" in names(tmp_path / "killed")
    assert child(*words, "hydra.run.dir=whole", cwd=tmp_path).code == 0
    whole, killed = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("whole", "killed"))
    assert killed["weights_sha256"] == whole["weights_sha256"]
    assert (tmp_path / "killed/metrics.jsonl").read_bytes() == (tmp_path / "whole/metrics.jsonl").read_bytes()


def test_the_scripts_can_be_executed() -> None:
    for name in ("panda.sh", "slurm/dev-cluster.sh"):
        assert os.access(REPOSITORY / "scripts" / name, os.X_OK)
