"""Ctrl-C, SIGTERM and a second process: who drives a sweep may come and go."""

from __future__ import annotations

import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.sweeps import SMALL, Going, begin, differences, hpo_run, ledger, runs_of, sweep

RATES = "lr=tag(log,interval(1e-3,1e-1))"
WORDS = (*SMALL, RATES, "sweep.trials=4", "sweep.workers=2", "loss.slow=0.1")
"""Two at once, more than a second each."""


def await_training(going: Going) -> None:
    """Until two runs are in their middle."""
    going.await_(lambda one: sum(bool(ledger(run, "checkpointed")) for run in runs_of(one.folder).values()) >= 2)


def test_ctrl_c_lets_running_trials_save_and_the_same_words_go_on(tmp_path: Path) -> None:
    with begin(*WORDS, cwd=tmp_path) as going:
        await_training(going)
        going.signal(signal.SIGINT)
        stopped = going.wait()
        assert not going.pids(), "nothing of it lives on"
    assert stopped.code == 130, stopped.said
    assert "Ctrl-C: no new trials; 2 running ones save their state (again: end now)" in stopped.said
    assert "Traceback" not in stopped.said
    assert [event["status"] for event in stopped.of("ended")] == ["interrupted"] * 2
    assert all(len(ledger(run, "interrupted")) == 1 for run in runs_of(stopped.folder).values())
    saved = {name: ledger(run, "interrupted")[-1]["step"] for name, run in runs_of(stopped.folder).items()}
    command = next(line for line in stopped.said.splitlines() if "sweep.resume=" in line).split()
    resume = next(word for word in command if word.startswith("sweep.resume="))
    done = hpo_run("-m", resume, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for name, step in saved.items():
        assert [event["step"] for event in ledger(runs_of(stopped.folder)[name], "resumed")] == [step]
    assert list(runs_of(stopped.folder)) == ["-1", "-2", "-3", "-4"]


@pytest.mark.slow
def test_ctrl_c_twice_ends_it_now(tmp_path: Path) -> None:
    with begin(*WORDS, "loss.what=hang", cwd=tmp_path) as going:
        await_training(going)
        time.sleep(0.5)  # both hang by now
        going.signal(signal.SIGINT)
        going.await_(lambda one: "save their state" in one.said)
        began = time.monotonic()
        going.signal(signal.SIGINT)
        stopped = going.wait()
        assert time.monotonic() - began < 15
        assert not going.pids()
    assert stopped.code == 130, stopped.said
    assert "Traceback" not in stopped.said
    assert {event["status"] for event in stopped.of("ended")} == {"interrupted"}
    goes_on = [run.status for trial in stopped.state.trials for run in trial.runs]
    assert set(goes_on) == {"waiting"}


@pytest.mark.slow
def test_sigterm_is_a_ctrl_c_with_its_own_code_and_changes_no_result(tmp_path: Path) -> None:
    with begin(*WORDS, cwd=tmp_path) as going:
        await_training(going)
        going.signal(signal.SIGTERM)
        stopped = going.wait()
    assert stopped.code == 143, stopped.said
    assert "SIGTERM: no new trials" in stopped.said
    assert sweep(*WORDS, cwd=tmp_path).code == 0
    (tmp_path / "whole").mkdir()
    assert differences(sweep(*WORDS, cwd=tmp_path / "whole").folder, going.folder) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_only_starts_leaves_nothing_that_cannot_go_on(number: int, tmp_path: Path) -> None:
    for delay in (0.2, 0.8, 1.4):
        with begin(*WORDS, cwd=tmp_path) as going:
            time.sleep(delay)
            going.signal(number)
            code = going.process.wait(60)
            assert not going.pids()
        assert code in (128 + number, -number), going.said
        assert "Traceback" not in going.said, going.said
    assert sweep(*WORDS, cwd=tmp_path).code == 0
    assert list(runs_of(going.folder)) == ["-1", "-2", "-3", "-4"]


@pytest.mark.slow
def test_a_second_process_joins_and_none_is_trained_twice(tmp_path: Path) -> None:
    words = (*SMALL, RATES, "sweep.trials=8", "sweep.workers=1", "loss.slow=0.1")
    with begin(*words, cwd=tmp_path) as first:
        first.await_event("started")
        with begin(*words, cwd=tmp_path) as second:
            assert [second.wait().code, first.wait().code] == [0, 0], (first.said, second.said)
    pids = [first.process.pid, second.process.pid]
    started = first.of("started")
    assert sorted(event["trial"] for event in started) == list(range(1, 9)), "each once"
    assert set(Counter(event["process"]["pid"] for event in started)) == set(pids), "both of them trained"
    assert len(first.of("began")) == 1
    assert {event["who"]["pid"] for event in first.of("joined")} == set(pids)
    (tmp_path / "whole").mkdir()
    assert differences(sweep(*words, cwd=tmp_path / "whole").folder, first.folder) == []


@pytest.mark.slow
def test_two_that_begin_at_once_share_one_sweep_and_one_that_is_killed_costs_the_other_nothing(tmp_path: Path) -> None:
    words = (*SMALL, RATES, "sweep.trials=6", "sweep.workers=1", "loss.slow=0.1")
    with begin(*words, cwd=tmp_path) as first, begin(*words, cwd=tmp_path) as second:
        second.await_(lambda one: len({event["process"]["pid"] for event in one.of("started")}) == 2)
        first.kill()
        assert second.wait().code == 0, second.said
    assert len(second.of("began")) == 1
    lost = [event for event in second.of("ended") if event["reason"] == "its sweep was killed"]
    assert len(lost) == 1
    (tmp_path / "whole").mkdir()
    assert differences(sweep(*words, cwd=tmp_path / "whole").folder, second.folder) == []
