"""The driver: what is begun, what follows from an ending, and that a killed sweep goes on where it was."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import pytest

from hpo_cli.sweep.endings import status_left_behind
from hpo_cli.sweep.facts import Facts
from hpo_cli.sweep.fold import SweepState
from hpo_cli.sweep.jobs import job_of
from hpo_cli.sweep.log import FolderLog, MemoryLog
from hpo_cli.sweep.orders import Exploit, GoOn, New
from tests.sweep.fake import FakeExecutor, Listed, Plain, began, driver, run


def settings(num: int) -> list[dict[str, Any]]:
    return [{"x": float(i + 1)} for i in range(num)]


def test_every_setting_is_one_trial_in_order() -> None:
    found = driver(settings(5))
    run(found)
    assert [trial.setting["x"] for trial in found.state.trials] == [1, 2, 3, 4, 5]
    assert [trial.status for trial in found.state.trials] == ["finished"] * 5
    assert found.state.best() is found.state.trial(5)
    assert found.state.trial(5).value == 20.0
    assert found.state.trial(5).reports == {1: (5.0,), 2: (10.0,), 3: (15.0,), 4: (20.0,)}
    assert found.state.run_folder(found.state.trial(2), 0) == Path("abc/abc-2")


def test_a_free_slot_takes_the_next_trial_at_once() -> None:
    executor = FakeExecutor(slots=3)
    found = driver(settings(5), executor=executor)
    found.step()
    assert [job.trial for job in executor.jobs] == [1, 2, 3]
    found.step(executor.wait(0))
    assert [job.trial for job in executor.jobs] == [2, 3, 4]


def test_trials_ends_the_sweep_and_says_why() -> None:
    found = driver(settings(5), settings={"trials": 3})
    run(found)
    assert len(found.state.trials) == 3
    assert found.no_more == "all 3 trials are there"


def test_a_target_and_a_budget_of_epochs_end_the_sweep() -> None:
    reached = driver(settings(9), settings={"target": 12.0}, executor=FakeExecutor(slots=1))
    run(reached)
    assert len(reached.state.trials) == 3  # 4, 8, 12
    spent = driver(settings(9), settings={"epochs": 10}, executor=FakeExecutor(slots=1))
    run(spent)
    assert len(spent.state.trials) == 3  # 4, 8, 12 epochs are trained


def test_a_setting_that_was_run_is_not_run_again() -> None:
    listed = [{"x": 1.0}, {"x": 1.0}, {"x": 2.0}, {"x": 1.0}, {"x": 2.0}]

    class Often(Listed):
        def propose(self, trials: Any, number: int, *, attempt: int = 0, limit: Any = None) -> Any:
            return listed[(number + attempt) % len(listed)]

    found = driver([], search=Often(listed))
    run(found)
    assert sorted(trial.setting["x"] for trial in found.state.trials) == [1.0, 2.0]
    assert found.no_more == "no further setting: 2 were tried"
    again = driver([], search=Often(listed), settings={"duplicates": "allow", "trials": 5})
    run(again)
    assert len(again.state.trials) == 5


def test_what_the_plan_refuses_is_said_once_and_costs_no_trial() -> None:
    found = driver(settings(4), refuses=lambda setting: setting["x"] == 2.0)
    run(found)
    assert [trial.setting["x"] for trial in found.state.trials] == [1.0, 3.0, 4.0]
    assert [event["reason"] for event in found.state.refused] == ["x=2.0: is refused"]


@pytest.mark.parametrize(
    ("end", "status", "attempts"),
    [
        (("failed", "its loss is nan", "setting"), "failed", 1),
        (("failed", "out of memory", "memory"), "failed", 1),
        (("failed", "killed by signal 9", "machine"), "finished", 2),
    ],
)
def test_only_what_the_machine_may_have_caused_is_tried_again(end: Any, status: str, attempts: int) -> None:
    found = driver(settings(3), executor=FakeExecutor(slots=1, ends=[end]))
    run(found)
    first = found.state.trial(1)
    assert (first.status, first.runs[0].attempts) == (status, attempts)
    assert [trial.status for trial in found.state.trials[1:]] == ["finished", "finished"]


def test_retries_end() -> None:
    end = ("failed", "killed by signal 9", "machine")
    found = driver(settings(1), executor=FakeExecutor(slots=1, ends=[end] * 9), settings={"retries": 2})
    run(found)
    assert (found.state.trial(1).status, found.state.trial(1).runs[0].attempts) == ("failed", 3)
    assert found.state.trial(1).why == "killed by signal 9"


def test_a_failure_ends_the_sweep_where_it_is_told_to() -> None:
    ends = [("failed", "its loss is nan", "setting")]
    found = driver(settings(4), executor=FakeExecutor(slots=1, ends=ends), settings={"on_failure": "stop"})
    run(found)
    assert [trial.status for trial in found.state.trials] == ["failed"]
    assert "on_failure" in found.no_more


def test_seeds_are_an_inner_mean_and_never_a_parameter() -> None:
    found = driver(
        settings(2), inner=[{"seed": 0}, {"seed": 1}, {"seed": 2}],
        curve=lambda setting, epoch: setting["x"] + 3.0 * setting["seed"],
    )  # fmt: skip
    run(found)
    assert [trial.value for trial in found.state.trials] == [4.0, 5.0]  # x + mean of 0, 3, 6
    assert [trial.setting for trial in found.state.trials] == settings(2)
    assert [run.folder for run in found.state.trial(2).runs] == ["abc-2-1", "abc-2-2", "abc-2-3"]


class TwoRungs(Plain):
    """Trains all to epoch 1, then the best to the end."""

    def next(self, trials: Any, *, may_begin: bool) -> Any:
        if may_begin:
            return New(1, {"rung": 0})
        waiting = [trial for trial in trials if trial.status == "paused"]
        if len(waiting) == len(trials):
            best = max(waiting, key=lambda trial: trial.value)
            return GoOn(best.number, None, "the best of its rung")
        return None


def test_a_trial_waits_at_its_rung_and_is_promoted_from_there() -> None:
    executor = FakeExecutor(slots=2)
    found = driver(settings(4), scheduler=TwoRungs(), executor=executor)
    run(found)
    assert [trial.status for trial in found.state.trials] == ["paused", "paused", "paused", "finished"]
    assert [(job.trial, job.until) for job in executor.started] == [(1, 1), (2, 1), (3, 1), (4, 1), (4, None)]
    assert found.state.trial(4).epoch == 4
    assert found.state.trial(1).notes == {"rung": 0}
    assert found.state.trained_epochs == 3 * 1 + 4


class ExploitsOnce(TwoRungs):
    def next(self, trials: Any, *, may_begin: bool) -> Any:
        order = super().next(trials, may_begin=may_begin)
        return Exploit(1, order.trial, {"lr": 0.5}, 2) if isinstance(order, GoOn) else order


def test_an_exploit_reaches_the_job_with_its_state_and_its_changes() -> None:
    executor = FakeExecutor(slots=2)
    found = driver(settings(2), scheduler=ExploitsOnce(), executor=executor)
    for _ in range(6):
        found.step(executor.wait(0))
    job = executor.started[2]
    assert (job.trial, job.until) == (1, 2)
    assert job.adopt is not None
    assert (job.adopt.file, job.adopt.source) == ("checkpoints/adopted.pt", "abc/abc-2")
    assert job.adopt.changes == {"lr": 0.5}


def test_a_verdict_stops_a_running_trial_for_good() -> None:
    executor = FakeExecutor(slots=1)

    class Judge(Plain):
        def verdict(self, trial: Any, trials: Any) -> str | None:
            return "worse than the median" if trial.live.get(1, (0,))[0] == 0.25 else None

    found = driver(settings(2), scheduler=Judge(), executor=executor)
    found.step()
    assert found.watch() == []
    executor.new_rows["abc-1"] = [{"step": 5, "epoch": 1, "val/accuracy": 0.25}]
    for trial, why in found.watch():
        found.prune(trial, why)
    assert executor.ended == [("abc-1", "stop")]
    executor.ends = [("stopped", "", "")]
    executor.jobs[0] = executor.jobs[0].__class__(**{**vars(executor.jobs[0]), "until": 1})
    run(found)
    assert (found.state.trial(1).status, found.state.trial(1).why) == ("stopped", "worse than the median")
    assert found.state.trial(2).status == "finished"


def test_a_sweep_that_is_replayed_from_any_prefix_of_its_log_ends_the_same() -> None:
    log = MemoryLog()
    whole = driver(settings(6), scheduler=TwoRungs(), log=log)
    run(whole)
    reached = whole.tools.executor.reached  # type: ignore[attr-defined]
    for cut in range(1, len(log.events)):
        part = MemoryLog()
        part.events = log.events[:cut]
        executor = FakeExecutor()
        executor.reached = dict(reached)
        again = driver(settings(6), scheduler=TwoRungs(), log=part, executor=executor)
        for place in list(again.state.running):  # as reclaiming does
            with again.log.locked():
                executor.started.append(job_of(again.state, again.tools, *place))
                executor.reached[f"abc-{place[0]}"] = 0
                again.write(again.ended(*place, "interrupted"))
        run(again)
        assert [(t.setting, t.status, t.epoch) for t in again.state.trials] == [
            (t.setting, t.status, t.epoch) for t in whole.state.trials
        ], cut


def test_two_drivers_of_one_folder_share_the_trials(tmp_path: Path) -> None:
    folder = tmp_path / "abc"
    folder.mkdir()
    first = driver(settings(20), log=FolderLog(folder), folder=folder)
    second = driver(settings(20), log=FolderLog(folder), folder=folder)
    ended: list[Any] = [(), ()]
    done = [False, False]
    rng = random.Random(0)
    for _ in range(500):
        place = rng.randrange(2) if not any(done) else done.index(False)
        one = (first, second)[place]
        one.step(ended[place])
        ended[place] = one.tools.executor.wait(0)
        done[place] = one.is_over and not ended[place]
        if all(done):
            break
    state = SweepState(folder)
    log = FolderLog(folder)
    with log.locked():
        state.replay(log.news())
    assert [trial.number for trial in state.trials] == list(range(1, 21))
    assert [trial.status for trial in state.trials] == ["finished"] * 20
    starts = [job.trial for one in (first, second) for job in one.tools.executor.started]  # type: ignore[attr-defined]
    assert sorted(starts) == list(range(1, 21))
    assert all(len(one.tools.executor.started) > 2 for one in (first, second))  # type: ignore[attr-defined]


# what a review found --------------------------------------------------------------------------------------------------


def left_behind(found: Any, place: tuple[int, int], facts: Facts) -> str:
    return status_left_behind(found.state.trial(place[0]), facts)


def test_a_promoted_trial_that_is_killed_before_it_begins_is_begun_again() -> None:
    """Its result still says that it stopped at the rung below."""
    found = driver(settings(4), scheduler=TwoRungs())
    for _ in range(8):
        found.step(found.tools.executor.wait(0))
        if len(found.state.trials) == 4 and found.state.trial(4).until is None:
            break
    at_rung = Facts(1, {1: (4.0,)}, (4.0,), status="stopped", who="sweep")
    assert left_behind(found, (4, 0), at_rung) == "interrupted"
    assert left_behind(found, (4, 0), Facts(4, status="finished")) == "finished"
    assert left_behind(found, (4, 0), Facts(1, status="stopped", who="ada@laptop")) == "stopped"


def test_a_trial_that_was_given_up_is_never_begun_again() -> None:
    executor = FakeExecutor(slots=1)
    found = driver(settings(2), executor=executor)
    found.step()
    found.prune(found.state.trial(1), "worse than the median")
    executor.ends = [("failed", "killed by signal 9", "machine")]
    run(found)
    assert (found.state.trial(1).status, found.state.trial(1).runs[0].attempts) == ("stopped", 1)


def test_what_another_driver_gave_up_is_told_to_the_run_here() -> None:
    executor = FakeExecutor(slots=1)
    found = driver(settings(2), executor=executor)
    found.step()
    with found.log.locked():
        found.write({"event": "stopping", "trial": 1, "why": "elsewhere"})
    for trial, why in found.watch():
        found.prune(trial, why)
    assert executor.ended == [("abc-1", "stop")]
    assert found.watch() == []


def test_an_ending_of_a_run_that_another_driver_has_taken_over_is_not_recorded() -> None:
    log = MemoryLog()
    first = driver(settings(1), log=log)
    first.step()
    with log.locked():
        first.write(first.ended(1, 0, "interrupted"))
        first.write({"event": "started", "trial": 1, "run": 0, "attempt": 2, "process": {"host": "other"}})
    first.step(first.tools.executor.wait(0))
    assert first.state.trial(1).runs[0].status == "running"
    assert [event["status"] for event in log.events if event["event"] == "ended"] == ["interrupted"]


def test_every_run_of_an_exploit_takes_its_state_over() -> None:
    """With fewer slots than seeds, the first run that stops must not take the order from the second."""
    executor = FakeExecutor(slots=1)
    found = driver(settings(2), scheduler=ExploitsOnce(), executor=executor, inner=[{"seed": 0}, {"seed": 1}])
    for _ in range(12):
        found.step(executor.wait(0))
    exploits = [job for job in executor.started if job.trial == 1 and job.until == 2]
    assert [(job.run, job.adopt is not None) for job in exploits[:2]] == [(0, True), (1, True)]


def test_a_target_ends_trials_that_still_train_and_orders_nothing_more() -> None:
    executor = FakeExecutor(slots=1)
    found = driver(settings(5), executor=executor, settings={"target": 0.9})
    found.step()
    executor.new_rows["abc-1"] = [{"step": 5, "epoch": 1, "val/accuracy": 0.95}]
    found.watch()
    assert found.has_hit
    executor.ends = [("interrupted", "", "asked")]
    found.step(executor.wait(0))
    assert found.is_over
    assert len(executor.started) == 1
    assert found.no_more == "sweep.target=0.9 is reached"


def test_a_spent_budget_ends_promotions_too() -> None:
    found = driver(settings(4), scheduler=TwoRungs(), settings={"epochs": 4})
    run(found)
    assert [trial.status for trial in found.state.trials] == ["paused"] * 4


def test_a_source_without_a_state_lets_the_other_go_on_by_itself() -> None:
    class Without(ExploitsOnce):
        def next(self, trials: Any, *, may_begin: bool) -> Any:
            order = super().next(trials, may_begin=may_begin)
            return dataclasses.replace(order, otherwise=3) if isinstance(order, Exploit) else order

    executor = FakeExecutor(slots=2)
    found = driver(settings(2), scheduler=Without(), executor=executor)
    found.tools = dataclasses.replace(found.tools, link=lambda source, target: None)
    for _ in range(4):
        found.step(executor.wait(0))
    assert (executor.started[2].trial, executor.started[2].until, executor.started[2].adopt) == (1, 3, None)


def test_every_run_of_a_setting_must_have_a_plan() -> None:
    found = driver(settings(2), inner=[{"seed": 0}, {"seed": -1}], refuses=lambda setting: setting["seed"] < 0)
    run(found)
    assert found.state.trials == []
    assert found.no_more.startswith("every setting was refused: x=")


def test_seconds_are_those_in_which_anybody_drove() -> None:
    state = SweepState(Path("abc"))
    at = "2026-01-01T00:{:02}:00+00:00".format
    state.replay(
        [
            began(),
            {"event": "joined", "who": {"pid": 1}, "at": at(0)},
            {"event": "joined", "who": {"pid": 2}, "at": at(1)},
            {"event": "left", "who": {"pid": 1}, "at": at(3)},
            {"event": "left", "who": {"pid": 2}, "at": at(30), "seen": at(4)},  # it was killed, as was seen later
            {"event": "joined", "who": {"pid": 3}, "at": at(31)},
            {"event": "left", "who": {"pid": 3}, "at": at(33)},
        ]
    )
    assert state.seconds_before == 60 * (4 + 2)
    assert state.joined == []


def test_of_two_equal_trials_the_earlier_one_leads_whichever_ended_first() -> None:
    executor = FakeExecutor(slots=2)
    found = driver([{"x": 1.0}, {"x": 1.0, "y": 0}, {"x": 0.5}], executor=executor)
    found.step()
    executor.jobs.reverse()
    run(found)
    assert found.state.best() is found.state.trial(1)


def test_a_grid_says_which_settings_it_leaves_out_for_want_of_memory() -> None:
    listed = [{"batch_size": size} for size in (16, 32, 64, 63)]
    executor = FakeExecutor(slots=1, ends=[("", "", ""), ("failed", "out of memory", "memory")])
    found = driver(listed, executor=executor, curve=lambda setting, epoch: float(epoch))
    run(found)
    assert [trial.setting["batch_size"] for trial in found.state.trials] == [16, 32]
    assert [event["reason"] for event in found.state.refused] == [
        "batch_size=64: a trial with batch_size=32 ran out of memory",
        "batch_size=63: a trial with batch_size=32 ran out of memory",
    ]
    assert found.no_more == "no further setting: 2 were tried, 2 refused"
