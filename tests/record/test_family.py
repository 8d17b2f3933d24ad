"""Families of runs are read from ledgers alone, and nothing in them makes the reader fail or hang."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hpo_cli.record.family import Node, best_member, families, family_of
from hpo_cli.record.runs import walk
from tests.run_folders import Run, make_run


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "outputs"


def descend(folder: Path, **started: Any) -> Path:
    """The run's first line, with where it comes from."""
    first, *rest = (folder / "ledger.jsonl").read_text().splitlines()
    (folder / "ledger.jsonl").write_text("\n".join([json.dumps(json.loads(first) | started), *rest]) + "\n")
    return folder


def child_of(parent: Path, **more: Any) -> dict[str, Any]:
    return {"run": parent.name, "path": str(parent), "step": 120, "epoch": 3, "line": [], "partial": False, **more}


def shape(nodes: list[Node]) -> list[Any]:
    return [[node.member.id, shape(node.children)] for node in nodes]


def test_children_hang_below_their_parents_oldest_first(root: Path) -> None:
    a = make_run(root, Run(id="aaaaaa", minutes_old=50))
    b = descend(make_run(root, Run(id="bbbbbb", minutes_old=20)), parent=child_of(a))
    descend(make_run(root, Run(id="cccccc", minutes_old=40)), parent=child_of(a))
    descend(make_run(root, Run(id="dddddd", minutes_old=10)), parent=child_of(b))
    make_run(root, Run(id="eeeeee", minutes_old=30))
    assert shape(families(walk(root))) == [
        ["aaaaaa", [["cccccc", []], ["bbbbbb", [["dddddd", []]]]]],
        ["eeeeee", []],
    ]


def test_what_was_changed_is_what_was_asked_for_or_what_the_words_add(root: Path) -> None:
    a = make_run(root, Run(id="aaaaaa", overrides=("optimizer=sgd",), minutes_old=9))
    descend(make_run(root, Run(id="bbbbbb", overrides=("optimizer=sgd", "lr=0.1"), minutes_old=8)), parent=child_of(a))
    noted = child_of(a, changes=["model.depth=3"])
    descend(make_run(root, Run(id="cccccc", overrides=("lr=1", "model.depth=3"), minutes_old=7)), parent=noted)
    (tree,) = families(walk(root))
    assert {member.id: member.changed for member in tree.walk()} == {
        "aaaaaa": (), "bbbbbb": ("lr=0.1",), "cccccc": ("model.depth=3",),
    }  # fmt: skip


def test_a_deleted_parent_keeps_its_children_together(root: Path) -> None:
    gone = root / "digits" / "000000"
    for name in ("bbbbbb", "cccccc"):
        descend(make_run(root, Run(id=name)), parent=child_of(gone))
    (tree,) = families(walk(root))
    assert tree.member.record is None
    assert tree.member.id == "000000"
    assert {child.member.id for child in tree.children} == {"bbbbbb", "cccccc"}


def test_a_parent_that_was_moved_is_found_by_its_id(root: Path, tmp_path: Path) -> None:
    a = make_run(root, Run(id="aaaaaa", minutes_old=9))
    descend(make_run(root, Run(id="bbbbbb")), parent=child_of(tmp_path / "before" / "aaaaaa"))
    assert shape(families(walk(root))) == [[a.name, [["bbbbbb", []]]]]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_circle_is_cut(root: Path, length: int) -> None:
    names = [letter * 6 for letter in "abc"[:length]]
    folders = [make_run(root, Run(id=name, minutes_old=index)) for index, name in enumerate(names)]
    for folder, parent in zip(folders, [*folders[1:], folders[0]], strict=True):
        descend(folder, parent=child_of(parent))
    trees = families(walk(root))
    assert sorted(member.id for tree in trees for member in tree.walk()) == names
    assert len(trees) == 1


@pytest.mark.parametrize("origin", [None, 3, "aaaaaa", [], {}, {"run": 7, "path": None}, {"step": "x", "run": "zz"}])
def test_any_origin_is_borne(root: Path, origin: object) -> None:
    descend(make_run(root, Run(id="aaaaaa")), parent=origin, replay_of=origin)
    assert "aaaaaa" in {member.id for tree in families(walk(root)) for member in tree.walk()}


def test_a_damaged_run_is_a_member(root: Path) -> None:
    folder = make_run(root, Run(id="aaaaaa"))
    (folder / "ledger.jsonl").write_bytes(b"\x00\xff\n{")
    ((tree,)) = families(walk(root))
    assert tree.member.record is not None
    assert tree.member.record.status == "damaged"


def test_the_best_is_the_best_by_the_objective_of_the_family(root: Path) -> None:
    a = make_run(root, Run(id="aaaaaa", value=0.9, minutes_old=9))
    descend(make_run(root, Run(id="bbbbbb", value=0.95, minutes_old=8)), parent=child_of(a))
    descend(make_run(root, Run(id="cccccc", aim="val/loss", mode="min", value=99.0, minutes_old=7)), parent=child_of(a))
    (tree,) = families(walk(root))
    best = best_member(tree.walk())
    assert best is not None
    assert best.id == "bbbbbb"
    assert best_member([]) is None


def test_only_nudges_in_force_are_counted(root: Path) -> None:
    folder = make_run(root, Run(id="aaaaaa"))
    knobs = {"lr": {"old": 1, "new": 2}}
    events = [
        {"event": "nudged", "step": 10, "id": "n1", "knobs": knobs},
        {"event": "nudged", "step": 20, "id": "n2", "knobs": knobs},
        {"event": "rolled_back", "step": 30, "id": "r1", "to": 15, "line": ["n1"]},
        {"event": "nudged", "step": 25, "id": "n3", "knobs": knobs},
    ]
    with (folder / "ledger.jsonl").open("a") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)
    (tree,) = families(walk(root))
    assert (tree.member.nudges, tree.member.rollbacks) == (2, 1)


def test_the_family_of_a_run_is_found_by_any_path_to_it(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a = make_run(root, Run(id="aaaaaa", minutes_old=9))
    b = descend(make_run(root, Run(id="bbbbbb")), parent=child_of(a))
    trees = families(walk(root))
    monkeypatch.chdir(b)
    assert family_of(".", trees) is trees[0]
    assert family_of("elsewhere", trees) is None
