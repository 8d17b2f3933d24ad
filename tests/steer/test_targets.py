"""Places in a run's past, from words to the step and the events in force there."""

from __future__ import annotations

from typing import Any

import pytest

from hpo_cli.errors import UserError
from hpo_cli.plan import Objective
from hpo_cli.record.line import Line, living_line
from hpo_cli.steer.targets import Goal, check_tag, parse_due, parse_target, resolve_target, tags

EVENTS: list[dict[str, Any]] = [
    {"event": "nudged", "id": "a", "step": 100, "knobs": {}},
    {
        "event": "checkpointed",
        "at": "1",
        "step": 150,
        "file": "checkpoints/keep-old.pt",
        "line": ["a"],
        "tag": "old",
        "kept": True,
    },
    {"event": "nudged", "id": "b", "step": 200, "knobs": {}},
    {
        "event": "checkpointed",
        "at": "2",
        "step": 250,
        "file": "checkpoints/keep-lost.pt",
        "line": ["a", "b"],
        "tag": "lost",
    },
    {
        "event": "checkpointed",
        "at": "3",
        "step": 240,
        "file": "checkpoints/keep-again.pt",
        "line": ["a", "b"],
        "tag": "again",
    },
    {"event": "rolled_back", "id": "c", "step": 260, "to": 160, "line": ["a"]},
    {"event": "checkpointed", "at": "4", "step": 300, "file": "checkpoints/step-300.pt", "line": ["a", "c"]},
    {
        "event": "checkpointed",
        "at": "5",
        "step": 310,
        "file": "checkpoints/keep-again2.pt",
        "line": ["a", "c"],
        "tag": "again",
    },
]
LINE = living_line(EVENTS)
ROWS = [
    {"step": 90, "epoch": 1, "val/loss": 2.0, "val/accuracy": 0.5},
    {"step": 120, "epoch": 1, "train/loss": 2.0},
    {"step": 180, "epoch": 2, "val/loss": 1.0, "val/accuracy": 0.9},
    {"step": 270, "epoch": 3, "val/loss": 1.5, "val/accuracy": None},
]


def goal(to: dict[str, Any], *, line: Line = LINE, position: int = 320, start: int = 0) -> Goal:
    aim = Objective("val/accuracy", "max")
    return resolve_target(to, line=line, rows=ROWS, position_step=position, objective=aim, start_step=start)


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ({"step": 0}, Goal(0, ())), ({"step": 100}, Goal(100, ())), ({"step": 101}, Goal(101, ("a",))),
        ({"step": 160}, Goal(160, ("a",))), ({"step": 161}, Goal(161, ("a", "c"))),
        ({"step": 320}, Goal(320, ("a", "c"))),
        ({"back": 20}, Goal(300, ("a", "c"))), ({"back": 0}, Goal(320, ("a", "c"))), ({"back": 320}, Goal(0, ())),
        ({"epoch": 0}, Goal(0, ())), ({"epoch": 1}, Goal(90, ())), ({"epoch": 3}, Goal(270, ("a", "c"))),
        ({"best": True}, Goal(180, ("a", "c"))), ({"tag": "old"}, Goal(150, ("a",), "checkpoints/keep-old.pt")),
        ({"tag": "lost"}, Goal(250, ("a", "b"), "checkpoints/keep-lost.pt")),
        ({"tag": "again"}, Goal(310, ("a", "c"), "checkpoints/keep-again2.pt")),
    ],
)  # fmt: skip
def test_places(to: dict[str, Any], expected: Goal) -> None:
    assert goal(to) == expected


def test_the_events_of_a_goal_are_a_line_on_which_its_state_can_lie() -> None:
    for step in range(0, 330, 10):
        found = goal({"step": step})
        assert LINE.carries(found.step, found.line_ids)


@pytest.mark.parametrize(
    ("to", "meant"),
    [
        ({"step": 321}, "step=321: lies ahead, the run is at step 320"),
        ({"back": 321}, "-321: the run began at step 0"),
        ({"epoch": 4}, "epoch=4: the last whole epoch is 3"),
        ({"tag": "odl"}, "the tags are old, lost, again; did you mean old?"),
    ],
)  # fmt: skip
def test_places_that_there_are_not(to: dict[str, Any], meant: str) -> None:
    with pytest.raises(UserError) as caught:
        goal(to)
    assert meant in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("to", [{"step": 99}, {"epoch": 0}, {"epoch": 1}, {"back": 230}, {"tag": "old"}])
def test_a_branch_goes_back_no_further_than_its_start(to: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="branch that began at step 155; go back in its parent"):
        goal(to, start=155)
    assert goal({"step": 155}, start=155).step == 155


def test_nothing_has_been_validated_yet() -> None:
    for to, meant in (({"best": True}, "no validation of val/loss yet"), ({"epoch": 1}, "no epoch is over yet")):
        with pytest.raises(UserError, match=meant):
            resolve_target(to, line=Line(), rows=[], position_step=5, objective=Objective("val/loss", "min"))
    with pytest.raises(UserError, match="no validation of the objective"):
        resolve_target({"best": True}, line=Line(), rows=ROWS, position_step=5, objective=None)


def test_tags_are_checked_without_the_run() -> None:
    assert list(tags(LINE)) == ["old", "lost", "again"]
    check_tag({"tag": "lost"}, LINE)
    check_tag({"step": 5}, LINE)
    with pytest.raises(UserError, match="the run has no tags; `hpo-run checkpoint RUN --tag NAME` makes one"):
        check_tag({"tag": "lost"}, Line())


@pytest.mark.parametrize(
    ("word", "to"),
    [("step=1200", {"step": 1200}), ("epoch=3", {"epoch": 3}), ("tag=good-1.b", {"tag": "good-1.b"}),
     ("best", {"best": True}),
     ("last", {"back": 0}), ("-500", {"back": 500}), ("step=007", {"step": 7})],
)  # fmt: skip
def test_what_is_typed(word: str, to: dict[str, Any]) -> None:
    assert parse_target(word) == to


@pytest.mark.parametrize(
    ("word", "meant"),
    [("1200", "did you mean step=1200?"), ("stepp", "did you mean step?"), ("bset", "did you mean best?"),
     ("tag=../x", "tag=NAME"),
     ("step=-1", "step=N"), ("", "step=N"), ("step=1.5", "step=N"), ("--5", "step=N"), ("step=\u0663", "step=N"),
     ("-" + "9" * 40, "step=N")],
)  # fmt: skip
def test_what_cannot_be_meant(word: str, meant: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_target(word)
    assert meant in str(caught.value)


def test_moments() -> None:
    assert parse_due("step=20") == {"step": 20}
    assert parse_due("epoch=5") == {"epoch": 5}
    assert parse_due("progress=0.5") == {"progress": 0.5}
    assert parse_due("progress=1") == {"progress": 1.0}
    for word in ("best", "progress=1.5", "progress=nan", "step=", "-5", "progress=2", "tag=x"):
        with pytest.raises(UserError, match="no moment of a run"):
            parse_due(word)
    with pytest.raises(UserError, match="did you mean step=12"):
        parse_due("12")
