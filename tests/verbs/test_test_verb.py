"""`hpo-run test`: a run that was tested before is shown, never tested again; a new one goes to the engine once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpo_cli.record import ledger
from hpo_cli.verbs import test as verb
from tests.command_line import Answer, call, refuse_in_one_line

SAID = {"metrics": {"test/loss": 0.25, "test/accuracy": 0.96875}, "checkpoint": "checkpoints/best-00000800.pt"}


@pytest.fixture
def run(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    monkeypatch.chdir(outputs.parent)
    return lambda *words: call("test", *words)


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders that the engine was asked to examine, which it does not do here."""
    asked: list[Path] = []

    def examine(folder: Path, *, allow: Any, averaged: bool) -> dict[str, Any]:
        asked.append(folder)
        ledger.append(folder, "tested", step=800, split="test", **SAID)
        return {**SAID, "step": 800}

    monkeypatch.setattr(verb, "_examined", examine)
    return asked


def test_it_tests_once_and_then_shows(run: Callable[..., Answer], examined: list[Path]) -> None:
    first, second = run("3f9c12"), run("3f9c12")
    assert len(examined) == 1
    for answer in (first, second):
        assert (answer.code, answer.err) == (0, "")
        assert "0.9688" in answer.out or "0.96875" in answer.out
        assert "checkpoints/best-00000800.pt" in answer.out
    assert "tested before" not in first.out
    assert "tested before" in second.out


def test_json_says_whether_it_was_tested_before(run: Callable[..., Answer], examined: list[Path]) -> None:
    first, second = (json.loads(run("3f9c12", "--json").out) for _ in range(2))
    assert (first["tested_before"], second["tested_before"]) == (False, True)
    assert first["metrics"] == second["metrics"] == SAID["metrics"]
    assert first["run"] == "3f9c12"


def test_of_several_tests_the_first_counts(run: Callable[..., Answer], outputs: Path, examined: list[Path]) -> None:
    folder = outputs / "digits" / "3f9c12"
    ledger.append(folder, "tested", step=1, split="test", metrics={"test/loss": 1.0}, checkpoint="a")
    ledger.append(folder, "tested", step=1, split="test", metrics={"test/loss": 0.1}, checkpoint="b")
    assert json.loads(run("3f9c12", "--json").out)["metrics"] == {"test/loss": 1.0}
    assert examined == []


@pytest.mark.parametrize("words", [[], ["nowhere"], ["3f9c12", "extra"], ["3f9c12", "--jsn"], ["3f9c12", "--allow"]])
def test_wrong_words_are_refused(outputs: Path, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(outputs.parent)
    refuse_in_one_line("test", *words)


@pytest.mark.parametrize("named", [["os"], "os", ["a", "b"], {"os": 1}])
def test_a_plan_that_names_modules_needs_leave(outputs: Path, monkeypatch: pytest.MonkeyPatch, named: object) -> None:
    monkeypatch.chdir(outputs.parent)
    plan = outputs / "digits" / "3f9c12" / "plan.yaml"
    plan.write_text(plan.read_text() + f"allow_targets: {json.dumps(named)}\n")
    assert "if you trust it" in refuse_in_one_line("test", "3f9c12")


def test_a_run_without_a_ledger_is_not_tested(
    outputs: Path, monkeypatch: pytest.MonkeyPatch, examined: list[Path]
) -> None:
    monkeypatch.chdir(outputs.parent)
    (outputs / "digits" / "3f9c12" / "ledger.jsonl").unlink()
    assert "ledger" in refuse_in_one_line("test", "outputs/digits/3f9c12")
    assert examined == []


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"a: [", b"[1, 2]", b"lr: 0.1\n", b"%YAML 1.3\n---\nallow_targets: [os]\n"]
)
def test_a_damaged_plan_is_one_line_and_runs_nothing(
    outputs: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.chdir(outputs.parent)
    folder = outputs / "digits" / "3f9c12"
    (folder / "plan.yaml").write_bytes(content)
    assert "plan.yaml" in refuse_in_one_line("test", "outputs/digits/3f9c12")
    assert ledger.fold(ledger.read_ledger(folder).events).tests == ()
