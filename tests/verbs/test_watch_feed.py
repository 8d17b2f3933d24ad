import json
import time
from pathlib import Path

import pytest

from hpo_cli.record.ledger import append
from hpo_cli.record.reading import read_run
from hpo_cli.verbs.watch_feed import Feed
from tests.live_run import append_rows, held, make_live_run, row_at
from tests.run_folders import Run, add_events, make_run, nudged


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_live_run(tmp_path)


def test_rows_are_taken_as_they_come_and_none_twice(folder: Path) -> None:
    feed = Feed(folder)
    for last in (40, 80, 81):
        first = feed.view().step + 1
        append_rows(folder, [row_at(step) for step in range(first, last + 1)])
        view = feed.view()
        assert (view.step, view.traces["train/loss"].length) == (last, last)
    assert (view.best, view.best_step) == (pytest.approx(row_at(80)["val/accuracy"]), 80)


def test_half_a_line_waits_for_its_other_half(folder: Path) -> None:
    feed = Feed(folder)
    text = json.dumps(row_at(1)) + "\n"
    for part, steps in ((text[:30], 0), (text[30:], 1)):
        with (folder / "metrics.jsonl").open("a") as file:
            file.write(part)
        assert feed.view().step == steps


def test_after_a_rollback_only_the_living_line_is_left(folder: Path) -> None:
    feed = Feed(folder)
    append_rows(folder, [row_at(step) for step in range(1, 101)])
    assert feed.view().step == 100
    append_rows(folder, [{"event": "rolled_back", "step": 50, "from": 100, "since": None}, row_at(51)])
    view = feed.view()
    assert (view.step, view.traces["train/loss"].length) == (51, 51)
    assert view.best_step == 40
    append_rows(folder, [row_at(52)])
    assert feed.view().traces["train/loss"].length == 52
    assert Feed(folder).view().traces["train/loss"].points() == feed.view().traces["train/loss"].points()


def test_a_file_that_was_replaced_is_read_anew(folder: Path) -> None:
    feed = Feed(folder)
    append_rows(folder, [row_at(step) for step in range(1, 11)])
    feed.view()
    (folder / "new").write_text(json.dumps(row_at(1)) + "\n")
    (folder / "new").rename(folder / "metrics.jsonl")
    assert feed.view().traces["train/loss"].length == 1


def test_knobs_are_as_planned_and_then_as_nudged(folder: Path) -> None:
    feed = Feed(folder)
    assert {knob.key: (knob.value, knob.label) for knob in feed.view().knobs}["lr"] == (0.001, "")
    add_events(folder, nudged("a", step=10), nudged("b", step=20, key="regularization.dropout", old=0.0, new=0.2))
    knobs = {knob.key: (knob.value, knob.label) for knob in feed.view().knobs}
    assert (knobs["lr"], knobs["regularization.dropout"]) == ((0.0003, "n1"), (0.2, "n2"))
    add_events(folder, {"event": "rolled_back", "id": "c", "step": 30, "to": 15, "line": ["a"]})
    knobs = {knob.key: (knob.value, knob.label) for knob in feed.view().knobs}
    assert knobs["lr"] == (0.0003, "n1")
    assert "regularization.dropout" not in knobs


def test_the_lease_tells_how_far_and_how_fast(folder: Path) -> None:
    feed = Feed(folder)
    with held(folder) as lease:
        lease.beat(step=123, epoch=3)
        view = feed.view()
        assert (view.status, view.step, view.total, view.epoch, view.epochs) == ("running", 123, 4000, 3, 100)
        assert view.steps_per_second == 312.3
        lease.beat(status="paused")
        assert (feed.view().status, feed.view().steps_per_second) == ("paused", None)
    assert feed.view().status == "died"
    add_events(folder, {"event": "stopped", "step": 123, "who": "ada@laptop", "why": "enough"})
    assert feed.view().status in ("stopped", "died")


@pytest.mark.parametrize("missing", ["metrics.jsonl", "ledger.jsonl", "plan.yaml"])
def test_a_folder_that_lacks_a_file_is_shown_all_the_same(tmp_path: Path, missing: str) -> None:
    folder = make_run(tmp_path, Run())
    (folder / missing).unlink()
    assert Feed(folder).view().id == "3f9c12"


def test_a_hundred_thousand_rows_cost_little_to_follow(folder: Path) -> None:
    append_rows(folder, [row_at(step) for step in range(1, 100_001)])
    feed = Feed(folder)
    feed.view()
    before = time.process_time()
    for step in range(100_001, 100_011):
        append_rows(folder, [row_at(step)])
        assert feed.view().step == step
    assert (time.process_time() - before) / 10 < 0.05


def test_step_and_epoch_are_of_the_newest_that_is_known(folder: Path) -> None:
    feed = Feed(folder)
    with held(folder) as lease:
        lease.beat(step=100, epoch=2)
        append_rows(folder, [row_at(step) for step in range(1, 161)])
        assert (feed.view().step, feed.view().epoch) == (160, 4)
        lease.beat(step=200, epoch=5)
        assert (feed.view().step, feed.view().epoch) == (200, 5)


def test_a_lease_from_before_a_rollback_does_not_tell_the_step(folder: Path) -> None:
    feed = Feed(folder)
    with held(folder) as lease:
        append_rows(folder, [row_at(step) for step in range(1, 161)])
        lease.beat(step=165, epoch=4)
        assert feed.view().step == 165
        time.sleep(0.05)
        append(folder, "rolled_back", step=165, id="r", to=80, line=[])
        append_rows(folder, [{"event": "rolled_back", "step": 80, "from": 165, "since": None}, row_at(81)])
        assert (feed.view().step, feed.view().epoch) == (81, 2)
        time.sleep(0.05)
        lease.beat(step=90, epoch=2, catching_up=120)
        assert (feed.view().step, feed.view().why) == (90, "going back to step 120")
        lease.beat(step=121, catching_up=None)
        assert feed.view().why == ""


def test_the_speed_is_the_mean_of_the_last_beats(folder: Path) -> None:
    feed = Feed(folder)
    with held(folder) as lease:
        for speed in (100.0, 300.0, 200.0, 200.0):
            lease.beat(steps_per_second=speed)
            feed.view()
            found = feed.view().steps_per_second  # the same beat counts once
        assert found == pytest.approx(200.0)


def test_what_waits_is_known(folder: Path) -> None:
    feed = Feed(folder)
    assert feed.view().waits == ()
    append(folder, "scheduled", step=1, id="1-0000aaaa", due={"step": 50}, do="stop", changes={}, who="ada@lab")
    assert [str(one) for one in feed.view().waits] == ["0000aaaa  at step 50: stop  (ada@lab)"]


def test_both_readers_agree_on_how_a_run_is(folder: Path) -> None:
    for _ in range(2):
        assert Feed(folder).view().status == read_run(folder).status
        with held(folder) as lease:
            assert Feed(folder).view().status == read_run(folder).status == "running"
            append(folder, "paused", step=3)
            assert Feed(folder).view().status == read_run(folder).status == "paused"
            lease.beat(status="running")
            append(folder, "unpaused", step=3)
        assert Feed(folder).view().status == read_run(folder).status == "died"
