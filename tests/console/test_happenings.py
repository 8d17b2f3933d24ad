from typing import Any

import pytest

from hpo_cli.console.happenings import Happening, between, flags, happenings, legend
from tests.run_folders import nudged

ROLLBACK: dict[str, Any] = {"event": "rolled_back", "id": "r", "step": 300, "to": 150, "line": ["a"]}


def test_events_of_a_ledger_are_told_in_order_and_counted_by_kind() -> None:
    found = happenings([nudged("a", step=100), nudged("b", step=200), ROLLBACK, nudged("c", step=170)])
    assert [(one.label, one.step, one.alive) for one in found] == [
        ("n1", 100, True), ("n2", 200, False), ("r1", 150, True), ("n3", 170, True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "event",
    [
        {"event": "nudged", "step": 3},
        {"event": "nudged", "step": "3", "knobs": {"lr": {}}},
        {"event": "rolled_back", "id": "x", "step": 3},
        {"event": "checkpointed", "step": 3, "file": "x"},
        {"event": "started", "step": 0, "parent": {"run": "a"}},
        {"event": "finished", "step": 9},
    ],
)
def test_what_lacks_what_its_kind_needs_is_left_out(event: dict[str, Any]) -> None:
    assert happenings([event]) == ()


def test_a_branch_is_marked_where_it_left_its_parent() -> None:
    (one,) = happenings([{"event": "started", "step": 0, "parent": {"run": "aaaaaa", "step": 1200}}])
    assert (one.label, one.step, one.said) == ("b1", 1200, "branch of aaaaaa")


def test_components_and_control_characters_are_told_in_plain_words() -> None:
    schedule = {"option": "cosine", "_target_": "x.cosine", "floor": 0.1}
    (one,) = happenings([nudged("a", step=1, key="schedule", old=None, new=schedule, why="\x1b[31mred")])
    assert one.said == "schedule off -> cosine floor=0.1 (ada: \\x1b[31mred)"


def test_a_long_legend_keeps_the_newest_and_counts_the_rest() -> None:
    found = [Happening(f"n{k}", k, "lr 1 -> 2") for k in range(1, 9)]
    lines = ["".join(span.text for span in one) for one in legend(found, rows=3, columns=60)]
    assert lines == [" n6 step 6  lr 1 -> 2  (5 earlier)", " n7 step 7  lr 1 -> 2", " n8 step 8  lr 1 -> 2"]
    assert all(len("".join(s.text for s in one)) <= 24 for one in legend(found, rows=3, columns=24))
    assert legend(found, rows=0, columns=60) == []


def test_marks_on_an_axis_of_epochs_lie_between_the_rows_around_them() -> None:
    known = [(40, 1.0), (80, 2.0), (120, 3.0)]
    (flag,) = flags([Happening("n1", 100, "x"), Happening("n2", 500, "x")], xs=lambda step: between(known, step))
    assert (flag.x, flag.label) == (2.5, "n1")
