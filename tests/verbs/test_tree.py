"""`hpo-run tree` draws who branched from whom."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpo_cli.errors import UserError
from hpo_cli.verbs import tree
from tests.record.test_family import child_of, descend
from tests.run_folders import Run, make_run


@pytest.fixture
def family(outputs: Path) -> Path:
    root = outputs / "digits" / "a1b2c3"
    low = child_of(root, changes=["lr=0.01"])
    b = descend(make_run(outputs, Run(id="b00000", value=0.9, minutes_old=9)), parent=low)
    descend(make_run(outputs, Run(id="c00000", value=0.99, minutes_old=8)), parent=child_of(b, twin="with"))
    descend(make_run(outputs, Run(id="d00000", minutes_old=7)), replay_of={"run": b.name, "path": str(b)})
    descend(make_run(outputs, Run(id="e00000", minutes_old=6)), parent=child_of(root, step=None, epoch=None))
    return outputs


def test_it_is_drawn_with_what_was_changed(family: Path, printed: Callable[..., str]) -> None:
    lines = printed(tree).splitlines()
    assert lines[0].split() == ["run", "name", "from", "changed", "status", "val/accuracy", "nudges"]
    drawn = [text.partition("digits")[0].rstrip() for text in lines[1:6]]
    assert drawn == ["a1b2c3", "├─ b00000", "│  ├─ c00000", "│  └─ d00000", "└─ e00000"]
    assert "branch, epoch 3, step 120     lr=0.01" in lines[2]
    assert "twin with, epoch 3, step 120" in lines[3]
    assert "replay" in lines[4]
    assert lines[-1].startswith("2 runs without a family")


def test_one_run_names_its_family(family: Path, printed: Callable[..., str]) -> None:
    whole = printed(tree, "c00000")
    assert whole == printed(tree, "e00000")
    assert "without a family" not in whole
    assert len(printed(tree, "3f9c12").splitlines()) == 2


def test_a_stream_without_box_characters_gets_plain_ones(
    family: Path, printed: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree.output, "can_draw", lambda _=None: False)
    assert "|  `- d00000" in printed(tree)


def test_json_is_flat_and_marks_the_best(family: Path, answered: Callable[..., Any]) -> None:
    found = {entry["id"]: entry for entry in answered(tree)}
    assert [one["kind"] for one in found.values()] == ["root", "branch", "twin with", "replay", "branch"]
    assert [name for name, one in found.items() if one["best"]] == ["c00000"]
    assert {one["root"] for one in found.values()} == {"a1b2c3"}
    assert found["b00000"]["changed"] == ["lr=0.01"]
    assert found["b00000"]["step"] == 120


def test_a_deleted_parent_is_shown_as_missing(outputs: Path, printed: Callable[..., str]) -> None:
    descend(make_run(outputs, Run(id="b00000")), parent=child_of(outputs / "digits" / "gone00"))
    drawn = printed(tree).splitlines()
    assert "gone00" in drawn[1]
    assert "missing" in drawn[1]


def test_no_runs_is_one_friendly_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tree.main(["--outputs", str(tmp_path / "none")]) == 0
    assert "No runs" in capsys.readouterr().out


def test_a_run_that_is_not_there_is_refused(outputs: Path) -> None:
    with pytest.raises(UserError, match="zzz"):
        tree.main(["zzz", "--outputs", str(outputs)])


def test_a_long_line_of_descent_is_fast(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last = make_run(tmp_path, Run(id="run0000", minutes_old=2000))
    for index in range(1, 1200):
        made = make_run(tmp_path, Run(id=f"run{index:04}", epochs=0, minutes_old=2000 - index))
        last = descend(made, parent=child_of(last))
    began = time.monotonic()
    assert tree.main(["--outputs", str(tmp_path)]) == 0
    assert time.monotonic() - began < 30
    assert "run1199" in capsys.readouterr().out
