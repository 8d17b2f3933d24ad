from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.singleton import Singleton
from hydra.core.utils import JobStatus
from hydra.errors import HydraException
from omegaconf import OmegaConf

from hpo_cli.sweep.fold import read_sweep
from tests.hydra.sweeps import Task, flat, multirun, words_of


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    state = dict(Singleton.get_state())
    yield
    Singleton.set_state(state)


LEARNS = ("hydra.sweeper.search=tpe", "hydra.sweeper.startup=3")


def square(config: Any) -> float:
    return float((config.x - 0.3) ** 2)


def nothing(_: Any) -> None:
    """Apps may return nothing."""


def boom(config: Any) -> int:
    if config.x == 2:
        raise ValueError("two is too many")
    return int(config.x)


# words ---------------------------------------------------------------------------------------------------------------


def test_plain_lists_are_a_grid_in_hydras_order(tmp_path: Path) -> None:
    task = Task()
    found = multirun(task, "x=1,2", "y=range(0,3)", folder=tmp_path)
    assert words_of(found) == [f"x={x} y={y}" for x in (1, 2) for y in (0, 1, 2)]
    assert [job.return_value for job in flat(found)] == [1, 1, 1, 2, 2, 2]
    assert (tmp_path / "multirun.yaml").exists()


def test_values_and_keys_reach_the_app_as_they_were_written(tmp_path: Path) -> None:
    task = Task(nothing)
    multirun(task, "x='a,b','1',[1,2],null", "+new=a", folder=tmp_path)
    assert [call["x"] for call in task.calls] == ["a,b", "1", [1, 2], None]
    assert [call["new"] for call in task.calls] == ["a"] * 4


def test_words_of_the_config_are_overridden_by_the_command_line(tmp_path: Path) -> None:
    found = multirun(Task(), "y=5", folder=tmp_path, params={"x": "1,2", "y": "3,4"})
    assert words_of(found) == ["x=1 y=5", "x=2 y=5"]


def test_a_range_is_drawn_within_its_ends_in_its_scale(tmp_path: Path) -> None:
    task = Task()
    multirun(task, "x=tag(log,interval(1e-4,1))", "hydra.sweeper.trials=16", folder=tmp_path)
    drawn = [call["x"] for call in task.calls]
    assert len(set(drawn)) == 16
    assert all(1e-4 <= x <= 1 for x in drawn)
    assert 3 <= sum(x < 1e-2 for x in drawn) <= 13, "half of a log range lies below its middle"


def test_a_range_is_active_only_where_its_condition_holds(tmp_path: Path) -> None:
    task = Task()
    words = ["optimizer=adam,sgd", "momentum=tag(if:optimizer:sgd,interval(0,1))", "hydra.sweeper.trials=12"]
    found = multirun(task, *words, folder=tmp_path)
    for words_of_job, call in zip(words_of(found), task.calls, strict=True):
        assert ("momentum" in words_of_job) == (call["optimizer"] == "sgd")
    assert {call["optimizer"] for call in task.calls} == {"adam", "sgd"}
    assert {call["momentum"] for call in task.calls if call["optimizer"] == "adam"} <= {0.9}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["x=tag(nonsense,interval(0,1))"], "the tag nonsense"),
        (["x=1,2", "hydra.sweeper.search=guess"], "must be one of grid, random"),
        (["x=1,2", "hydra.sweeper.direction=up"], "minimize or maximize"),
        (["x=interval(1,0)"], "low end 1 is above"),
        (["x=interval(0,1)", "hydra.sweeper.search=grid"], "without steps"),
        (["x=1,2", "hydra.sweeper.batch=0"], "are 1 or more"),
    ],
)
def test_what_cannot_be_swept_is_said(tmp_path: Path, words: list[str], said: str) -> None:
    with pytest.raises(HydraException, match=said):
        multirun(Task(), *words, folder=tmp_path)


def test_a_key_that_the_config_lacks_is_refused_before_any_job(tmp_path: Path) -> None:
    task = Task()
    with pytest.raises(HydraException):
        multirun(task, "nonsense=1,2", folder=tmp_path)
    assert not task.calls


# searches ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_tpe_learns_from_what_the_app_returns(tmp_path: Path, direction: str) -> None:
    sign = 1 if direction == "minimize" else -1
    task = Task(lambda config: sign * square(config))
    asked = ["hydra.sweeper.search=tpe", "hydra.sweeper.trials=30", f"hydra.sweeper.direction={direction}"]
    multirun(task, "x=interval(-5,5)", *asked, folder=tmp_path)
    drawn = [abs(call["x"] - 0.3) for call in task.calls]
    assert len(drawn) == 30
    assert sum(drawn[20:]) < 0.6 * sum(drawn[:10])


@pytest.mark.parametrize(("direction", "best_of"), [("minimize", min), ("maximize", max)])
def test_a_search_that_learns_runs_one_job_after_the_other_and_leaves_the_best(
    tmp_path: Path, direction: str, best_of: Any
) -> None:
    task = Task(square)
    words = ["x=interval(-5,5)", *LEARNS, "hydra.sweeper.trials=5", f"hydra.sweeper.direction={direction}"]
    found = multirun(task, *words, folder=tmp_path)
    assert [len(batch) for batch in found] == [1] * 5
    best = OmegaConf.load(tmp_path / "optimization_results.yaml")
    assert best.name == "caviar"
    assert best.best_params.x == pytest.approx(best_of(task.calls, key=square_of)["x"])


def square_of(call: dict[str, Any]) -> float:
    return float((call["x"] - 0.3) ** 2)


def test_several_objectives_leave_the_front(tmp_path: Path) -> None:
    task = Task(lambda config: (config.x, -config.x if config.y else 10))
    multirun(task, "x=1,2,3", "y=0,1", "hydra.sweeper.direction=[minimize,minimize]", folder=tmp_path)
    found = OmegaConf.load(tmp_path / "optimization_results.yaml")
    assert [list(row["values"]) for row in found.solutions] == [[1, -1], [2, -2], [3, -3]]


def test_batches_are_as_large_as_asked_and_numbers_of_jobs_go_on(tmp_path: Path) -> None:
    words = ["x=interval(0,1)", "hydra.sweeper.search=tpe", "hydra.sweeper.trials=5", "hydra.sweeper.batch=2"]
    found = multirun(Task(), *words, folder=tmp_path)
    assert [len(batch) for batch in found] == [2, 2, 1]
    assert [job.hydra_cfg.hydra.job.num for job in flat(found)] == [0, 1, 2, 3, 4]


def test_a_small_space_is_run_once_and_not_again(tmp_path: Path) -> None:
    task = Task()
    words = ["x=choice(1,2,3,4)", "hydra.sweeper.search=tpe", "hydra.sweeper.trials=12", "hydra.sweeper.startup=2"]
    multirun(task, *words, folder=tmp_path)
    assert sorted(call["x"] for call in task.calls) == [1, 2, 3, 4]


def test_duplicates_are_run_when_they_are_asked_for(tmp_path: Path) -> None:
    task = Task()
    words = ["x=choice(1,2)", "hydra.sweeper.search=random", "hydra.sweeper.trials=7", "hydra.sweeper.duplicates=allow"]
    multirun(task, *words, folder=tmp_path)
    assert len(task.calls) == 7


@pytest.mark.slow
def test_the_same_seed_proposes_the_same(tmp_path: Path) -> None:
    def drawn(folder: str, seed: int) -> list[str]:
        words = ["x=interval(0,1)", "hydra.sweeper.trials=6", f"hydra.sweeper.seed={seed}", *LEARNS]
        return words_of(multirun(Task(square), *words, folder=tmp_path / folder))

    first = drawn("a", 0)
    assert drawn("b", 0) == first
    assert drawn("c", 1) != first


def test_an_app_that_returns_nothing_is_a_sweep_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = Task(nothing)
    multirun(task, "x=interval(0,1)", "hydra.sweeper.trials=3", folder=tmp_path / "random")
    assert len(task.calls) == 3
    assert not caplog.records or "returned" not in caplog.text
    multirun(task, "x=interval(0,1)", "hydra.sweeper.trials=3", "hydra.sweeper.search=tpe", folder=tmp_path / "tpe")
    assert "returned None, where the search needs 1 numbers" in caplog.text


# failures ------------------------------------------------------------------------------------------------------------


def test_a_failed_job_ends_no_other_and_is_raised_at_the_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = Task(boom)
    with pytest.raises(ValueError, match="two is too many"):
        multirun(task, "x=1,2,3,4", folder=tmp_path)
    assert [call["x"] for call in task.calls] == [1, 2, 3, 4]
    assert [trial.status for trial in read_sweep(tmp_path).trials] == ["finished", "failed", "finished", "finished"]
    assert "1 of 4 jobs failed" in caplog.text


def test_a_failure_is_told_when_it_happens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    told: list[bool] = []

    def watching(config: Any) -> int:
        if config.x == 3:
            told.append("two is too many" in caplog.text)
        return boom(config)

    with pytest.raises(ValueError, match="two"):
        multirun(Task(watching), "x=1,2,3", folder=tmp_path)
    assert told == [True]


def test_failures_can_be_returned_instead(tmp_path: Path) -> None:
    found = multirun(Task(boom), "x=1,2,3", "hydra.sweeper.on_failure=ignore", folder=tmp_path)
    assert [job.status for job in flat(found)] == [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.COMPLETED]
    with pytest.raises(ValueError, match="two is too many"):
        _ = flat(found)[1].return_value


def test_a_failure_can_end_the_sweep(tmp_path: Path) -> None:
    task = Task(boom)
    words = ["x=1,2,3,4", "hydra.sweeper.on_failure=stop", "hydra.sweeper.max_batch_size=1"]
    with pytest.raises(ValueError, match="two"):
        multirun(task, *words, folder=tmp_path)
    assert [call["x"] for call in task.calls] == [1, 2]


def test_an_app_that_exits_fails_alone(tmp_path: Path) -> None:
    def leaving(config: Any) -> int:
        if config.x < 3:
            raise SystemExit(config.x)
        return 1

    found = multirun(Task(leaving), "x=0,1,3", "hydra.sweeper.on_failure=ignore", folder=tmp_path)
    assert [job.status for job in flat(found)] == [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.COMPLETED]


# again ---------------------------------------------------------------------------------------------------------------


def test_the_same_command_runs_nothing_that_has_finished(tmp_path: Path) -> None:
    multirun(Task(), "x=1,2,3", folder=tmp_path)
    task = Task()
    found = multirun(task, "x=1,2,3", folder=tmp_path)
    assert not task.calls
    assert words_of(found) == ["x=1", "x=2", "x=3"]
    assert [job.return_value for job in flat(found)] == [1, 2, 3]
    assert [Path(str(job.working_dir)).name for job in flat(found)] == ["0", "1", "2"]


def test_failed_jobs_get_another_try_in_a_folder_of_their_own(tmp_path: Path) -> None:
    multirun(Task(boom), "x=1,2,3", "hydra.sweeper.on_failure=ignore", folder=tmp_path)
    task = Task()
    found = multirun(task, "x=1,2,3", folder=tmp_path)
    assert [call["x"] for call in task.calls] == [2]
    assert sorted(job.return_value for job in flat(found)) == [1, 2, 3]
    again = next(job for job in flat(found) if job.overrides == ["x=2"])
    assert again.hydra_cfg.hydra.job.num == 3, "0, 1 and 2 were used"


def test_a_sweep_that_is_interrupted_goes_on(tmp_path: Path) -> None:
    def interrupted(config: Any) -> int:
        if config.x == 3:
            raise KeyboardInterrupt
        return int(config.x)

    with pytest.raises(KeyboardInterrupt):
        multirun(Task(interrupted), "x=1,2,3,4", folder=tmp_path)
    task = Task()
    found = multirun(task, "x=1,2,3,4", folder=tmp_path)
    assert [call["x"] for call in task.calls] == [3, 4]
    assert sorted(job.return_value for job in flat(found)) == [1, 2, 3, 4]


@pytest.mark.slow
def test_the_total_counts_earlier_calls_and_they_inform_the_search(tmp_path: Path) -> None:
    words = ["x=interval(-5,5)", "hydra.sweeper.search=tpe", "hydra.sweeper.startup=4"]
    one_go = words_of(multirun(Task(square), *words, "hydra.sweeper.trials=9", folder=tmp_path / "once"))
    multirun(Task(square), *words, "hydra.sweeper.trials=6", folder=tmp_path / "twice")
    task = Task(square)
    found = multirun(task, *words, "hydra.sweeper.trials=9", folder=tmp_path / "twice")
    assert len(task.calls) == 3
    assert words_of(found) == one_go


def test_further_values_are_added_to_a_grid(tmp_path: Path) -> None:
    multirun(Task(), "x=1,2", folder=tmp_path)
    task = Task()
    multirun(task, "x=1,2,3", "y=0", folder=tmp_path)
    assert [call["x"] for call in task.calls] == [1, 2, 3], "y=0 is another config, as far as words tell"
    task = Task()
    multirun(task, "x=3,2,5", folder=tmp_path)
    assert [call["x"] for call in task.calls] == [3, 5]


@pytest.mark.slow
def test_a_changed_config_is_another_sweep(tmp_path: Path) -> None:
    multirun(Task(), "x=1,2", folder=tmp_path)
    task = Task()
    multirun(task, "x=1,2", folder=tmp_path, config={"x": 0, "y": 7})
    assert len(task.calls) == 2


def test_a_job_of_which_nothing_is_varied_is_run_each_time_as_hydra_does(tmp_path: Path) -> None:
    task = Task()
    for _ in range(2):
        found = multirun(task, "x=1", folder=tmp_path)
        assert flat(found)[0].hydra_cfg.hydra.job.num == 0
    assert len(task.calls) == 2


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    def nested(config: Any) -> int:
        with pytest.raises(HydraException, match="another process sweeps in"):
            multirun(Task(), "x=1,2", folder=tmp_path)
        return 0

    multirun(Task(nested), "x=1,2", folder=tmp_path)
    multirun(Task(), "x=1,2", folder=tmp_path)  # it is over: the folder is free


def test_the_record_is_a_sweep_of_hpo_run(tmp_path: Path) -> None:
    multirun(Task(), "x=3,1,2", folder=tmp_path)
    state = read_sweep(tmp_path)
    best = state.best()
    assert best is not None
    assert (best.setting, best.value) == ({"x": "1"}, 1.0)
    assert json.loads((tmp_path / "sweep.jsonl").read_text().splitlines()[0])["event"] == "began"
