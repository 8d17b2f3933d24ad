"""The parts that fail on purpose do so, where they say and in no other run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpo_cli.record import ledger
from tests.command_line import REPOSITORY, Answer, call
from tests.command_line import child as in_a_process
from tests.scripts.loops import wait_until
from tests.sweep.failing import LEAKED, OPTIONS, words

RUN = "hydra.run.dir=one"


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def trained(*more: str) -> Answer:
    return call(*words(RUN, *more))


def last_event() -> dict[str, Any]:
    return dict(ledger.read_ledger("one").events[-1])


def test_the_option_files_are_found() -> None:
    assert len(list(OPTIONS.rglob("*.yaml"))) == 3


def test_without_a_fault_it_finishes(tmp_path: Path) -> None:
    assert trained().code == 0
    assert json.loads(Path("one/result.json").read_text())["steps"] == 12


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("raise", "went wrong on purpose"),
        ("nans", "train/loss is nan at step 5"),
        ("memory", "out of memory"),
        ("python_memory", "out of memory"),
    ],
)
def test_what_raises_is_the_reason_in_the_ledger(what: str, said: str) -> None:
    assert trained(f"loss.what={what}").code == 1
    assert (last_event()["event"], said in last_event()["reason"]) == ("failed", True), last_event()


def test_only_large_batches_do_not_fit() -> None:
    assert trained("loss.what=memory", "loss.least_batch=33").code == 0
    assert call(*words("hydra.run.dir=two", "loss.what=memory", "loss.least_batch=32")).code == 1


def test_a_killed_process_leaves_a_run_that_goes_on_once() -> None:
    once = f"loss.once={Path.cwd()}/done"
    assert in_a_process(*words(RUN, "loss.what=kill", "loss.at=7", once), cwd=Path.cwd()).code == -9
    assert last_event()["event"] == "checkpointed"
    again = call("--allow=tests.sweep.failing", "resume=one")
    assert again.code == 0, again.err
    assert last_event()["step"] == 12


def test_without_once_it_happens_again_at_the_same_batch() -> None:
    for start in (words(RUN, "loss.what=kill", "loss.at=7"), ("--allow=tests.sweep.failing", "resume=one")):
        assert in_a_process(*start, cwd=Path.cwd()).code == -9
    steps = [event["step"] for event in ledger.read_ledger("one").events if event["event"] == "checkpointed"]
    assert max(steps) in (4, 6)  # that of step 6 is written while training goes on


def test_an_exit_ends_the_process_with_its_code() -> None:
    assert in_a_process(*words(RUN, "loss.what=exit"), cwd=Path.cwd()).code != 0


def test_what_hangs_hangs() -> None:
    command = [sys.executable, "-m", "hpo_cli.cli", *words(RUN, "loss.what=hang", "trainer.log_every_steps=1")]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}
    )
    try:
        wait_until(lambda: ledger_has("checkpointed"))
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.5)
    finally:
        process.kill()
        process.wait()


def ledger_has(name: str) -> bool:
    path = Path("one/ledger.jsonl")
    return path.exists() and name in [event["event"] for event in ledger.read_ledger(path).events]


def test_a_leak_grows() -> None:
    LEAKED.clear()
    assert trained("loss.what=leak", "loss.leak_mb=0.1").code == 0
    assert len(LEAKED) == 8
    LEAKED.clear()


def test_a_slow_loss_takes_its_time() -> None:
    assert trained("loss.slow=0.02").code == 0
    assert json.loads(Path("one/result.json").read_text())["seconds"] > 12 * 0.02


@pytest.mark.parametrize("part", ["data", "model"])
def test_data_and_model_can_fail_before_there_is_a_run(part: str) -> None:
    answer = trained(f"{part}=failing", f"{part}.what=raise")
    assert answer.code != 0
    assert "went wrong on purpose" in answer.err
    assert not Path("one").exists()


def test_only_wide_models_fail() -> None:
    assert trained("model=failing", "model.what=raise", "model.least_width=9", "epochs=1").code == 0
