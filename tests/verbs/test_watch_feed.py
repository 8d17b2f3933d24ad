import json
import time
from pathlib import Path

import pytest

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
