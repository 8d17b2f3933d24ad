from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpo_cli.errors import UserError
from hpo_cli.record.ledger import append
from hpo_cli.verbs import diff
from tests.run_folders import Run, make_run


def test_only_what_differs_and_the_results_side_by_side(printed: Callable[..., str]) -> None:
    lines = [line.split() for line in printed(diff, "3f9c12", "a1b2c3").splitlines()]
    assert ["lr", "0.001", "0.05"] in lines
    assert ["optimizer.momentum", "(none)", "0.9"] in lines
    assert ["objective", "val/accuracy", "0.9772", "0.981", "+0.0038"] in lines
    assert not any("model.depth" in line or "plan_id" in line for line in lines)


def test_a_run_does_not_differ_from_itself(printed: Callable[..., str], answered: Callable[..., Any]) -> None:
    assert "the same config" in printed(diff, "3f9c12", "3f9c12")
    found = answered(diff, "last", "3f9c12")
    assert found["config"] == found["environment"] == {}
    assert {row["difference"] for row in found["results"].values()} == {0.0}


def test_json_leaves_out_a_side_without_the_key(answered: Callable[..., Any]) -> None:
    found = answered(diff, "3f9c12", "a1b2c3")
    assert found["config"]["optimizer.momentum"] == {"b": 0.9}
    assert found["config"]["lr"] == {"a": 0.001, "b": 0.05}
    assert found["results"]["objective val/accuracy"]["difference"] == pytest.approx(0.0038)
    assert (found["a"]["id"], found["b"]["id"]) == ("3f9c12", "a1b2c3")


def test_a_value_that_is_missing_has_no_difference(answered: Callable[..., Any]) -> None:
    row = answered(diff, "77aa00", "3f9c12")["results"]["objective val/accuracy"]
    assert row == {"a": None, "b": 0.9772, "difference": None}


def test_a_better_objective_is_green_and_a_worse_one_red(
    printed: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    better = next(line for line in printed(diff, "3f9c12", "a1b2c3").splitlines() if "objective" in line)
    worse = next(line for line in printed(diff, "a1b2c3", "3f9c12").splitlines() if "objective" in line)
    assert "\x1b[32m" in better
    assert "\x1b[31m" in worse


def test_other_surroundings_are_shown(answered: Callable[..., Any], outputs: Path) -> None:
    ledger = outputs / "digits" / "a1b2c3" / "ledger.jsonl"
    ledger.write_text(ledger.read_text().replace('"torch": "2.11.0"', '"torch": "2.9.0"'))
    assert answered(diff, "3f9c12", "a1b2c3")["environment"] == {"packages.torch": {"a": "2.11.0", "b": "2.9.0"}}


def test_a_plan_that_cannot_be_read_is_told(outputs: Path) -> None:
    (outputs / "digits" / "3f9c12" / "plan.yaml").unlink()
    with pytest.raises(UserError, match=r"3f9c12: has no readable plan\.yaml"):
        diff.main(["3f9c12", "a1b2c3", "--outputs", str(outputs)])


def test_two_runs_are_needed(outputs: Path) -> None:
    with pytest.raises(UserError, match="hpo-run diff: the following arguments are required: B"):
        diff.main(["3f9c12"])


def test_what_was_nudged_counts_as_it_is_now(
    printed: Callable[..., str], answered: Callable[..., Any], outputs: Path
) -> None:
    folder = make_run(outputs, Run(id="c0ffee"))
    assert answered(diff, "3f9c12", "c0ffee")["config"] == {}
    knobs = {"lr": {"old": 0.001, "new": 0.0005}}
    append(folder, "nudged", step=40, id="n1", knobs=knobs, who="ada@laptop", why="")
    found = answered(diff, "3f9c12", "c0ffee")
    assert found["config"] == {"lr": {"a": 0.001, "b": 0.0005}}
    assert found["nudged"] == {"a": [], "b": ["lr"]}
    page = printed(diff, "3f9c12", "c0ffee")
    assert "b was nudged: lr\n" in page
    assert "a was nudged" not in page
