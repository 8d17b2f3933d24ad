"""Which checkpoints a sweep gives up: never those of the best, never those that a trial may go on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpo_cli.sweep import budget
from hpo_cli.sweep.fold import SweepState
from tests.sweep.fake import began


@pytest.fixture
def state(tmp_path: Path) -> SweepState:
    return sweep(tmp_path)


def sweep(folder: Path, **settings: Any) -> SweepState:
    """Six trials with the values 1 .. 6, each with checkpoints of 1,000 bytes; the last one waits at a rung."""
    state = SweepState(folder / "abc")
    state.replay([began(settings=settings)])
    for number in range(1, 7):
        run = state.folder / f"abc-{number}"
        (run / "checkpoints").mkdir(parents=True)
        (run / "checkpoints" / "last.pt").write_bytes(b"x" * 600)
        (run / "checkpoints" / "best.pt").write_bytes(b"x" * 400)
        (run / "metrics.jsonl").write_text("{}")
        status = "finished" if number < 6 else "paused"
        state.replay(
            [
                {"event": "proposed", "trial": number, "setting": {"x": number}, "plan_id": str(number), "until": None},
                {"event": "started", "trial": number, "run": 0},
                {"event": "ended", "trial": number, "run": 0, "status": status, "epoch": 1, "values": [float(number)]},
            ]
        )
    return state


def numbers(trials: list[Any]) -> set[int]:
    return {trial.number for trial in trials}


def test_all_but_the_best_give_theirs_up(tmp_path: Path) -> None:
    state = sweep(tmp_path, keep_best=2)
    assert numbers(budget.to_clean(state, disk=6000)) == {1, 2, 3}
    state.replay([{"event": "cleaned", "trials": [1, 2, 3]}])
    assert budget.to_clean(state, disk=3000) == []


def test_a_disk_budget_takes_from_the_worst_first_and_never_from_the_best(tmp_path: Path) -> None:
    state = sweep(tmp_path, keep_best=4, disk_gb=3.5e-6)
    assert numbers(budget.to_clean(state, disk=6000)) == {1, 2, 3}
    tight = sweep(tmp_path / "tight", keep_best=4, disk_gb=1e-9)
    assert numbers(budget.to_clean(tight, disk=6000)) == {1, 2, 3, 4}


def test_cleaning_leaves_everything_but_checkpoints(state: SweepState) -> None:
    assert budget.checkpoint_bytes(state, state.trial(1)) == 1000
    budget.clean(state, state.trial(1))
    assert budget.checkpoint_bytes(state, state.trial(1)) == 0
    assert (state.folder / "abc-1" / "metrics.jsonl").exists()
    assert budget.checkpoint_bytes(state, state.trial(2)) == 1000


@pytest.mark.parametrize(
    ("settings", "seconds", "reason"),
    [
        ({"minutes": 2.0}, 121, "sweep.minutes=2 are over"),
        ({"minutes": 2.0}, 119, ""),
        ({"epochs": 6}, 0, "sweep.epochs=6 are trained"),
        ({"epochs": 7}, 0, ""),
        ({"target": 6.0}, 0, "sweep.target=6 is reached"),
        ({"target": 6.5}, 0, ""),
        ({"trials": 6}, 0, ""),
    ],
)
def test_budgets_end_everything(tmp_path: Path, settings: dict[str, Any], seconds: float, reason: str) -> None:
    assert budget.why_over(sweep(tmp_path, **settings), seconds=seconds) == reason


def test_the_number_of_trials_ends_new_ones_alone(tmp_path: Path) -> None:
    assert budget.why_no_new(sweep(tmp_path / "a", trials=6)) == "all 6 trials are there"
    assert budget.why_no_new(sweep(tmp_path / "b", trials=7)) == ""
