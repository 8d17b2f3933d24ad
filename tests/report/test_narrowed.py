"""A sweep that people edited: what was tried outside of the present space keeps its true place, and edits are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpo_cli.record import jsonl
from hpo_cli.report.digest import digest
from hpo_cli.report.dimensions import Axis, Stretch, begun_space, drawn_dimensions, present
from hpo_cli.report.html import page
from hpo_cli.report.parallel import parallel
from hpo_cli.report.refusals import refusals
from hpo_cli.report.slices import slices
from hpo_cli.sweep.fold import SweepState, read_sweep
from hpo_cli.sweep.space import Dimension
from tests.report.sweeps import SPACE, Sweep, read, write_sweep

NARROW = SPACE.narrowed({"lr (adam)": (1e-4, 1e-2), "model.width": (64, 128)}).without("optimizer", "sgd")


def told(folder: Path, *events: dict[str, Any]) -> SweepState:
    with (folder / "sweep.jsonl").open("ab") as log:
        for event in events:
            log.write(jsonl.encode({"at": "2026-11-21T09:30:00+00:00", **event}))
    return read_sweep(folder)


@pytest.fixture
def edited(tmp_path: Path) -> SweepState:
    changes = ["optimizer: was sgd, adam, now adam"]
    edit = {
        "event": "edited",
        "changes": changes,
        "space": NARROW.to_json(),
        "who": "ada@bench",
        "why": "<sgd> is slow",
    }
    return told(write_sweep(tmp_path / "3f9c12"), edit)


def values_of(state: SweepState) -> dict[int, float]:
    return {row.trial: row.mean for row in digest(state).ranked if row.mean is not None}


def test_every_trial_has_the_place_that_it_had_before_the_edit(tmp_path: Path, edited: SweepState) -> None:
    before = read(tmp_path / "before")
    values = values_of(edited)
    assert edited.space != before.space
    assert [one.dots for one in slices(edited, values)] == [one.dots for one in slices(before, values)]
    assert parallel(edited, values).lines == parallel(before, values).lines
    assert all(one.present == () for one in slices(before, values))


def test_what_is_searched_still_is_marked(edited: SweepState) -> None:
    found = {one.name: one for one in slices(edited, values_of(edited))}
    assert found["optimizer"].present == (Stretch(0.5, 1.0),)
    (kept,) = found["lr (adam)"].present
    assert (kept.low, kept.high) == pytest.approx((0.25, 0.75))
    assert found["batch_size"].present == ()


def test_what_was_tried_beyond_any_known_range_widens_the_axis(tmp_path: Path) -> None:
    state = read(tmp_path)
    state.trial(1).setting = {**state.trial(1).setting, "regularization.dropout": 0.9}
    (one,) = [one for one in drawn_dimensions(state) if one.name == "regularization.dropout"]
    assert one.ends == (0.0, 0.9)
    assert present(begun_space(state)["regularization.dropout"], Axis("linear", 0.0, 0.9)) == (Stretch(0.0, 0.5 / 0.9),)


def test_a_list_knows_what_was_banned() -> None:
    now = Dimension("optimizer", ("optimizer",), choices=("adam",))
    axis = Axis("named", names=("sgd", "adam", "lion"))
    (kept,) = present(now, axis)
    assert (kept.low, kept.high) == pytest.approx((1 / 3, 2 / 3))


def test_the_page_tells_the_space_as_it_was_begun_and_who_changed_it(edited: SweepState) -> None:
    text = page(digest(edited))
    assert "1e-05 .. 0.1 (log)" in text
    assert "0.0001 .. 0.01 (log)" in text
    assert "ada@bench" in text
    assert "&lt;sgd&gt; is slow" in text
    assert 'class="kept"' in text
    assert "Edits while it ran" in text


def test_a_sweep_that_nobody_edited_has_no_column_for_it(tmp_path: Path) -> None:
    text = page(digest(read(tmp_path)))
    assert "searched now" not in text
    assert "Edits while it ran" not in text
    assert 'class="kept"' not in text


def test_refused_settings_are_grouped_by_their_reason(tmp_path: Path) -> None:
    one = {"event": "refused", "setting": {"lr": 0.1}, "reason": "batch_size=1: <b>norm</b>\n needs more"}
    other = {"event": "refused", "setting": {"lr": 0.2}, "reason": "too large"}
    state = told(write_sweep(tmp_path / "3f9c12"), other, one, {**one, "setting": {"lr": 0.3}})
    assert [(found.num, found.setting) for found in refusals(state)] == [(2, {"lr": 0.1}), (1, {"lr": 0.2})]
    text = page(digest(state))
    assert "What was refused" in text
    assert "3 settings that no run can have" in text
    assert "&lt;b&gt;norm&lt;/b&gt; needs more" in text
    assert [found["num"] for found in digest(state).to_json()["refused"]] == [2, 1]


def test_a_trial_that_waits_is_not_called_running(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "3f9c12", Sweep(trials=3, end=None))
    order = {
        "event": "proposed",
        "trial": 4,
        "setting": {"optimizer": "adam"},
        "plan_id": "x",
        "notes": {},
        "until": None,
    }
    found = digest(told(folder, order))
    assert found.counts == "3 finished, 1 waiting"
    assert "running" not in found.counts
