"""A sweep that is killed at any moment, with all that it began, and called again with the same words, ends the same.

The same: as one that was never killed, trial for trial and bit for bit.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.sweeps import SMALL, Going, Swept, begin, differences, ledger, log_of, runs_of, sweep

RATES = "lr=tag(log,interval(1e-3,1e-1))"
SLOWLY = (*SMALL, "loss.slow=0.04", RATES)
"""Half a second a trial, so that most kills meet one that trains."""
ONE = ("sweep.workers=1",)
MATRIX = {
    "random": (*SLOWLY, "sweep.trials=8", "sweep.workers=2"),
    "seeds": (*SLOWLY, "sweep.trials=4", "sweep.seeds=2", "sweep.workers=2"),
    "tpe": (*SLOWLY, "sweep=tpe", "sweep.startup=3", "sweep.trials=7", *ONE),
    "asha": (*SLOWLY, "epochs=4", "sweep=asha", "sweep.eta=2", "sweep.trials=6", *ONE),
    "hyperband": (*SLOWLY, "epochs=4", "sweep=hyperband", "sweep.eta=2", "sweep.trials=8", *ONE),
    "pbt": (
        *(*SLOWLY, "optimizer=momentum", "epochs=5", "sweep=pbt", "sweep.population=4", "sweep.interval=1"),
        *("sweep.quantile=0.34", *ONE),
    ),
}
"""One worker where the order of endings decides what is proposed; with random search it decides nothing."""
MOST_KILLS = 6


def kill_and_go_on(*words: str, cwd: Path, seed: int, most: int, alone: float = 0.0) -> tuple[Swept, int]:
    """The sweep, killed at random moments up to `most` times, and the number of kills.

    alone: how likely only the command itself is killed, whose workers live on for a moment.
    """
    rng = random.Random(seed)
    for num in range(most):
        with begin(*words, cwd=cwd) as going:
            at = written(going.folder) + rng.randint(3, 25)
            while going.process.poll() is None and written(going.folder) < at:
                time.sleep(0.005)
            seen = num_saved(going.folder)
            while num % 2 == 0 and going.process.poll() is None and num_saved(going.folder) == seen:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.1))
            if going.process.poll() is not None:
                return going.wait(), num
            if rng.random() < alone:
                os.kill(going.process.pid, signal.SIGKILL)
                going.process.wait()
                going.is_left = True
    return sweep(*words, cwd=cwd), most


def written(folder: Path) -> int:
    """Lines of the sweep's log and its runs' ledgers: what has happened so far, whatever it was."""
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("**/*.jsonl") if path.name != "metrics.jsonl")


def num_saved(folder: Path) -> int:
    return sum(path.read_bytes().count(b'"checkpointed"') for path in folder.glob("*/ledger.jsonl"))


def num_resumed(folder: Path) -> int:
    """How often a run went on from a checkpoint in the middle."""
    return sum(
        len([event for event in ledger(run, "resumed") if event["step"] > 0]) for run in runs_of(folder).values()
    )


def check(whole: Swept, killed: Swept) -> None:
    """They are the same."""
    assert whole.code == killed.code == 0, (whole.said, killed.said)
    assert differences(whole.folder, killed.folder) == []


def test_a_killed_sweep_ends_as_if_it_had_not_been_killed(tmp_path: Path) -> None:
    words = (*SLOWLY, "epochs=2", "sweep.trials=3", "sweep.workers=2")
    (tmp_path / "whole").mkdir()
    whole = sweep(*words, cwd=tmp_path / "whole")
    with begin(*words, cwd=tmp_path) as going:
        going.await_(lambda one: any(ledger(run, "checkpointed") for run in runs_of(one.folder).values()))
        time.sleep(0.1)
    assert [event["event"] for event in log_of(going.folder)].count("ended") < 3
    check(whole, sweep(*words, cwd=tmp_path))
    assert num_resumed(going.folder) > 0
    _spoil(runs_of(going.folder)["-2"] / "metrics.jsonl")
    assert differences(whole.folder, going.folder) == ["-2: other metrics"], "negative control: one digit"


def _spoil(metrics: Path) -> None:
    text = metrics.read_text()
    metrics.write_text(text.replace('"train/loss": 2.', '"train/loss": 3.', 1))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", MATRIX)
def test_kills_at_random_moments_change_nothing(name: str, seed: int, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = sweep(*MATRIX[name], cwd=tmp_path / "whole")
    killed, num_kills = kill_and_go_on(*MATRIX[name], cwd=tmp_path, seed=seed, most=MOST_KILLS, alone=0.3 * seed)
    check(whole, killed)
    assert num_kills >= 2
    if name in ("random", "seeds", "tpe"):  # others go on from their rungs anyway
        assert num_resumed(killed.folder) > num_resumed(whole.folder), "some of the kills met a run in its middle"


@pytest.mark.slow
@pytest.mark.parametrize("until", [2, None])
def test_a_trial_that_was_promoted_just_before_the_kill_goes_on(until: int | None, tmp_path: Path) -> None:
    """The stop at the rung before is the last that its files tell."""
    spent = ("sweep.trials=1", "sweep.epochs=1")  # so that nothing else is ordered
    words = (*SMALL, RATES, "epochs=4", "sweep=asha", "sweep.eta=2", *spent, *ONE)
    swept = sweep(*words, cwd=tmp_path)
    assert [(trial.status, trial.epoch) for trial in swept.state.trials] == [("paused", 1)]
    (started,) = swept.of("started")
    later = [
        {"event": "ordered", "trial": 1, "until": until, "why": "among the best"},
        {**started, "attempt": 2, "until": until},
    ]
    with (swept.folder / "sweep.jsonl").open("a") as log:
        log.writelines(json.dumps({"at": started["at"], **event}) + "\n" for event in later)
    again = sweep(*words, cwd=tmp_path)
    trial = again.state.trial(1)
    assert (trial.status, trial.epoch) == (("paused", 2) if until else ("finished", 4)), again.said
    assert [event["step"] for event in ledger(runs_of(again.folder)["-1"], "resumed")] == [4]


@pytest.mark.slow
def test_an_ending_that_was_not_written_before_the_kill_is_read_from_the_runs_files(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = sweep(*MATRIX["random"], cwd=tmp_path / "whole")
    with begin(*MATRIX["random"], cwd=tmp_path) as going:
        going.await_event("ended", count=3)
    lines = (going.folder / "sweep.jsonl").read_text().splitlines(keepends=True)
    first = next(index for index, line in enumerate(lines) if '"ended"' in line)
    (going.folder / "sweep.jsonl").write_text("".join([*lines[:first], *lines[first + 1 :]]))
    again = sweep(*MATRIX["random"], cwd=tmp_path)
    check(whole, again)
    number = json.loads(lines[first])["trial"]
    assert [event["attempt"] for event in again.of("started") if event["trial"] == number] == [1]


@pytest.mark.slow
def test_only_who_drives_is_killed_and_the_same_words_wait_for_the_workers_to_save(tmp_path: Path) -> None:
    words = (*SLOWLY, "loss.slow=0.2", "sweep.trials=3", "sweep.workers=2")
    with begin(*words, cwd=tmp_path) as going:
        going.await_(lambda one: any(ledger(run, "checkpointed") for run in runs_of(one.folder).values()))
        os.kill(going.process.pid, signal.SIGKILL)
        going.process.wait()
        with begin(*words, cwd=tmp_path) as again:
            assert again.wait().code == 0, again.said
        assert_gone(going)
    (tmp_path / "whole").mkdir()
    check(sweep(*words, cwd=tmp_path / "whole"), Swept(0, "", "", going.folder))


def assert_gone(going: Going) -> None:
    """Nothing of it lives on."""
    end = time.monotonic() + 30
    while going.pids():
        assert time.monotonic() < end, going.pids()
        time.sleep(0.1)
